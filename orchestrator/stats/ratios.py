# SPDX-License-Identifier: Apache-2.0
"""How many times as much: paired within a round, or of two medians where nothing pairs them."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from orchestrator.stats.intervals import CONFIDENCE, Interval, summarize


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """The median of the ratios of ``n`` pairs, its interval, and how many values had no counterpart."""

    n: int
    median: float
    interval: Interval
    unpaired: int


def paired_ratio(
    numerator: Mapping[Hashable, float], denominator: Mapping[Hashable, float], confidence: float = CONFIDENCE
) -> PairedRatio | None:
    """Ratios of values that share a key, summarized.

    The key is what two values share, here (block, round): what drifts between rounds hits both alike and cancels.
    Keys on one side only, and pairs whose denominator is not positive, count as unpaired. None without a pair.
    """
    shared = [key for key in numerator if key in denominator and denominator[key] > 0]
    unpaired = len(numerator) + len(denominator) - 2 * len(shared)
    if not shared:
        return None
    summary = summarize((numerator[key] / denominator[key] for key in shared), confidence)
    return PairedRatio(summary.n, summary.median, summary.interval, unpaired)


@dataclass(frozen=True, slots=True)
class Quotient:
    """The ratio of two medians, with an interval made of both medians' intervals."""

    n_numerator: int
    n_denominator: int
    value: float
    interval: Interval


def quotient(
    numerator: Iterable[float], denominator: Iterable[float], confidence: float = CONFIDENCE
) -> Quotient | None:
    """The ratio of two medians of positive values that nothing pairs, for instance from different boots.

    Each median's interval is taken at a confidence of (1 + ``confidence``) / 2, so that both hold together with at
    least ``confidence`` (Bonferroni); the bounds are the extreme ratios. It is wide, and it is safe. Where one side
    has too few values for that, the bounds come from the ranges and the result says so. None where a side has no
    value, or the denominator is not positive.
    """
    above, below = list(numerator), list(denominator)
    if not above or not below or min(below) <= 0:
        return None
    one = (1 + confidence) / 2
    top, bottom = summarize(above, one), summarize(below, one)
    coverage = None
    if top.interval.coverage is not None and bottom.interval.coverage is not None:
        coverage = top.interval.coverage + bottom.interval.coverage - 1
        low, high = top.interval.low / bottom.interval.high, top.interval.high / bottom.interval.low
    else:  # an interval over a range would look narrower than what is known
        low, high = min(above) / max(below), max(above) / min(below)
    return Quotient(top.n, bottom.n, top.median / bottom.median, Interval(low, high, coverage))
