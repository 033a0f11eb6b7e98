# SPDX-License-Identifier: Apache-2.0
"""The smallest difference between two runs that a comparison of their cells can detect, before anything is measured.

A comparison (`orch compare`) asks in every cell whether two runs differ, and corrects for the number of cells by Holm's
method. Where each run has one boot of a cell, it compares trials, by the exact rank-sum test: the smallest p-value that
this number of trials can give, times the number of cells, must be 5 % or less; otherwise no difference is ever
detected, however large. Where both have several boots, it compares boots, by Welch's t test.
"""

import math
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median, stdev

from orchestrator.stats.boots import FEWEST_BOOTS, t_quantile, welch
from orchestrator.stats.differences import rank_sum_counts, smallest_p

ALPHA = 0.05  # the chance of one false alarm in a whole comparison, at most
POWER = 0.80  # how often a difference is to be detected
TYPICAL_SPREAD = 0.05  # of a trial about its cell's median, assumed before anything is measured
_MOST_SIMULATED = 20  # on a side; with n times as many, the shift is smaller by the square root of n
_SIMULATED = 600
_SEED = 20240717


@dataclass(frozen=True, slots=True)
class Detectable:
    """What a comparison of ``cells`` cells, with ``n`` trials on one side and ``m`` on the other, can detect.

    ``boots``: of the side with fewer; from two on the boot is the sample. ``spread``: the standard deviation of the
    samples, as a share of the median. ``ratio``: the ratio of two medians, above 1, that is detected with 80 % power in
    the cell with the smallest p-value, which Holm multiplies by the number of cells; None where nothing can be
    detected. ``needed``: where the trial is the sample, the fewest trials on each side with which anything can be
    detected.
    """

    cells: int
    n: int
    m: int
    boots: int
    spread: float
    ratio: float | None
    needed: int

    @property
    def sentence(self) -> str:
        """The result as a sentence without a full stop: 6 trials on each side of 18 cells can detect ..."""
        what = f"{self.n}" if self.n == self.m else f"{self.n} and {self.m}"
        what += f" trials in {self.boots} boots" if self.boots >= FEWEST_BOOTS else f" trial{'s' * (self.n > 1)}"
        what = f"{what} on each side of {self.cells} cell{'s' * (self.cells != 1)} can detect"
        if self.ratio is None:
            return f"{what} no difference, however large; that takes {self.needed} trials on each side"
        unit = "boots" if self.boots >= FEWEST_BOOTS else "trials"
        return (
            f"{what} a ratio of medians of {self.ratio:.2f} or {1 / self.ratio:.2f} with {POWER:.0%} power if {unit} "
            f"spread by {self.spread:.1%}"
        ).replace("%", " %")


def detectable(cells: int, n: int, m: int, spread: float = TYPICAL_SPREAD, boots: int = 1) -> Detectable:
    """Return the difference that ``n`` and ``m`` trials in each of ``cells`` cells can detect; see `Detectable`.

    Trials (or boots) are taken as log-normal with the same spread in both runs, and 600 samples are simulated with a
    fixed seed. Each gives the smallest d = ln(ratio) at which the test would reject: for the rank-sum statistic, which
    is the number of pairs (x, y) with x - y < d, one of the ordered differences; for the t test, the quantile times the
    standard error, less the difference that is there by chance. The ratio follows from the quantile of these. Raises
    ValueError for fewer than one trial, boot or cell.
    """
    if min(cells, n, m, boots) < 1:
        raise ValueError("there is no trial or no cell to compare")
    needed = next(count for count in range(1, 1000) if smallest_p(count, count) * cells <= ALPHA)
    if boots >= FEWEST_BOOTS:
        larger = max(1.0, boots / _MOST_SIMULATED)
        shift = _shift_of_boots(round(boots / larger), ALPHA / cells)
    else:
        larger = max(1.0, max(n, m) / _MOST_SIMULATED)
        shift = _shift(max(1, round(n / larger)), max(1, round(m / larger)), ALPHA / cells)
    ratio = None if shift is None else math.exp(shift / math.sqrt(larger) * spread)
    return Detectable(cells, n, m, boots, spread, ratio, needed)


@lru_cache(maxsize=256)
def _shift(n: int, m: int, alpha: float) -> float | None:
    """Return the shift, in standard deviations, that the rank-sum test at ``alpha`` detects with `POWER`, or None."""
    place = _critical(n, m, alpha)
    if place is None:
        return None
    return _quantile(sorted(one - other for one in x for other in y)[place - 1] for x, y in _samples(n, m))


@lru_cache(maxsize=256)
def _shift_of_boots(boots: int, alpha: float) -> float | None:
    """Return the shift that Welch's t test at ``alpha`` detects with `POWER`, with ``boots`` boots on each side."""
    needed = []
    for x, y in _samples(boots, boots):
        error, freedom = welch(x, y)
        needed.append(t_quantile(1 - alpha, freedom) * error + fmean(x) - fmean(y))
    return _quantile(needed)


def _samples(n: int, m: int) -> Iterator[tuple[list[float], list[float]]]:
    """Yield pairs of standard normal samples, always the same."""
    random_ = random.Random(_SEED)
    for _ in range(_SIMULATED):
        x, y = ([random_.gauss(0.0, 1.0) for _ in range(size)] for size in (n, m))
        yield x, y


def _quantile(shifts: Iterable[float]) -> float:
    """Return the shift that suffices for a share `POWER` of the samples."""
    return max(0.0, sorted(shifts)[math.ceil(POWER * _SIMULATED) - 1])


def _critical(n: int, m: int, alpha: float) -> int | None:
    """Return the fewest of n * m pairs in which the second must be larger for p <= alpha; None if all are too few."""
    counts = rank_sum_counts(tuple(range(1, n + m + 1)), n)[n * (n + 1) // 2 :]  # by pairs, from 0 on
    most, tail, best = math.comb(n + m, n) * alpha / 2, 0, None
    for pairs in range(n * m, -1, -1):
        tail += counts[pairs]
        if tail > most:
            break
        best = pairs
    return best


def relative_spread(samples: Iterable[Sequence[float]]) -> float | None:
    """Return the median over cells of their trials' standard deviation, as a share of the cell's median.

    Returns None if no cell has two trials.
    """
    found = [stdev(values) / abs(median(values)) for values in samples if len(values) > 1 and median(values)]
    return median(found) if found else None
