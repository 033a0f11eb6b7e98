# SPDX-License-Identifier: Apache-2.0
"""Compare virtual time with real time, and with itself with other slots, another quantum, or a busy computer.

The same cells (2 CPUs that all roles share; 1 and 2 tunnels; vanilla, threaded, inline) are measured in each way in
turn, once in every round: in real time, in virtual time with a slot for each CPU, with one slot for both, with half
and twice the quantum, and with a program that keeps one of the computer's cores busy. For each way it prints the
throughput, the ratios over vanilla, and how the ratios compare with real time (ratio of ratios) or the throughput with
that of the usual quantum on an idle computer, as medians over the rounds with their 95 % interval, or their range below
six rounds.

Run it on an idle computer with two cores or more: python benchmarks/virtual_time.py [ROUNDS [WAY...]], where the ways
are named as in what it prints; all of them by default. A round of all ways takes about four minutes.
The results are in docs/virtual-time.md.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from statistics import median

import yaml
from measuring import measured_run

from orchestrator.paths import TESTBEDS
from orchestrator.stats.intervals import summarize

CELLS = {"factors.cores": "[2]", "factors.tunnels": "[1, 2]", "repetitions": "1", "traffic.duration": "2s"}
QUANTUM_US = 20
REAL = "real time"
VIRTUAL = f"2 slots, {QUANTUM_US} us"
BUSY = "one core busy"
Cell = tuple[str, int]  # variant, tunnels
Round = Mapping[Cell, float]  # bit/s


def ways(folder: Path) -> dict[str, str]:
    """Return the testbed for each way of measuring, by its name."""
    shared = yaml.safe_load((TESTBEDS / "virtual-shared.yaml").read_text())
    found = {REAL: "lab"}
    for slots, quantum_us in ((2, QUANTUM_US), (1, QUANTUM_US), (2, QUANTUM_US // 2), (2, 2 * QUANTUM_US)):
        name = f"{slots} slot{'s' * (slots > 1)}, {quantum_us} us"
        file = folder / f"{slots}-{quantum_us}.yaml"
        changed = {**shared, "testbed": f"shared-{slots}-{quantum_us}", "slots": slots, "quantum": f"{quantum_us}us"}
        file.write_text(yaml.safe_dump(changed))
        found[name] = str(file)
    found[BUSY] = found[VIRTUAL]
    return found


@contextmanager
def busy_core() -> Iterator[None]:
    """Keep one of the computer's cores busy with a loop of another program."""
    loop = multiprocessing.Process(target=compute, args=(min(os.sched_getaffinity(0)),), daemon=True)
    loop.start()
    try:
        yield
    finally:
        loop.kill()
        loop.join()


def compute(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})
    while True:
        pass


def measure(testbed: str, folder: Path) -> Round:
    """Measure every cell once on a testbed."""
    settings = (part for pair in CELLS.items() for part in ("--set", "=".join(pair)))
    run = measured_run("exp/scaling.yaml", testbed, folder, "--tier", "smoke", *settings)
    rows = run.measured.to_dict("records")
    return {(row["variant"], row["tunnels"]): row["throughput_bps"] for row in rows}


def told(values: list[float], form: Callable[[float], str]) -> str:
    """Return the median of values, with its interval."""
    if not values:
        return "-"
    found = summarize(values)
    return f"{form(found.median)} ({form(found.interval.low)} to {form(found.interval.high)})"


def gigabits(value: float) -> str:
    return f"{value / 1e9:.2f}"


def times(value: float) -> str:
    return f"{value:.2f}"


def quotients(above: list[Round], below: list[Round], of: Cell, to: Cell) -> list[float]:
    """Return the ratio of one cell to another in each round that has both."""
    return [a[of] / b[to] for a, b in zip(above, below, strict=True) if of in a and to in b]


def report(measured: Mapping[str, list[Round]]) -> None:
    rounds = len(next(iter(measured.values())))
    print(f"\n{rounds} rounds; medians, and in brackets the {summarize([1.0] * rounds).interval.name}.\n")
    cells = [(variant, tunnels) for tunnels in (1, 2) for variant in ("vanilla", "threaded", "inline")]
    for cell in cells:
        variant, tunnels = cell
        print(f"{variant}, {tunnels} tunnel{'s' * (tunnels > 1)}:")
        for way, found in measured.items():
            parts = [f"Gbit/s {told([one[cell] for one in found if cell in one], gigabits)}"]
            if variant != "vanilla":
                over = quotients(found, found, cell, ("vanilla", tunnels))
                parts.append(f"over vanilla {told(over, times)}")
                real = measured.get(REAL, [])
                really = quotients(real, real, cell, ("vanilla", tunnels))
                if way != REAL and over and really:
                    inside = "inside" if summarize(really).interval.holds(median(over)) else "outside"
                    parts.append(f"to real time {median(over) / median(really):.2f}, {inside} its interval")
            if way not in (REAL, VIRTUAL) and VIRTUAL in measured:
                parts.append(f"to {VIRTUAL} {told(quotients(found, measured[VIRTUAL], cell, cell), times)}")
            print(f"  {way:<16} {'; '.join(parts)}")


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 6
    chosen = sys.argv[2:]
    measured: dict[str, list[Round]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        testbeds = {way: testbed for way, testbed in ways(folder).items() if not chosen or way in chosen}
        if unknown := set(chosen) - set(testbeds):
            sys.exit(f"No such way: {', '.join(sorted(unknown))}. There are: {'; '.join(ways(folder))}.")
        for number in range(rounds):
            for way, testbed in testbeds.items():
                with busy_core() if way == BUSY else nullcontext():
                    found = measure(testbed, folder / f"{number}-{list(testbeds).index(way)}")
                measured.setdefault(way, []).append(found)
                said = ", ".join(
                    f"{variant} {tunnels}: {gigabits(value)}" for (variant, tunnels), value in found.items()
                )
                print(f"round {number + 1}, {way}: {said}", flush=True)
    report(measured)


if __name__ == "__main__":
    main()
