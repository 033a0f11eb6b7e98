# SPDX-License-Identifier: Apache-2.0
"""How throughput grows with cores."""

from collections.abc import Iterable

from orchestrator.stats.intervals import CONFIDENCE, Interval
from orchestrator.stats.ratios import Quotient, quotient

FEWEST_CORE_COUNTS = 3  # two points always lie on a line: they make no scaling claim


def shows_scaling(core_counts: Iterable[int]) -> bool:
    """True if there are enough different core counts to speak of scaling at all."""
    return len(set(core_counts)) >= FEWEST_CORE_COUNTS


def ideal_throughput(reference: float, reference_cores: int, cores: float) -> float:
    """What ``cores`` would carry if each carried as much as each of the ``reference_cores`` does."""
    return reference / reference_cores * cores


def parallel_efficiency(
    values: Iterable[float],
    cores: int,
    reference: Iterable[float],
    reference_cores: int,
    confidence: float = CONFIDENCE,
) -> Quotient | None:
    """Throughput a core at ``cores``, over throughput a core at ``reference_cores``; 1 is linear scaling.

    ``values`` and ``reference`` are the throughputs of single trials. They come from different boots, so nothing
    pairs them: the interval is that of `quotient`. None where one of them is empty or not positive.
    """
    whole = quotient(values, reference, confidence)
    if whole is None:
        return None
    scale = reference_cores / cores
    interval = Interval(whole.interval.low * scale, whole.interval.high * scale, whole.interval.coverage)
    return Quotient(whole.n_numerator, whole.n_denominator, whole.value * scale, interval)
