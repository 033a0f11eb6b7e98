# SPDX-License-Identifier: Apache-2.0
"""Simulate how often intervals contain the true value: over boots that differ, and in one boot with a stopping rule.

    python benchmarks/coverage.py [RUNS]

Prints the tables of docs/statistics.md. Over boots: throughputs are log-normal, with 5 % between boots and 2 % within,
for 3 and 5 boots of 3, 5 and 7 rounds. A ratio compares two variants in the same boots, and each boot favours one of
them by a further 5 %. An efficiency compares 8 cores with 1, in different boots. The laws have 1 to 16 cores, X(1) = 1,
sigma = 0.1, and for the USL kappa = 0.001. With the stopping rule: values of a normal or log-normal distribution with a
known median; the rule is applied after every round from ``min`` on, up to 24 rounds later. With 2,000 runs, a coverage
is known to about 0.5 percentage points.
"""

import math
import random
import statistics
import sys
from collections import Counter

from orchestrator.stats import (
    fit_amdahl,
    fit_usl,
    is_narrow,
    paired_ratio,
    parallel_efficiency,
    scaled,
    summarize,
    summarize_boots,
)
from orchestrator.stats.fits import Fit, Trials

BETWEEN, WITHIN = 0.05, 0.02
BOOTS, ROUNDS = (3, 5), (3, 5, 7)
CORES = (1, 2, 4, 8, 16)
SIGMA, KAPPA = 0.1, 0.001
MORE = 24  # most rounds beyond the minimum
SPREADS = {"normal, 5 %": 0.05, "log-normal, 10 %": 0.10, "log-normal, 30 %": 0.30}
FEWEST = (6, 10, 30)
WIDTHS = (1.0, 1.5, 2.0, 3.0)  # multiples of the spread


def draw_boots(centre: float, boots: int, rounds: int, random_: random.Random) -> dict[int, list[float]]:
    """Return {boot: throughputs} around a known centre."""
    found = {}
    for boot in range(boots):
        mine = centre * random_.lognormvariate(0, BETWEEN)
        found[boot] = [mine * random_.lognormvariate(0, WITHIN) for _ in range(rounds)]
    return found


def over_boots(boots: int, rounds: int, random_: random.Random) -> Counter[str]:
    """Simulate one run, and count for each kind of interval whether it contains the true value."""
    held: Counter[str] = Counter()
    one, many = (draw_boots(centre, boots, rounds, random_) for centre in (1.0, 6.0))
    held["median"] += summarize_boots(one).interval.holds(1.0)
    efficiency = parallel_efficiency(many, 8, one)
    held["efficiency"] += efficiency is not None and efficiency.interval.holds(0.75)
    above, below = {}, {}
    for boot, mine in one.items():
        favour = random_.lognormvariate(0, BETWEEN)
        for turn, value in enumerate(mine):
            below[boot, turn] = value
            above[boot, turn] = 2 * value * favour * random_.lognormvariate(0, WITHIN)
    ratio = paired_ratio(above, below)
    held["ratio"] += ratio is not None and ratio.interval.holds(2.0)
    for law, fit, kappa in (("Amdahl", fit_amdahl, 0.0), ("USL", fit_usl, KAPPA)):
        trials: Trials = {n: draw_boots(scaled(n, 1.0, SIGMA, kappa), boots, rounds, random_) for n in CORES}
        found = fit(trials)
        for name in ("one_core", "sigma", "kappa") if kappa else ("one_core", "sigma"):
            truth = {"one_core": 1.0, "sigma": SIGMA, "kappa": kappa}[name]
            held[f"{law} {name}"] += holds(found, name, truth)
    return held


def holds(fit: Fit, name: str, truth: float) -> bool:
    """Return whether the interval of a parameter contains its true value."""
    found = getattr(fit, name)
    return bool(found is not None and found.low is not None and found.low <= truth <= found.high)


def draw(name: str, spread: float, random_: random.Random) -> float:
    """Return a random value of a distribution with the median 1."""
    return random_.gauss(1.0, spread) if name.startswith("normal") else math.exp(random_.gauss(0.0, spread))


def stopped(name: str, spread: float, fewest: int, width: float | None, random_: random.Random) -> list[float]:
    """Return the values of one cell under the stopping rule, or without it if ``width`` is None."""
    values = [draw(name, spread, random_) for _ in range(fewest)]
    while width is not None and len(values) < fewest + MORE and not is_narrow(values, width):
        values.append(draw(name, spread, random_))
    return values


def coverage(name: str, fewest: int, factor: float | None, runs: int, random_: random.Random) -> tuple[float, float]:
    """Return (share of intervals that contain the median, median number of rounds)."""
    spread = SPREADS[name]
    width = None if factor is None else factor * spread
    samples = [stopped(name, spread, fewest, width, random_) for _ in range(runs)]
    return sum(summarize(values).interval.holds(1.0) for values in samples) / runs, statistics.median(map(len, samples))


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    random_ = random.Random(1)
    print(f"Over boots: {BETWEEN:.0%} between and {WITHIN:.0%} within; {runs} runs each".replace("%", " %"))
    print("| boots, rounds | median | ratio | efficiency | Amdahl: X(1), sigma | USL: X(1), sigma, kappa |")
    print("|---|---|---|---|---|---|")
    for boots in BOOTS:
        for rounds in ROUNDS:
            held: Counter[str] = sum((over_boots(boots, rounds, random_) for _ in range(runs)), Counter())
            shares = {name: f"{count / runs:.1%}".replace("%", " %") for name, count in held.items()}
            laws = [", ".join(s for name, s in shares.items() if name.startswith(law)) for law in ("Amdahl", "USL")]
            cells = [shares["median"], shares["ratio"], shares["efficiency"], *laws]
            print(f"| {boots}, {rounds} | {' | '.join(cells)} |", flush=True)
    print(f"\nWithin one boot, stopping rule on: {runs} runs each; widths in spreads; in brackets the median n")
    print(f"| distribution | n at least | no rule | {' | '.join(f'width {factor:g}' for factor in WIDTHS)} |")
    for name in SPREADS:
        for fewest in FEWEST:
            found = [coverage(name, fewest, factor, runs, random_) for factor in (None, *WIDTHS)]
            cells = [f"{share:.1%} ({n:.0f})".replace("%", " %") for share, n in found]
            print(f"| {name} | {fewest} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
