# SPDX-License-Identifier: Apache-2.0
"""Scaling of throughput with cores."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

from orchestrator.stats.intervals import CONFIDENCE
from orchestrator.stats.ratios import Quotient, quotient_of_boots

FEWEST_CORE_COUNTS = 3  # two points always lie on a line and support no scaling claim


def shows_scaling(core_counts: Iterable[int]) -> bool:
    """Return True if there are enough different core counts for a scaling claim."""
    return len(set(core_counts)) >= FEWEST_CORE_COUNTS


def ideal_throughput(reference: float, reference_cores: int, cores: float) -> float:
    """Return the throughput of ``cores`` if each carried as much as each of the ``reference_cores`` does."""
    return reference / reference_cores * cores


def parallel_efficiency(
    values: Mapping[Hashable, Iterable[float]],
    cores: int,
    one_core: Mapping[Hashable, Iterable[float]],
    confidence: float = CONFIDENCE,
) -> Quotient | None:
    """Return the throughput per core at ``cores`` relative to that of one core; 1 is linear scaling.

    ``values`` and ``one_core``: the throughputs of trials by boot. Core counts have different boots, so nothing pairs
    them: the interval is that of `quotient_of_boots`. Returns None if either is empty or not positive.
    """
    whole = quotient_of_boots(values, one_core, confidence)
    if whole is None:
        return None
    interval = replace(whole.interval, low=whole.interval.low / cores, high=whole.interval.high / cores)
    return replace(whole, value=whole.value / cores, interval=interval)
