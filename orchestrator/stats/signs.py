# SPDX-License-Identifier: Apache-2.0
"""p-values of whether one of two variants carried more than the other, for correction over many comparisons."""

import math

from orchestrator.stats.boots import t_quantile
from orchestrator.stats.intervals import BOOTS, CONFIDENCE
from orchestrator.stats.ratios import PairedRatio


def sign_test(ahead: int, n: int) -> float:
    """Return the two-sided p-value of being ahead in ``ahead`` of ``n`` rounds, where each round is a fair coin.

    It is exact, and assumes nothing about how far ahead; a tie is not ahead. It agrees with the order-statistic
    interval of the median ratio: that interval lies above 1, with a coverage of 95 % or more, if and only if this
    p-value is at most 5 %. Source: W. J. Conover, Practical Nonparametric Statistics, 3rd edition, section 3.4. Raises
    ValueError for impossible counts.
    """
    if not 0 <= ahead <= n or n < 1:
        raise ValueError(f"ahead in {ahead} of {n} rounds is impossible")
    outcomes = sum(math.comb(n, count) for count in range(ahead, n + 1))
    return min(1.0, outcomes / float(2 ** (n - 1)))


def ahead_test(ratio: PairedRatio, ahead: int, confidence: float = CONFIDENCE) -> float:
    """Return the two-sided p-value of a paired ratio above 1, consistent with the ratio's interval.

    Within one boot it is the sign test of ``ahead`` rounds in which the ratio was above 1; over boots it is the t test
    of the logarithms of the boots' medians, from the interval, whose confidence is ``confidence``.
    """
    from scipy.special import stdtr

    interval = ratio.interval
    if interval.basis != BOOTS:
        return sign_test(ahead, ratio.n)
    if interval.is_range or ratio.median <= 1:
        return 1.0
    freedom = ratio.boots - 1
    error = math.log(interval.high / interval.low) / 2 / t_quantile(confidence, freedom)
    return 2 * float(stdtr(freedom, -math.log(ratio.median) / error)) if error else 0.0
