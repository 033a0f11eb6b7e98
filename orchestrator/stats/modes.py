# SPDX-License-Identifier: Apache-2.0
"""Detection of bimodal values, whose median may be a number that no trial came near.

The values are cut into two groups where the groups differ most. Each group has at least two values, so that a single
outlier is not a group. The statistic is the share of the variance that lies between the groups. Source: L. Engelman and
J. A. Hartigan, Percentage points of a test for clusters, Journal of the American Statistical Association 64, 1969.

Its p-value is the larger of two, each from 40,000 seeded draws: under the uniform distribution, which of the unimodal,
short-tailed distributions is split best, and under the exponential one, for skewed distributions. Hartigan's dip test
was compared: with six values it misses groups of two and four, which this test finds.
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median
from typing import TYPE_CHECKING, TypeVar

from orchestrator.stats.differences import holm

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Cell = TypeVar("Cell")
FEWEST_FOR_MODES = 6
CERTAIN, PROBABLE = "certain", "probable"
_ALARM, _FALSE_RUNS = 0.05, 0.025
_SMALLEST_GROUP = 2
_DRAWS = 40_000
_SEED = 19690401


@dataclass(frozen=True, slots=True)
class Mode:
    """A group of values: their number, median, minimum and maximum, in the unit of the values."""

    n: int
    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Split:
    """The best cut of values in two. ``p_value``: how often, at most, unimodal values are split as well as this."""

    lower: Mode
    upper: Mode
    p_value: float


@dataclass(frozen=True, slots=True)
class Modes:
    """The two groups of trials of a bimodal cell, and whether this is ``certain`` or ``probable``."""

    lower: Mode
    upper: Mode
    how_sure: str


def modes_among(values: Mapping[Cell, Mapping[Hashable, Sequence[float]]]) -> dict[Cell, Modes]:
    """Return the bimodal cells among ``values``, which has the values of each cell's trials by boot.

    With several boots the distance of a value from the mean of its boot counts, because differences between boots are
    not modes. A cell is certainly bimodal if its p-value, corrected by Holm for the number of cells, is at most 2.5 %.
    It is probably bimodal if its own p-value is at most 5 % and as many cells reach that as happens by chance in at
    most 2.5 % of runs (binomial): with six trials per cell no single p-value is small enough among many cells, but
    several together are. Of the runs whose cells are all unimodal, at most 5 % get any flag.
    """
    splits = {cell: split for cell, boots in values.items() if (split := _split_of(boots)) is not None}
    corrected = dict(zip(splits, holm([split.p_value for split in splits.values()]), strict=True))
    low = [cell for cell, split in splits.items() if split.p_value <= _ALARM]
    by_chance = sum(
        math.comb(len(splits), k) * _ALARM**k * (1 - _ALARM) ** (len(splits) - k)
        for k in range(len(low), len(splits) + 1)
    )
    found = {}
    for cell in low:
        certain = corrected[cell] <= _FALSE_RUNS
        if certain or by_chance <= _FALSE_RUNS:
            found[cell] = Modes(splits[cell].lower, splits[cell].upper, CERTAIN if certain else PROBABLE)
    return found


def _split_of(boots: Mapping[Hashable, Sequence[float]]) -> Split | None:
    """Return the best cut of the values of all boots, by each value's distance from the mean of its boot."""
    every = [value for values in boots.values() for value in values]
    if len(boots) == 1:
        return best_split(every)
    distances = [value - fmean(values) for values in boots.values() for value in values]
    found = best_split(distances)
    if found is None:
        return None
    lower = sorted(value for distance, value in zip(distances, every, strict=True) if distance <= found.lower.high)
    upper = sorted(value for distance, value in zip(distances, every, strict=True) if distance > found.lower.high)
    return Split(_mode(lower), _mode(upper), found.p_value)


def best_split(values: Iterable[float]) -> Split | None:
    """Cut finite values into two groups, and test whether the cut is better than chance.

    Returns None for fewer than six values, or if all are equal.
    """
    import numpy as np

    ordered = np.sort(np.fromiter(values, dtype=float))
    if len(ordered) < FEWEST_FOR_MODES or ordered[0] == ordered[-1]:
        return None
    shares, places = _between(ordered[None, :])
    null = _null(len(ordered))
    # Slightly lowered because of rounding, so that a draw equal to the value counts.
    reached = [len(draws) - int(np.searchsorted(draws, shares[0] - 1e-12)) for draws in null]
    p_value = max(float(count + 1) / (_DRAWS + 1) for count in reached)
    cut = int(places[0])
    return Split(_mode(ordered[:cut].tolist()), _mode(ordered[cut:].tolist()), p_value)


def _mode(values: Sequence[float]) -> Mode:
    return Mode(len(values), median(values), values[0], values[-1])


def _between(ordered: "NDArray[np.float64]") -> "tuple[NDArray[np.float64], NDArray[np.int64]]":
    """Return each row's largest between-group share of the variance, and the size of the lower group.

    Each row is sorted.
    """
    import numpy as np

    n = ordered.shape[1]
    deviations = ordered - ordered.mean(axis=1, keepdims=True)
    sizes = np.arange(_SMALLEST_GROUP, n - _SMALLEST_GROUP + 1)
    sums = np.cumsum(deviations, axis=1)[:, sizes - 1]
    between = sums**2 * n / (sizes * (n - sizes))
    best = between.argmax(axis=1)
    share = between[np.arange(len(ordered)), best] / (deviations**2).sum(axis=1)
    return share, sizes[best]


@lru_cache(maxsize=64)
def _null(n: int) -> "tuple[NDArray[np.float64], ...]":
    """Return the sorted statistics of ``n`` unimodal values: uniform ones, and exponential ones."""
    import numpy as np

    random = np.random.default_rng((_SEED, n))
    drawn = random.random((_DRAWS, n)), random.exponential(size=(_DRAWS, n))
    return tuple(np.sort(_between(np.sort(values, axis=1))[0]) for values in drawn)
