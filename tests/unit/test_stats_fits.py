# SPDX-License-Identifier: Apache-2.0
"""Amdahl's law and the USL: what was put in comes out, with an interval around it, or a reason why not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.stats import fit_amdahl, fit_usl

CORES = (1, 2, 4, 8, 16)


def curve(cores: int, one: float, sigma: float, kappa: float) -> float:
    return one * cores / (1 + sigma * (cores - 1) + kappa * cores * (cores - 1))


@settings(deadline=None)  # the first call imports scipy
@given(st.floats(1e-3, 1e12), st.floats(0, 1), st.floats(0, 0.1))
def test_the_parameters_of_a_curve_without_noise_come_back(one: float, sigma: float, kappa: float) -> None:
    amdahl = fit_amdahl({n: [curve(n, one, sigma, 0)] for n in CORES})
    assert amdahl.one_core is not None
    assert amdahl.sigma is not None
    assert amdahl.one_core.value == pytest.approx(one, rel=1e-6)
    assert amdahl.sigma.value == pytest.approx(sigma, abs=1e-6)
    assert amdahl.largest_deviation == pytest.approx(0, abs=1e-6)
    usl = fit_usl({n: [curve(n, one, sigma, kappa)] for n in CORES})
    assert usl.kappa is not None
    assert usl.kappa.value == pytest.approx(kappa, abs=1e-6)
    assert usl.throughput(32) == pytest.approx(curve(32, one, sigma, kappa), rel=1e-4)


@pytest.mark.parametrize("law", ["amdahl", "usl"])
def test_the_interval_holds_the_truth_about_as_often_as_it_says(law: str) -> None:
    rng = random.Random(4)
    kappa = 0.01 if law == "usl" else 0.0
    fit = fit_usl if law == "usl" else fit_amdahl
    held = 0
    for _ in range(60):
        data = {n: [curve(n, 1.0, 0.2, kappa) * rng.gauss(1, 0.03) for _ in range(10)] for n in CORES}
        sigma = fit(data).sigma
        assert sigma is not None
        assert sigma.low is not None
        assert sigma.high is not None
        held += sigma.low <= 0.2 <= sigma.high
    assert held >= 54


def test_too_few_core_counts_are_not_fitted_and_it_says_why() -> None:
    assert "2 core counts, and Amdahl needs 3" in fit_amdahl({1: [1.0] * 9, 2: [2.0] * 9, 4: []}).reason
    assert "3 core counts, and USL needs 4" in fit_usl({1: [1.0], 2: [2.0], 4: [4.0]}).reason
    with pytest.raises(ValueError, match="not fitted"):
        fit_usl({}).throughput(2)


def test_few_trials_give_a_value_and_no_interval() -> None:
    sigma = fit_amdahl({n: [curve(n, 1, 0.1, 0)] * 5 for n in CORES}).sigma
    assert sigma is not None
    assert (sigma.low, sigma.high) == (None, None)


def test_throughput_that_falls_is_not_amdahl_s() -> None:
    falling = {1: [4.0], 2: [2.0], 4: [1.0]}
    assert "falls" in fit_amdahl(falling).reason


def test_faster_than_linear_is_no_contention() -> None:
    fit = fit_amdahl({n: [n**1.2] * 3 for n in CORES})
    assert fit.sigma is not None
    assert fit.sigma.value == 0
    assert fit.largest_deviation is not None
    assert fit.largest_deviation > 0.1
