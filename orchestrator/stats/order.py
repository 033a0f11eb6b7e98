# SPDX-License-Identifier: Apache-2.0
"""Tests of whether values depend on the order in which they were measured: drift, and serial correlation.

Both tests are exact or by permutation, use ranks only, and take several series that are tested together: the trials of
a cell in each of its boots. Differences between boots are not drift, because values are only compared within their
boot.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FEWEST_FOR_ORDER = 3  # values in a series; shorter ones are ignored
_DRAWS = 40_000
_SEED = 19820301


def drift(series: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Return Kendall's tau of values with their order, over all series, and its exact two-sided p-value.

    This is the Mann-Kendall test of each series, summed over series. With ties the p-value is too large, if anything.
    Returns None if no series has three values. Sources: M. G. Kendall, A new measure of rank correlation, Biometrika
    30, 1938; R. M. Hirsch and J. R. Slack, A nonparametric trend test for seasonal data, Water Resources Research 20,
    1984.
    """
    kept = [values for values in series if len(values) >= FEWEST_FOR_ORDER]
    if not kept:
        return None
    score = sum(int(b > a) - int(b < a) for values in kept for a, b in combinations(values, 2))
    pairs = sum(len(values) * (len(values) - 1) // 2 for values in kept)
    counts = _inversions(tuple(sorted(map(len, kept))))
    # A score of S has (pairs - S) / 2 inversions; ties lie between two counts and go to the less extreme one.
    fewest = (pairs - abs(score) + 1) // 2
    tail = sum(counts[: fewest + 1])
    return score / pairs, min(1.0, 2 * tail / sum(counts))


@lru_cache(maxsize=256)
def _inversions(lengths: tuple[int, ...]) -> tuple[int, ...]:
    """Count the orders of series of these lengths that have 0, 1, 2 … inversions in total."""
    counts = [1]
    for length in lengths:
        for size in range(2, length + 1):  # the size-th value can stand before 0 to size - 1 of the others
            longer = [0] * (len(counts) + size - 1)
            for start, count in enumerate(counts):
                for more in range(size):
                    longer[start + more] += count
            counts = longer
    return tuple(counts)


def likeness(series: Sequence[Sequence[float]]) -> tuple[float, float] | None:
    """Return the lag-1 autocorrelation of ranks over all series, and its two-sided p-value by permutation.

    The statistic is the sum of squared differences of neighbouring ranks; its distribution comes from 40,000 seeded
    permutations within each series. Returns None if no series has three values, or if the values of each series are all
    equal. Source: R. Bartels, The rank version of von Neumann's ratio test for randomness, Journal of the American
    Statistical Association 77, 1982.
    """
    import numpy as np

    kept = sorted((values for values in series if len(values) >= FEWEST_FOR_ORDER), key=len)
    if not kept:
        return None
    ranks = [_ranks(values) for values in kept]
    steps = sum(float((np.diff(mine) ** 2).sum()) for mine in ranks)
    spread = sum(float(((mine - mine.mean()) ** 2).sum()) for mine in ranks)
    if spread == 0:
        return None
    null = _steps(tuple(map(len, kept)))
    below = int(np.searchsorted(null, steps + 1e-9))
    above = len(null) - int(np.searchsorted(null, steps - 1e-9))
    p_value = min(1.0, 2 * (min(below, above) + 1) / (_DRAWS + 1))
    products = sum(float(((mine - mine.mean())[1:] * (mine - mine.mean())[:-1]).sum()) for mine in ranks)
    return products / spread, p_value


def _ranks(values: Sequence[float]) -> "NDArray[np.float64]":
    """Return ranks from 1; ties share the mean of their ranks."""
    import numpy as np

    array = np.asarray(values, dtype=float)
    below = (array[None, :] < array[:, None]).sum(axis=1)
    equal = (array[None, :] == array[:, None]).sum(axis=1)
    ranks: NDArray[np.float64] = below + (equal + 1) / 2
    return ranks


@lru_cache(maxsize=64)
def _steps(lengths: tuple[int, ...]) -> "NDArray[np.float64]":
    """Return the sorted statistics of `likeness` for series of these lengths in random order."""
    import numpy as np

    random = np.random.default_rng((_SEED, *lengths))
    total = np.zeros(_DRAWS)
    for length in lengths:
        orders = random.permuted(np.tile(np.arange(length, dtype=float), (_DRAWS, 1)), axis=1)
        total += (np.diff(orders, axis=1) ** 2).sum(axis=1)
    return np.sort(total)
