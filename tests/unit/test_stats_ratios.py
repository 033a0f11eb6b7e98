# SPDX-License-Identifier: Apache-2.0
"""Ratios between variants, and parallel efficiency."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.stats import ideal_throughput, paired_ratio, parallel_efficiency, quotient, shows_scaling

positive = st.floats(min_value=1e-3, max_value=1e6)
rounds = st.dictionaries(st.tuples(st.integers(1, 4), st.integers(1, 30)), positive, max_size=40)


@given(rounds, positive)
def test_drift_that_hits_both_alike_cancels(drift: dict[tuple[int, int], float], factor: float) -> None:
    ratio = paired_ratio({key: value * factor for key, value in drift.items()}, drift)
    if not drift:
        assert ratio is None
        return
    assert ratio is not None
    assert (ratio.n, ratio.unpaired) == (len(drift), 0)
    assert ratio.median == pytest.approx(factor)
    assert ratio.interval.low == pytest.approx(factor)
    assert ratio.interval.high == pytest.approx(factor)


@given(rounds, rounds)
def test_what_has_no_counterpart_is_counted_and_not_used(
    above: dict[tuple[int, int], float], below: dict[tuple[int, int], float]
) -> None:
    shared = above.keys() & below.keys()
    ratio = paired_ratio(above, below)
    assert (ratio is None) == (not shared)
    if ratio is not None:
        assert ratio.n == len(shared)
        assert ratio.n * 2 + ratio.unpaired == len(above) + len(below)


def test_a_denominator_of_zero_makes_no_pair() -> None:
    assert paired_ratio({(1, 1): 2.0}, {(1, 1): 0.0}) is None
    assert quotient([1.0], [0.0]) is None
    assert quotient([], [1.0]) is None


def test_the_quotient_of_few_values_spans_the_extreme_ratios() -> None:
    result = quotient([2.0, 3.0, 4.0], [1.0, 1.5, 2.0])
    assert result is not None
    assert (result.value, result.interval.low, result.interval.high) == (2.0, 1.0, 4.0)
    assert result.interval.is_range


@given(st.lists(positive, min_size=1, max_size=30), st.lists(positive, min_size=1, max_size=30))
def test_the_quotient_lies_in_its_interval(above: list[float], below: list[float]) -> None:
    result = quotient(above, below)
    assert result is not None
    assert result.interval.low <= result.value * (1 + 1e-9)
    assert result.value <= result.interval.high * (1 + 1e-9)
    assert result.interval.is_range == (min(len(above), len(below)) < 7)  # 97.5 % of each needs seven


def test_linear_scaling_has_an_efficiency_of_one() -> None:
    result = parallel_efficiency({2: [8.0] * 3}, 8, {1: [1.0] * 3})
    assert result is not None
    assert (result.value, result.interval.low, result.interval.high) == (1.0, 1.0, 1.0)
    assert ideal_throughput(1.5, 1, 4) == 6.0
    assert parallel_efficiency({1: [1.0]}, 2, {}) is None


def test_two_core_counts_make_no_scaling_claim() -> None:
    assert not shows_scaling([1, 2, 2, 1])
    assert shows_scaling([1, 2, 4])
