# SPDX-License-Identifier: Apache-2.0
"""Simulate how often the interval of a paired ratio contains the true ratio under the stopping rule.

    python benchmarks/coverage_ratios.py [RUNS]

Two variants are measured in rounds, as in a campaign, with a common drift (a random walk of 3 % per round), effects of
the boot on both (5 %) and on each (1 %), and noise in each trial (2, 5 or 10 %), all log-normal. Rounds end once the
interval of the ratios is narrow, as in `orchestrator.run.stopping`: all boots so far count, and each boot has at least
the minimum of rounds. With one boot, the true value is the ratio in that boot; with several, the ratio over all boots.
The median total number of rounds is in brackets. With 2,000 runs, the coverage is known to about 0.5 percentage points.
The rows are those of the table in docs/results.md.
"""

import random
import statistics
import sys
from dataclasses import dataclass

from orchestrator.stats import is_narrow, paired_ratio

RATIO, DRIFT, BOOT, OWN = 1.5, 0.03, 0.05, 0.01
NOISES = (0.02, 0.05, 0.10)
WIDTHS = (1.0, 2.0, 3.0)  # multiples of the spread of a ratio, which is the noise of both trials


@dataclass(frozen=True)
class Rule:
    """A number of boots, each with ``fewest`` to ``most`` rounds."""

    boots: int
    fewest: int
    most: int


RULES = (Rule(1, 6, 30), Rule(1, 10, 30), Rule(3, 2, 4), Rule(3, 6, 12), Rule(5, 2, 4))


def holds(rule: Rule, noise: float, width: float | None, random_: random.Random) -> tuple[bool, int]:
    """Simulate a pair of cells, without a stopping rule if ``width`` is None.

    Return (whether the interval contains the true ratio, total number of rounds).
    """
    sides: tuple[dict[tuple[int, int], float], dict[tuple[int, int], float]] = ({}, {})
    ratios: list[float] = []
    truth, drift = RATIO, 1.0
    for boot in range(rule.boots):
        shared = random_.lognormvariate(0, BOOT)
        own = [random_.lognormvariate(0, OWN) for _ in sides]
        if rule.boots == 1:
            truth = RATIO * own[0] / own[1]
        for round_ in range(1, rule.most + 1):
            drift *= random_.lognormvariate(0, DRIFT)
            for place, side in enumerate(sides):
                speed = (RATIO, 1.0)[place] * shared * own[place] * drift
                side[boot, round_] = speed * random_.lognormvariate(0, noise)
            ratios.append(sides[0][boot, round_] / sides[1][boot, round_])
            if width is not None and round_ >= rule.fewest and is_narrow(ratios, width):
                break
            if width is None and round_ == rule.fewest:
                break
    found = paired_ratio(*sides)
    assert found is not None
    return found.interval.holds(truth), len(ratios)


def coverage(rule: Rule, noise: float, factor: float | None, runs: int, random_: random.Random) -> tuple[float, float]:
    """Return (share of intervals that contain the ratio, median number of rounds)."""
    width = None if factor is None else factor * noise * 2**0.5
    found = [holds(rule, noise, width, random_) for _ in range(runs)]
    return sum(held for held, _ in found) / runs, statistics.median(rounds for _, rounds in found)


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    random_ = random.Random(1)
    print(f"Coverage of the interval of a paired ratio, and in brackets the rounds; {runs} runs each")
    print("| boots | rounds of each | noise | no rule | " + " | ".join(f"width {factor:g}" for factor in WIDTHS) + " |")
    print("|---" * (4 + len(WIDTHS)) + "|")
    for rule in RULES:
        for noise in NOISES:
            found = [coverage(rule, noise, factor, runs, random_) for factor in (None, *WIDTHS)]
            cells = [f"{held:.1%} ({rounds:.0f})".replace("%", " %") for held, rounds in found]
            about = f"| {rule.boots} | {rule.fewest} to {rule.most} | {noise:.0%} |".replace("%", " %")
            print(f"{about} {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
