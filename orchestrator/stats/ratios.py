# SPDX-License-Identifier: Apache-2.0
"""Ratios of throughputs: paired within a round, or of two medians where nothing pairs them."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from orchestrator.stats.boots import FEWEST_BOOTS, by_boot, summarize_boots, welch_interval
from orchestrator.stats.intervals import CONFIDENCE, ONE_BOOT, Interval, summarize


@dataclass(frozen=True, slots=True)
class PairedRatio:
    """The ratio of ``n`` pairs from ``boots`` boots, its interval, and how many values had no counterpart.

    ``median``: of the pairs' ratios; with several boots the geometric mean of the boots' medians.
    """

    n: int
    median: float
    interval: Interval
    unpaired: int
    boots: int = 1


def paired_ratio(
    numerator: Mapping[tuple[Any, ...], float],
    denominator: Mapping[tuple[Any, ...], float],
    confidence: float = CONFIDENCE,
) -> PairedRatio | None:
    """Return the summary of the ratios of values that share a key, or None without a pair.

    The key is what two values share, here (testbed, block, round): drift between rounds and the boot affect both alike
    and cancel. The part before the round identifies the boot. With one boot the interval is that of the ratios within
    it; with more it is over boots, from each boot's median ratio: see `orchestrator.stats.boots`. Keys on one side
    only, and pairs whose denominator is not positive, count as unpaired.
    """
    shared = [key for key in numerator if key in denominator and denominator[key] > 0]
    unpaired = len(numerator) + len(denominator) - 2 * len(shared)
    if not shared:
        return None
    boots = by_boot({key: numerator[key] / denominator[key] for key in shared})
    summary = summarize_boots({boot: mine.values() for boot, mine in boots.items()}, confidence)
    return PairedRatio(summary.n, summary.median, summary.interval, unpaired, summary.boots)


@dataclass(frozen=True, slots=True)
class Quotient:
    """The ratio of two medians of unpaired values. ``boots``: of the side with fewer."""

    n_numerator: int
    n_denominator: int
    value: float
    interval: Interval
    boots: int = 1


def quotient_of_boots(
    numerator: Mapping[Hashable, Iterable[float]],
    denominator: Mapping[Hashable, Iterable[float]],
    confidence: float = CONFIDENCE,
) -> Quotient | None:
    """Return the ratio of two unpaired sets of positive values by boot, for instance of two core counts.

    With at least two boots per side: the ratio of the geometric means of the boots' medians, and Welch's interval over
    boots. Where a side has one boot, nothing tells how much another boot would differ: the interval is that of
    `quotient`, from the values within these boots. Returns None if a side has no value, or one that is not positive.
    """
    above, below = ({boot: list(mine) for boot, mine in side.items()} for side in (numerator, denominator))
    above, below = ({boot: mine for boot, mine in side.items() if mine} for side in (above, below))
    values = [[value for mine in side.values() for value in mine] for side in (above, below)]
    boots = min(len(above), len(below))
    if not all(values) or min(map(min, values)) <= 0:
        return None
    if boots < FEWEST_BOOTS:
        found = quotient(values[0], values[1], confidence)
        return None if found is None else replace(found, interval=replace(found.interval, basis=ONE_BOOT))
    value, interval = welch_interval(map(median, above.values()), map(median, below.values()), confidence)
    return Quotient(len(values[0]), len(values[1]), value, interval, boots)


def quotient(
    numerator: Iterable[float], denominator: Iterable[float], confidence: float = CONFIDENCE
) -> Quotient | None:
    """Return the ratio of two medians of unpaired positive values, for instance from different boots.

    Each median's interval is taken at a confidence of (1 + ``confidence``) / 2, so that both hold together with at
    least ``confidence`` (Bonferroni); the bounds are the extreme ratios, which is conservative. Where one side has too
    few values for that, the bounds come from the ranges and the result says so. Returns None if a side has no value, or
    if the denominator is not positive.
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
    else:  # mixing an interval with a range would look narrower than what is known
        low, high = min(above) / max(below), max(above) / min(below)
    return Quotient(top.n, bottom.n, top.median / bottom.median, Interval(low, high, coverage))
