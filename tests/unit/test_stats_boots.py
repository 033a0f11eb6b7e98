# SPDX-License-Identifier: Apache-2.0
"""Intervals whose sample is the boot: known values, their coverage, and the case of one boot."""

import importlib.util
import math
import random
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.paths import CHECKOUT
from orchestrator.stats import BOOTS, ONE_BOOT, by_boot, paired_ratio, quotient_of_boots, summarize, summarize_boots
from orchestrator.stats.scaling import parallel_efficiency


def benchmark(name: str) -> Any:
    """Import a module of benchmarks/, which is not a package."""
    spec = importlib.util.spec_from_file_location(name, CHECKOUT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


coverage = benchmark("coverage")
positive = st.floats(min_value=1e-3, max_value=1e6)
boots = st.dictionaries(st.integers(1, 5), st.lists(positive, min_size=1, max_size=8), min_size=1, max_size=5)


def drawn(count: int, rounds: int, rng: random.Random, centre: float = 1.0) -> dict[int, list[float]]:
    """Return random boots, with 5 % between them and 2 % within, around a known centre."""
    found = {}
    for boot in range(count):
        mine = centre * rng.lognormvariate(0, 0.05)
        found[boot] = [mine * rng.lognormvariate(0, 0.02) for _ in range(rounds)]
    return found


def test_the_interval_of_three_boots_is_student_s() -> None:
    # Logs of the medians 0, 0.1, 0.2: mean 0.1, standard error 0.1 / sqrt(3); t of 2 degrees of freedom is 4.3027.
    data = {boot: [0.5, math.exp(boot / 10), 9.0] for boot in range(3)}
    found = summarize_boots(data)
    assert (found.n, found.boots) == (9, 3)
    assert found.median == pytest.approx(math.exp(0.1))
    reach = 4.30265 * 0.1 / math.sqrt(3)
    assert math.log(found.interval.low) == pytest.approx(0.1 - reach, rel=1e-4)
    assert math.log(found.interval.high) == pytest.approx(0.1 + reach, rel=1e-4)
    assert (found.interval.basis, found.interval.name) == (BOOTS, "95 % interval over boots")


def test_the_interval_of_a_ratio_of_boots_is_welch_s() -> None:
    # Logs 0, 0.2 over 0, 0.1, 0.2: the squared errors are 0.01 and 0.01 / 3.
    found = quotient_of_boots({1: [1.0], 2: [math.exp(0.2)]}, {n: [math.exp(n / 10)] for n in range(3)})
    assert found is not None
    assert (found.value, found.boots) == (pytest.approx(1.0), 2)
    freedom = (0.01 + 0.01 / 3) ** 2 / (0.01**2 + (0.01 / 3) ** 2 / 2)
    from scipy.stats import t

    reach = t.isf(0.025, freedom) * math.sqrt(0.01 + 0.01 / 3)
    assert math.log(found.interval.high) == pytest.approx(reach)
    assert math.log(found.interval.low) == pytest.approx(-reach)


@given(boots)
def test_the_centre_lies_in_the_interval_and_the_boots_are_counted(data: dict[int, list[float]]) -> None:
    found = summarize_boots(data)
    assert (found.n, found.boots) == (sum(map(len, data.values())), len(data))
    assert found.interval.low <= found.median * (1 + 1e-9)
    assert found.median <= found.interval.high * (1 + 1e-9)
    assert found.interval.basis == (BOOTS if len(data) > 1 else ONE_BOOT)


def test_one_boot_says_so() -> None:
    found = summarize_boots({("lab", 1): [float(n) for n in range(1, 9)]})
    assert found.interval.name == "95 % interval within one boot"
    assert (found.interval.low, found.interval.high) == (1.0, 8.0)
    assert summarize_boots({1: [1.0, 2.0]}).interval.name == "range"
    ratio = paired_ratio({("lab", 1, n): 2.0 for n in range(6)}, {("lab", 1, n): 1.0 for n in range(6)})
    assert ratio is not None
    assert (ratio.boots, ratio.interval.name) == (1, "95 % interval within one boot")
    several = quotient_of_boots({1: [2.0] * 7, 2: [2.0] * 7}, {3: [1.0] * 7})
    assert several is not None
    assert (several.boots, several.interval.basis) == (1, ONE_BOOT)


def test_a_level_of_confidence_names_an_interval_that_covers_more() -> None:
    assert summarize(range(6)).interval.name == "95 % interval"  # it covers 96.9 %
    assert summarize(range(8), 0.9).interval.name == "90 % interval"  # it covers 93.0 %


def test_boots_that_carried_nothing_have_a_range() -> None:
    found = summarize_boots({1: [0.0, 0.0], 2: [1.0, 1.0]})
    assert (found.interval.low, found.interval.high, found.interval.name) == (0.0, 1.0, "range of boots")
    assert quotient_of_boots({1: [1.0], 2: [1.0]}, {1: [0.0], 2: [1.0]}) is None
    with pytest.raises(ValueError, match="no value"):
        summarize_boots({1: []})


def test_values_are_grouped_by_what_stands_before_the_round() -> None:
    values = {("lab", 1, 1): 1.0, ("lab", 1, 2): 2.0, ("lab", 2, 1): 3.0}
    assert by_boot(values) == {("lab", 1): {1: 1.0, 2: 2.0}, ("lab", 2): {1: 3.0}}


@pytest.mark.parametrize(("count", "rounds"), [(2, 3), (3, 3), (3, 7), (5, 3), (5, 7)])
def test_intervals_over_boots_hold_the_truth(count: int, rounds: int) -> None:
    rng = random.Random(f"{count}/{rounds}")
    held = dict.fromkeys(("median", "efficiency", "ratio"), 0)
    for _ in range(1000):
        many, one = drawn(count, rounds, rng, 6.32), drawn(count, rounds, rng)
        held["median"] += summarize_boots(one).interval.holds(1.0)
        efficiency = parallel_efficiency(many, 8, one)
        assert efficiency is not None
        held["efficiency"] += efficiency.interval.holds(0.79)
        # Two variants in the same boots; how much faster one is also differs between boots.
        faster = {boot: rng.lognormvariate(0, 0.05) for boot in one}
        top = {(b, r): v * 2 * faster[b] * rng.lognormvariate(0, 0.02) for b, m in one.items() for r, v in enumerate(m)}
        ratio = paired_ratio(top, {(b, r): v for b, mine in one.items() for r, v in enumerate(mine)})
        assert ratio is not None
        held["ratio"] += ratio.interval.holds(2.0)
    assert min(held.values()) >= 930, held


def test_the_documented_coverage_is_that_of_every_interval_over_boots() -> None:
    text = (CHECKOUT / "docs" / "statistics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| [35], [357] \|(.*)$", text, re.MULTILINE)
    shares = [list(map(float, re.findall(r"([\d.]+) %", row))) for row in rows]
    assert [len(mine) for mine in shares] == [8] * 6
    assert min(map(min, shares)) >= 93
    rng = random.Random(12)
    held = sum((coverage.over_boots(3, 3, rng) for _ in range(40)), Counter())
    assert len(held) == 8
    assert min(held.values()) >= 33  # fewer contain it in 0.1 % of cases


def test_trials_of_one_boot_are_no_independent_trials() -> None:
    # The same data without their boots: the coverage of 95 % intervals of trials is far below 95 %.
    rng = random.Random(9)
    held = sum(summarize(v for mine in drawn(3, 7, rng).values() for v in mine).interval.holds(1.0) for _ in range(500))
    assert held < 425
