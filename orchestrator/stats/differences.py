# SPDX-License-Identifier: Apache-2.0
"""Whether two groups of runs differ by more than their noise, asked many times at once."""

import math
from collections.abc import Sequence

_MOST_FOR_EXACT = 10_000  # the product of both sizes; beyond it the normal approximation is as good


def rank_test(one: Sequence[float], other: Sequence[float]) -> float:
    """The p-value, two-sided, of the hypothesis that both samples come from one distribution.

    It assumes no distribution. The exact rank-sum test where no two values are equal, else its normal approximation
    with the correction for ties. Source: Mann and Whitney, On a test of whether one of two random variables is
    stochastically larger than the other, Annals of Mathematical Statistics 18, 1947. Raises ValueError for an empty
    sample.
    """
    from scipy.stats import mannwhitneyu

    if not one or not other:
        raise ValueError("a sample is empty")
    values = [*one, *other]
    if min(values) == max(values):
        return 1.0
    exact = len(set(values)) == len(values) and len(one) * len(other) <= _MOST_FOR_EXACT
    return float(mannwhitneyu(one, other, alternative="two-sided", method="exact" if exact else "asymptotic").pvalue)


def smallest_p(n: int, m: int) -> float:
    """The smallest p-value that the exact rank-sum test of ``n`` and ``m`` values can give."""
    return min(1.0, 2 / math.comb(n + m, n))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values adjusted for being many, in the order given: compared with 5 %, the chance of one false alarm in the
    whole family is at most 5 %, whatever depends on what.

    Source: S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6,
    1979.
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, p_values[place] * (len(p_values) - rank)))
        adjusted[place] = largest
    return adjusted
