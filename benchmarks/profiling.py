# SPDX-License-Identifier: Apache-2.0
"""The cost of sampling: the throughput of a profiled trial, divided by that of a plain trial in its place.

A round is three runs of the same cells (2 cores, 2 tunnels, vanilla and inline): one with `trace: profile` and two
without, in one order and then in the reverse one. The first trials after the baseline are compared, since trials that
come later in a boot may be faster for other reasons. The ratio of the two runs without samples shows how far from 1
ratios are where there is nothing to find. In the lab, and in virtual time with all roles on the same two CPUs.

Run it on an idle computer with two cores or more: python benchmarks/profiling.py [ROUNDS] [TESTBED ...] (6 rounds of
both by default). A round takes about a minute and a half on each testbed. The results are in docs/explain.md.
"""

import sys
import tempfile
from collections import defaultdict
from pathlib import Path

import yaml
from measuring import measured_run

from orchestrator.stats.intervals import summarize
from orchestrator.store.reading import read_attempts

SPEC = {
    "experiment": "profiling",
    "factors": {"variant": ["vanilla", "inline"], "cores": [2], "tunnels": [2]},
    "traffic": {"warm_up": "1s", "duration": "2s"},
    "repetitions": 1,
    "busy": "mark",
}


def first_of_each(testbed: str, spec: Path, results: Path) -> dict[str, float]:
    """Return {variant: bit/s} for the first valid trial of each variant in a run, profiled or not."""
    run = measured_run(str(spec), testbed, results)
    found: dict[str, float] = {}
    attempts = sorted(read_attempts(run.path, run.meta), key=lambda one: (one["order"], one["attempt"]))
    for attempt in attempts:
        if attempt["status"] == "ok" and attempt["kind"] != "baseline":
            found.setdefault(attempt["levels"]["variant"], attempt["measurements"]["throughput_bps"])
    return found


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    testbeds = sys.argv[2:] or ["lab", "virtual-shared"]
    ratios: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        sampled, plain = Path(name, "profiling.yaml"), Path(name, "plain.yaml")
        sampled.write_text(yaml.safe_dump({**SPEC, "trace": "profile"}))
        plain.write_text(yaml.safe_dump(SPEC))
        for number in range(rounds):
            for testbed in testbeds:
                specs = {"sampled": sampled, "plain": plain, "again": plain}
                order = list(specs) if number % 2 else list(reversed(specs))
                found = {of: first_of_each(testbed, specs[of], Path(name, f"{testbed}-{number}-{of}")) for of in order}
                for variant, bps in found["plain"].items():
                    for of in ("sampled", "again"):
                        if variant in found[of]:
                            ratios[testbed, variant, of].append(found[of][variant] / bps)
    for (testbed, variant, of), values in ratios.items():
        shown = summarize(values)
        low, high = shown.interval.low, shown.interval.high
        print(f"{testbed}, {variant}, {of} over plain: {shown.median:.3f} ({low:.3f} to {high:.3f}), n = {len(values)}")


if __name__ == "__main__":
    main()
