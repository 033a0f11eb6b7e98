# SPDX-License-Identifier: Apache-2.0
"""The median of a few runs, and its confidence interval.

Here the run is the sample, which holds within one boot; `orchestrator.stats.boots` treats several. With fewer than six
runs no interval of the median reaches 95 %, whatever the method: even the range covers it with probability 1 - 2
(1/2)^n only, 93.8 % at n = 5. The range is given in that case, and is called so. From six runs on it is the
order-statistic (sign test) interval, which assumes no distribution: its bounds are two of the values themselves.
Source: David and Nagaraja, Order Statistics, 3rd edition, section 7.1.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from statistics import median

CONFIDENCE = 0.95
FEWEST_FOR_INTERVAL = 6
VALUES, ONE_BOOT, BOOTS = "values", "one boot", "boots"  # the sample of an interval
_LEVELS = (CONFIDENCE, 0.90)  # confidences that intervals are named by
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Interval:
    """An interval from ``low`` to ``high``, in the unit of the values.

    ``coverage``: the probability, at least, that such an interval covers the true median; None for a range, which is
    not a confidence interval. ``basis``: what the sample is. VALUES: independent values. ONE_BOOT: trials of one boot,
    so that nothing is said about other boots. BOOTS: several boots, so that the interval also holds for the next one.
    """

    low: float
    high: float
    coverage: float | None
    basis: str = VALUES

    @property
    def is_range(self) -> bool:
        """True if this is only the range from the smallest to the largest value, without a coverage."""
        return self.coverage is None

    @property
    def name(self) -> str:
        """Its name in a caption or table; an interval called 95 % covers at least 95 %."""
        if self.coverage is None:
            return "range of boots" if self.basis == BOOTS else "range"
        level = next((level for level in _LEVELS if self.coverage >= level - _ROUNDING), self.coverage)
        where = {VALUES: "", ONE_BOOT: " within one boot", BOOTS: " over boots"}[self.basis]
        return f"{level * 100:.0f} % interval{where}"

    def holds(self, value: float) -> bool:
        """Return True if ``value`` lies inside, bounds included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Summary:
    """The median of ``n`` values from ``boots`` boots, and its interval.

    With several boots, ``median`` is the geometric mean of the boots' medians; see `orchestrator.stats.boots`.
    """

    n: int
    median: float
    interval: Interval
    boots: int = 1


@lru_cache(maxsize=1024)
def order_ranks(n: int, confidence: float = CONFIDENCE) -> tuple[int, int, float] | None:
    """Return the ranks (from 1) of the two of ``n`` sorted values that bound the median, and the coverage.

    This is the narrowest symmetric pair that covers at least ``confidence``; None where even the range covers less.
    """
    outside = 0  # number of the 2^n sign patterns that leave the median outside, on one side
    best = None
    for rank in range(1, n // 2 + 1):
        outside += math.comb(n, rank - 1)
        coverage = 1 - 2 * outside / 2**n
        if coverage < confidence:
            break
        best = (rank, n + 1 - rank, coverage)
    return best


def summarize(values: Iterable[float], confidence: float = CONFIDENCE) -> Summary:
    """Return median and interval of finite values. Raises ValueError if there are none, or if one is not finite."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there is no value to summarize")
    if not all(map(math.isfinite, ordered)):
        raise ValueError("a value is not finite")
    ranks = order_ranks(len(ordered), confidence) if len(ordered) >= FEWEST_FOR_INTERVAL else None
    if ranks is None:
        interval = Interval(ordered[0], ordered[-1], None)
    else:
        low, high, coverage = ranks
        interval = Interval(ordered[low - 1], ordered[high - 1], coverage)
    return Summary(len(ordered), median(ordered), interval)
