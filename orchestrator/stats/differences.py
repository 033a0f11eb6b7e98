# SPDX-License-Identifier: Apache-2.0
"""Tests of whether two groups of runs differ by more than noise, and the correction for asking this many times."""

import math
import struct
from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import fmean

from orchestrator.stats.boots import FEWEST_BOOTS, welch

_MOST_FOR_ENUMERATION = 60  # values in both samples together: their divisions can be counted in 64 bits
_MOST_FOR_EXACT = 10_000  # product of both sample sizes; above it the normal approximation is as good


def rank_test(one: Sequence[float], other: Sequence[float]) -> float:
    """Return the two-sided p-value of the rank-sum test that both samples come from one distribution.

    The test assumes no particular distribution. Up to 60 values it is exact, even with ties: the share of all ways to
    divide the values into two samples of these sizes in which the rank sum is at least as far from its mean as
    observed; tied values share the mean of their ranks. Beyond 60 it is exact without ties, and otherwise the normal
    approximation with the tie correction. Source: Mann and Whitney, On a test of whether one of two random variables is
    stochastically larger than the other, Annals of Mathematical Statistics 18, 1947; with ties: E. L. Lehmann,
    Nonparametrics: Statistical Methods Based on Ranks, 1975, section 1.4. Raises ValueError for an empty sample.
    """
    if not one or not other:
        raise ValueError("a sample is empty")
    values = [*one, *other]
    if min(values) == max(values):
        return 1.0
    if len(values) <= _MOST_FOR_ENUMERATION:
        ranks = _double_ranks(values)
        counts = rank_sum_counts(tuple(sorted(ranks)), len(one))
        # Doubled ranks, multiplied by the number of values, keep all numbers whole.
        size, mean = len(values), len(one) * sum(ranks)
        away = abs(size * sum(ranks[: len(one)]) - mean)
        far = sum(count for total, count in enumerate(counts) if abs(size * total - mean) >= away)
        return far / math.comb(size, len(one))
    from scipy.stats import mannwhitneyu

    exact = len(set(values)) == len(values) and len(one) * len(other) <= _MOST_FOR_EXACT
    return float(mannwhitneyu(one, other, alternative="two-sided", method="exact" if exact else "asymptotic").pvalue)


def _double_ranks(values: Sequence[float]) -> list[int]:
    """Return twice the rank of each value, from 1; ties share the mean of their ranks, and doubling keeps it whole."""
    ordered = sorted(values)
    below = {value: place for place, value in reversed(list(enumerate(ordered)))}
    up_to = {value: place for place, value in enumerate(ordered, start=1)}
    return [below[value] + 1 + up_to[value] for value in values]


@lru_cache(maxsize=256)
def rank_sum_counts(ranks: tuple[int, ...], n: int) -> tuple[int, ...]:
    """Count, for each sum from 0 upwards, the ways to choose ``n`` of the whole numbers ``ranks`` that have this sum.

    There are at most 60 ranks, none of them negative, and ``n`` is at least 1.
    """
    # Each row is a polynomial whose coefficient of x**total counts the samples with this sum, packed into one whole
    # number with 64 bits a coefficient; none overflows, since 60 ranks have less than 2**60 samples of any size.
    rows = [1] + [0] * n
    for rank in ranks:
        # Larger samples first, so that no rank is taken twice.
        for size in range(n, 0, -1):
            rows[size] += rows[size - 1] << 64 * rank
    coefficients = sum(sorted(ranks)[-n:]) + 1
    return struct.unpack(f"<{coefficients}Q", rows[n].to_bytes(8 * coefficients, "little"))


def boots_test(one: Iterable[float], other: Iterable[float]) -> float:
    """Return the two-sided p-value of the hypothesis that two sets of boots come from one distribution.

    ``one``, ``other``: one positive number per boot, such as the median of its trials; at least two per side. This is
    Welch's t test of their logarithms, with the boot as the sample, because trials of one boot are not independent.
    Source: see `orchestrator.stats.boots`. Raises ValueError if a side has fewer than two boots.
    """
    from scipy.special import stdtr

    sides = [[math.log(value) for value in side] for side in (one, other)]
    if min(map(len, sides)) < FEWEST_BOOTS:
        raise ValueError(f"a side has fewer than {FEWEST_BOOTS} boots")
    away = abs(fmean(sides[0]) - fmean(sides[1]))
    error, freedom = welch(*sides)
    if error == 0:
        return float(away == 0)
    return float(2 * stdtr(freedom, -away / error))


def smallest_p(n: int, m: int) -> float:
    """Return the smallest p-value that the exact rank-sum test of ``n`` and ``m`` values can give."""
    return min(1.0, 2 / math.comb(n + m, n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for multiple comparisons by Holm's method, in the order given.

    Comparing the adjusted values with 5 % keeps the chance of any false alarm in the family at 5 % or less, whatever
    the dependence between the tests. Source: S. Holm, A simple sequentially rejective multiple test procedure,
    Scandinavian Journal of Statistics 6, 1979.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted
