# SPDX-License-Identifier: Apache-2.0
"""What difference between two runs a comparison of their cells can tell, before anything is measured.

A comparison (`orch compare`) asks in every cell whether the trials of two runs differ, by the exact rank-sum test, and
corrects for the number of cells after Holm. The smallest p-value that a number of trials can give, times the number of
cells, must be 5 % or less, or else no difference is ever told, however large.
"""

import math
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import median, stdev

from orchestrator.stats.differences import rank_sum_counts, smallest_p

ALPHA = 0.05  # the chance of one false alarm in a whole comparison, at most
POWER = 0.80  # how often a difference is to be told
TYPICAL_SPREAD = 0.05  # of a trial about its cell's median, assumed before anything is measured
_MOST_TRIALS = 30  # on a side: of more, what that many can tell
_SIMULATED = 600
_SEED = 20240717


@dataclass(frozen=True, slots=True)
class Detectable:
    """What a comparison of ``cells`` cells, with ``n`` trials on one side and ``m`` on the other, can tell.

    ``spread``: the standard deviation of a trial, as a share of its cell's median. ``ratio``: of two medians, above 1,
    that is told with 80 % power in the cell with the smallest p-value, which Holm multiplies by the number of cells;
    None where nothing can be told. ``needed``: the fewest trials on both sides with which anything can be.
    """

    cells: int
    n: int
    m: int
    spread: float
    ratio: float | None
    needed: int

    @property
    def sentence(self) -> str:
        """For a person; without a subject in front, such as: `orch compare` with ..."""
        trials = f"{self.n}" if self.n == self.m else f"{self.n} and {self.m}"
        what = f"with {trials} trials on each side of {self.cells} cell{'s' * (self.cells != 1)}"
        if self.ratio is None:
            return f"{what}, no difference can be told, however large: that takes {self.needed} trials on each side"
        return (
            f"{what}, a ratio of medians of {self.ratio:.2f} or {1 / self.ratio:.2f} is told with {POWER:.0%} power "
            f"where trials spread by {self.spread:.1%}"
        ).replace("%", " %")


def detectable(cells: int, n: int, m: int, spread: float = TYPICAL_SPREAD) -> Detectable:
    """What difference is told by ``n`` and ``m`` trials in each of ``cells`` cells; see `Detectable`.

    Trials are taken as log-normal with the same spread in both runs. With d = ln(ratio) the rank-sum statistic is the
    number of pairs (x, y) with x - y < d, so that a sample rejects exactly from one of the ordered differences on; the
    ratio is the quantile of that over 600 simulated samples with a fixed seed. Raises ValueError for less than one
    trial or cell.
    """
    if min(cells, n, m) < 1:
        raise ValueError("there is no trial or no cell to compare")
    needed = next(count for count in range(1, 1000) if smallest_p(count, count) * cells <= ALPHA)
    shift = _shift(min(n, _MOST_TRIALS), min(m, _MOST_TRIALS), ALPHA / cells)
    return Detectable(cells, n, m, spread, None if shift is None else math.exp(shift * spread), needed)


@lru_cache(maxsize=256)
def _shift(n: int, m: int, alpha: float) -> float | None:
    """The shift of one of two normal samples, in standard deviations, that the test at ``alpha`` tells with `POWER`."""
    place = _critical(n, m, alpha)
    if place is None:
        return None
    random_ = random.Random(_SEED)
    found = []
    for _ in range(_SIMULATED):
        x, y = ([random_.gauss(0.0, 1.0) for _ in range(size)] for size in (n, m))
        found.append(sorted(one - other for one in x for other in y)[place - 1])
    return max(0.0, sorted(found)[math.ceil(POWER * _SIMULATED) - 1])


def _critical(n: int, m: int, alpha: float) -> int | None:
    """The fewest pairs of n * m in which the second must be larger for p <= alpha; None where even all are too few."""
    counts = rank_sum_counts(tuple(range(1, n + m + 1)), n)[n * (n + 1) // 2 :]  # by pairs, from 0 on
    most, tail, best = math.comb(n + m, n) * alpha / 2, 0, None
    for pairs in range(n * m, -1, -1):
        tail += counts[pairs]
        if tail > most:
            break
        best = pairs
    return best


def relative_spread(samples: Iterable[Sequence[float]]) -> float | None:
    """The median over cells of the standard deviation of their trials, as a share of the cell's median; None where no
    cell has two trials."""
    found = [stdev(values) / abs(median(values)) for values in samples if len(values) > 1 and median(values)]
    return median(found) if found else None
