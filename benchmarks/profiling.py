# SPDX-License-Identifier: Apache-2.0
"""The cost of sampling: the throughput of a profiled trial, divided by that of the plain trial of the same cell.

Both are trials of one run (`trace: profile`; 2 cores, 2 tunnels, vanilla and inline), in the lab and in virtual time
with all roles on the same two CPUs. The order is that of the plan: the profiled trial comes first.

Run it on an idle computer with two cores or more: python benchmarks/profiling.py [ROUNDS] (6 by default). A round
takes about a minute. docs/explain.md has what came out.
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
    "trace": "profile",
    "repetitions": 1,
    "busy": "mark",
}


def measure(testbed: str, spec: Path, results: Path) -> dict[str, float]:
    """{variant: throughput with samples over that without} of one run; without the variants that have not both."""
    run = measured_run(str(spec), testbed, results)
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for attempt in read_attempts(run.path, run.meta):
        if attempt["status"] == "ok":
            found[attempt["levels"]["variant"]][attempt["kind"]] = attempt["measurements"]["throughput_bps"]
    return {name: by["profile"] / by["measure"] for name, by in found.items() if {"profile", "measure"} <= set(by)}


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    ratios: dict[tuple[str, str], list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as name:
        spec = Path(name, "profiling.yaml")
        spec.write_text(yaml.safe_dump(SPEC))
        for number in range(rounds):
            for testbed in ("lab", "virtual-shared"):
                for variant, ratio in measure(testbed, spec, Path(name, f"{testbed}-{number}")).items():
                    ratios[testbed, variant].append(ratio)
    for (testbed, variant), values in ratios.items():
        found = summarize(values)
        low, high = found.interval.low, found.interval.high
        print(f"{testbed}, {variant}: {found.median:.3f} ({low:.3f} to {high:.3f}), n = {len(values)}")


if __name__ == "__main__":
    main()
