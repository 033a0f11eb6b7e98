# SPDX-License-Identifier: Apache-2.0
"""Intervals whose sample is the boot, because a computer is slightly faster or slower after each restart.

Trials of one boot share what the boot happened to be (where memory lies, which core serves which interrupt), so many
trials of one boot are not independent. In a simulation with a spread of 5 % between boots and 2 % within, intervals
that take trials as independent cover an efficiency in 57 % of cases where they claim 95 %. The trials of each boot are
therefore reduced to their median, and the interval is computed from the boots' medians: with k boots, a t interval with
k - 1 degrees of freedom on their logarithms, since throughputs are positive and disturbances multiply them. Its centre
is the geometric mean of the boots' medians. The number of trials per boot does not enter the interval: their noise is
part of the medians and so of the spread between boots. For the ratio of two unpaired sets of boots, the degrees of
freedom are those of Welch and Satterthwaite.

Sources: G. E. P. Box, J. S. Hunter, W. G. Hunter, Statistics for Experimenters, 2nd edition, Wiley, 2005, chapters 2
and 3 (the experimental unit; intervals of a mean); B. L. Welch, The generalization of Student's problem when several
different population variances are involved, Biometrika 34, 1947; for computers, T. Kalibera and R. Jones, Rigorous
Benchmarking in Reasonable Time, ISMM 2013. Simulated coverage: benchmarks/coverage.py, docs/statistics.md.

With one boot nothing is known about the next one: the interval is then the order-statistic interval of its trials, and
its name says "within one boot".
"""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, median, variance
from typing import Any

from orchestrator.stats.intervals import BOOTS, CONFIDENCE, ONE_BOOT, Interval, Summary, summarize

FEWEST_BOOTS = 2


def by_boot(values: Mapping[tuple[Any, ...], float]) -> dict[Hashable, dict[Hashable, float]]:
    """Return {boot: {round: value}} for values keyed by (..., round).

    The part of the key before the round, such as (testbed, block), identifies the boot.
    """
    found: dict[Hashable, dict[Hashable, float]] = {}
    for key, value in values.items():
        found.setdefault(key[:-1], {})[key[-1]] = value
    return found


def summarize_boots(boots: Mapping[Hashable, Iterable[float]], confidence: float = CONFIDENCE) -> Summary:
    """Return the centre and interval of positive values grouped by boot, such as the throughputs of a cell's trials.

    With one boot: the median of its values, and their order-statistic interval (or range) within this boot. With more:
    the geometric mean of the boots' medians, and the t interval over boots (see the module). If a boot's median is not
    positive: the median of the boots' medians, and their range. Raises ValueError if there are no values or one is not
    finite.
    """
    kept = {boot: mine for boot, mine in ((boot, list(values)) for boot, values in boots.items()) if mine}
    if len(kept) < FEWEST_BOOTS:
        summary = summarize((value for mine in kept.values() for value in mine), confidence)
        return replace(summary, interval=replace(summary.interval, basis=ONE_BOOT))
    summaries = [summarize(mine) for mine in kept.values()]
    n, medians = sum(one.n for one in summaries), [one.median for one in summaries]
    if min(medians) <= 0:
        return Summary(n, median(medians), Interval(min(medians), max(medians), None, BOOTS), len(medians))
    centre, interval = log_t_interval(medians, confidence)
    return Summary(n, centre, interval, len(medians))


def log_t_interval(values: Iterable[float], confidence: float = CONFIDENCE) -> tuple[float, Interval]:
    """Return the geometric mean of two or more positive values, one per boot, and its t interval.

    The interval is that of the logarithms.
    """
    logs = [math.log(value) for value in values]
    centre, error = fmean(logs), math.sqrt(variance(logs) / len(logs))
    reach = t_quantile(confidence, len(logs) - 1) * error
    interval = Interval(math.exp(centre - reach), math.exp(centre + reach), confidence, BOOTS)
    return math.exp(centre), interval


def welch_interval(
    above: Iterable[float], below: Iterable[float], confidence: float = CONFIDENCE
) -> tuple[float, Interval]:
    """Return the ratio of the geometric means of two sets of positive values, and its t interval.

    Each side has at least two values, one per boot. The interval is that of the logarithms, with the degrees of freedom
    of Welch and Satterthwaite.
    """
    top, bottom = ([math.log(value) for value in side] for side in (above, below))
    error, freedom = welch(top, bottom)
    centre = fmean(top) - fmean(bottom)
    reach = t_quantile(confidence, freedom) * error
    interval = Interval(math.exp(centre - reach), math.exp(centre + reach), confidence, BOOTS)
    return math.exp(centre), interval


def welch(one: Sequence[float], other: Sequence[float]) -> tuple[float, float]:
    """Return (standard error of the difference of two means, its degrees of freedom).

    Each side has at least two values.
    """
    errors = [variance(side) / len(side) for side in (one, other)]
    parts = sum(error**2 / (len(side) - 1) for error, side in zip(errors, (one, other), strict=True))
    freedom = sum(errors) ** 2 / parts if parts > 0 else float(len(one) + len(other) - 2)
    return math.sqrt(sum(errors)), freedom


def t_quantile(confidence: float, freedom: float) -> float:
    """Return the half-width of an interval of this confidence in standard errors, from Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))
