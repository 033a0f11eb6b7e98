# SPDX-License-Identifier: Apache-2.0
"""Medians and their intervals."""

import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.stats import CONFIDENCE, FEWEST_FOR_INTERVAL, is_narrow, order_ranks, summarize

values = st.lists(st.floats(min_value=0.0, max_value=1e12), min_size=1, max_size=60)


@given(values)
def test_the_interval_holds_the_median_and_lies_inside_the_data(data: list[float]) -> None:
    summary = summarize(data)
    assert summary.n == len(data)
    assert summary.median == statistics.median(data)
    assert min(data) <= summary.interval.low <= summary.median <= summary.interval.high <= max(data)


@given(values)
def test_fewer_than_six_values_get_the_range_and_it_is_called_so(data: list[float]) -> None:
    interval = summarize(data).interval
    assert interval.is_range == (len(data) < FEWEST_FOR_INTERVAL)
    if interval.is_range:
        assert (interval.low, interval.high, interval.name) == (min(data), max(data), "range")
    else:
        assert interval.coverage is not None
        assert interval.coverage >= CONFIDENCE


@given(values, st.randoms())
def test_the_order_of_values_does_not_matter(data: list[float], rng: random.Random) -> None:
    shuffled = list(data)
    rng.shuffle(shuffled)
    assert summarize(shuffled) == summarize(data)


def test_ranks_are_those_of_the_sign_test() -> None:
    # Tabulated, for instance, in David and Nagaraja: n = 10 gives ranks 2 and 9 with 97.9 %.
    assert order_ranks(5) is None
    assert order_ranks(6) == (1, 6, 1 - 2 / 64)
    low, high, coverage = order_ranks(10) or (0, 0, 0.0)
    assert (low, high, round(coverage, 4)) == (2, 9, 0.9785)
    low, high, coverage = order_ranks(30) or (0, 0, 0.0)
    assert (low, high, round(coverage, 4)) == (10, 21, 0.9572)


@pytest.mark.parametrize("n", [6, 10, 30])
@pytest.mark.parametrize("draw", ["normal", "log-normal"])
def test_intervals_cover_the_median_as_often_as_they_say(n: int, draw: str) -> None:
    rng = random.Random(f"{draw}/{n}")
    one = (lambda: rng.gauss(5.0, 1.0)) if draw == "normal" else (lambda: rng.lognormvariate(0.0, 1.0))
    truth = 5.0 if draw == "normal" else 1.0
    hits = sum(summarize(one() for _ in range(n)).interval.holds(truth) for _ in range(2000))
    assert hits / 2000 >= 0.93


@pytest.mark.parametrize("fewest", [6, 10, 30])
@pytest.mark.parametrize("draw", ["normal", "log-normal"])
def test_intervals_cover_the_median_with_the_stopping_rule_on(fewest: int, draw: str) -> None:
    rng = random.Random(f"{draw}/{fewest}/stopped")  # fixed, so that the outcome is always the same
    one = (lambda: rng.gauss(5.0, 0.5)) if draw == "normal" else (lambda: rng.lognormvariate(0.0, 0.1))
    truth = 5.0 if draw == "normal" else 1.0
    hits, lengths = 0, set()
    for _ in range(2000):
        values = [one() for _ in range(fewest)]
        while len(values) < fewest + 24 and not is_narrow(values, 0.10):
            values.append(one())
        lengths.add(len(values))
        hits += summarize(values).interval.holds(truth)
    assert len(lengths) > 5  # the rule stopped early, but not always immediately
    assert hits / 2000 >= 0.93


def test_nothing_and_not_a_number_are_refused() -> None:
    with pytest.raises(ValueError, match="no value"):
        summarize([])
    with pytest.raises(ValueError, match="not finite"):
        summarize([1.0, float("nan")])
