# SPDX-License-Identifier: Apache-2.0
"""How often the interval of a median holds the true median, with and without the stopping rule: simulated.

    python benchmarks/coverage.py [RUNS]

Values are drawn from normal and log-normal distributions, with a known median, and treated as a campaign treats the
trials of a cell: after every round from ``min`` on it is decided whether to stop. The interval of what was measured
then either holds the true median or not. With so many runs the coverage is known to about 0.5 percentage points.
"""

import math
import random
import statistics
import sys

from orchestrator.stats import is_narrow, summarize

FEWEST, MOST = 6, 30
SPREADS = {"normal, 5 %": 0.05, "log-normal, 10 %": 0.10, "log-normal, 30 %": 0.30}
FIXED = (6, 10, 30)
WIDTHS = (1.0, 1.5, 2.0, 3.0)  # times the spread


def draw(name: str, spread: float, random_: random.Random) -> float:
    """A value of a distribution whose median is 1."""
    return random_.gauss(1.0, spread) if name.startswith("normal") else math.exp(random_.gauss(0.0, spread))


def stopped(name: str, spread: float, width: float, random_: random.Random) -> list[float]:
    """The values of one cell under the stopping rule."""
    values = [draw(name, spread, random_) for _ in range(FEWEST)]
    while len(values) < MOST and not is_narrow(values, width):
        values.append(draw(name, spread, random_))
    return values


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    random_ = random.Random(1)
    print(f"{'distribution':<18} {'rounds':<22} {'coverage':>9} {'median n':>9}   ({runs} runs each)")
    for name, spread in SPREADS.items():
        for n in FIXED:
            held = sum(
                summarize([draw(name, spread, random_) for _ in range(n)]).interval.holds(1.0) for _ in range(runs)
            )
            print(f"{name:<18} {f'{n}':<22} {held / runs:9.1%} {n:9}", flush=True)
        for factor in WIDTHS:
            width = factor * spread
            samples = [stopped(name, spread, width, random_) for _ in range(runs)]
            held = sum(summarize(values).interval.holds(1.0) for values in samples)
            rule = f"{FEWEST} to {MOST}, width {width:.3g}"
            print(f"{name:<18} {rule:<22} {held / runs:9.1%} {statistics.median(map(len, samples)):9.0f}", flush=True)


if __name__ == "__main__":
    main()
