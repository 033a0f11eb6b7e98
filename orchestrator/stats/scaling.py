# SPDX-License-Identifier: Apache-2.0
"""How throughput grows with cores."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import replace

from orchestrator.stats.intervals import CONFIDENCE
from orchestrator.stats.ratios import Quotient, quotient_of_boots

FEWEST_CORE_COUNTS = 3  # two points always lie on a line: they make no scaling claim


def shows_scaling(core_counts: Iterable[int]) -> bool:
    """True if there are enough different core counts to speak of scaling at all."""
    return len(set(core_counts)) >= FEWEST_CORE_COUNTS


def ideal_throughput(reference: float, reference_cores: int, cores: float) -> float:
    """What ``cores`` would carry if each carried as much as each of the ``reference_cores`` does."""
    return reference / reference_cores * cores


def parallel_efficiency(
    values: Mapping[Hashable, Iterable[float]],
    cores: int,
    one_core: Mapping[Hashable, Iterable[float]],
    confidence: float = CONFIDENCE,
) -> Quotient | None:
    """Throughput a core at ``cores``, over that of one core; 1 is linear scaling.

    ``values`` and ``one_core``: the throughputs of trials by boot. Core counts are of different boots, so nothing pairs
    them: the interval is that of `quotient_of_boots`. None where one of them is empty or not positive.
    """
    whole = quotient_of_boots(values, one_core, confidence)
    if whole is None:
        return None
    interval = replace(whole.interval, low=whole.interval.low / cores, high=whole.interval.high / cores)
    return replace(whole, value=whole.value / cores, interval=interval)
