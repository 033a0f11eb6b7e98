# SPDX-License-Identifier: Apache-2.0
"""Amdahl's law and the USL: parameters are recovered, with an interval over boots, or there is a reason why not."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.stats import ABSOLUTE, RELATIVE, fit_amdahl, fit_usl
from orchestrator.stats.fits import ONE_BOOT_NOTE, Trials

CORES = (1, 2, 4, 8, 16)
# The data set specsdm91 of the package usl for R, by N. J. Gunther and S. Möding: SPEC SDM91 on a Sun SPARCcenter 2000.
SPECSDM91 = {1: 64.9, 18: 995.9, 36: 1652.4, 72: 1853.2, 108: 1828.9, 144: 1775.0, 216: 1702.2}


def curve(cores: int, one: float, sigma: float, kappa: float) -> float:
    return one * cores / (1 + sigma * (cores - 1) + kappa * cores * (cores - 1))


def one_boot(values: dict[int, list[float]]) -> Trials:
    return {cores: {0: mine} for cores, mine in values.items()}


def drawn(boots: int, rounds: int, rng: random.Random, sigma: float, kappa: float = 0.0) -> Trials:
    """Return random boots that differ by 5 %, with trials that differ by 2 % within a boot."""
    found = {}
    for cores in CORES:
        centres = [curve(cores, 1.0, sigma, kappa) * rng.lognormvariate(0, 0.05) for _ in range(boots)]
        found[cores] = {b: [c * rng.lognormvariate(0, 0.02) for _ in range(rounds)] for b, c in enumerate(centres)}
    return found


@settings(max_examples=50)
@given(st.floats(1e-3, 1e12), st.floats(0, 1), st.floats(0, 0.1), st.sampled_from([RELATIVE, ABSOLUTE]))
def test_the_parameters_of_a_curve_without_noise_come_back(one: float, sigma: float, kappa: float, by: str) -> None:
    amdahl = fit_amdahl(one_boot({n: [curve(n, one, sigma, 0)] for n in CORES}), by)
    assert amdahl.one_core is not None
    assert amdahl.sigma is not None
    assert amdahl.one_core.value == pytest.approx(one, rel=1e-6)
    assert amdahl.sigma.value == pytest.approx(sigma, abs=1e-6)
    assert amdahl.largest_deviation == pytest.approx(0, abs=1e-6)
    usl = fit_usl(one_boot({n: [curve(n, one, sigma, kappa)] for n in CORES}), by)
    assert usl.kappa is not None
    assert usl.kappa.value == pytest.approx(kappa, abs=1e-6)
    assert usl.throughput(32) == pytest.approx(curve(32, one, sigma, kappa), rel=1e-4)
    assert not any("decides" in note or "superlinear" in note for note in usl.notes)


def test_the_usual_weights_give_what_the_package_usl_for_r_gives() -> None:
    data = one_boot({cores: [value] for cores, value in SPECSDM91.items()})
    usual, ours = fit_usl(data, ABSOLUTE), fit_usl(data)
    for fit, expected in ((usual, (90.0, 0.0277, 1.044e-4)), (ours, (67.94, 0.01345, 1.151e-4))):
        assert fit.one_core is not None
        assert fit.sigma is not None
        assert fit.kappa is not None
        assert (fit.one_core.value, fit.sigma.value, fit.kappa.value) == pytest.approx(expected, rel=0.003)


@pytest.mark.parametrize(("boots", "rounds"), [(3, 3), (5, 3)])
@pytest.mark.parametrize(("law", "kappa"), [("amdahl", 0.0), ("usl", 0.001)])
def test_intervals_hold_the_truth_although_boots_differ(law: str, kappa: float, boots: int, rounds: int) -> None:
    rng = random.Random(f"{law}/{boots}")
    fit = {"usl": fit_usl, "amdahl": fit_amdahl}[law]
    held = 0
    for _ in range(40):
        sigma = fit(drawn(boots, rounds, rng, 0.1, kappa)).sigma
        assert sigma is not None
        assert sigma.low is not None
        assert sigma.high is not None
        held += sigma.low <= 0.1 <= sigma.high
    assert held >= 34  # of intervals that hold 95 %, fewer do in 0.3 % of cases


def test_one_boot_gives_a_value_and_says_why_there_is_no_interval() -> None:
    fit = fit_amdahl(drawn(1, 30, random.Random(1), 0.1))
    assert fit.sigma is not None
    assert fit.sigma.value == pytest.approx(0.1, abs=0.05)
    assert (fit.sigma.low, fit.sigma.high, fit.boots) == (None, None, 1)
    assert ONE_BOOT_NOTE in fit.notes


def test_too_few_core_counts_are_not_fitted_and_it_says_why() -> None:
    assert "2 core counts, and Amdahl needs 3" in fit_amdahl(one_boot({1: [1.0] * 9, 2: [2.0] * 9, 4: []})).reason
    assert "3 core counts, and USL needs 4" in fit_usl(one_boot({1: [1.0], 2: [2.0], 4: [4.0]})).reason
    with pytest.raises(ValueError, match="not fitted"):
        fit_usl({}).throughput(2)


def test_weights_have_two_names() -> None:
    with pytest.raises(ValueError, match="weights are relative or absolute, not equal"):
        fit_amdahl({}, "equal")


def test_throughput_that_falls_is_not_amdahl_s() -> None:
    assert "falls" in fit_amdahl(one_boot({1: [4.0], 2: [2.0], 4: [1.0]})).reason


def test_superlinear_is_said_and_no_contention_of_zero() -> None:
    rng = random.Random(2)
    fit = fit_amdahl({n: {b: [n**1.2 * rng.lognormvariate(0, 0.02)] for b in range(3)} for n in CORES})
    assert fit.sigma is not None
    assert fit.sigma.high is not None
    assert fit.sigma.value < fit.sigma.high < 0
    assert any(note.startswith("superlinear: ") for note in fit.notes)
    alone = fit_amdahl(one_boot({n: [n**1.2] for n in CORES}))
    assert any(note.startswith("superlinear, or noise: ") for note in alone.notes)
    linear = [fit_amdahl(drawn(3, 3, rng, 0.0)).notes for _ in range(20)]
    assert sum(any(note.startswith("superlinear") for note in notes) for notes in linear) <= 3
    assert any("linear within the interval" in note for notes in linear for note in notes)


@pytest.mark.parametrize("astray", CORES)
def test_a_trial_ten_times_as_high_is_named_or_has_no_say(astray: int) -> None:
    rng = random.Random(3)
    data = {n: {0: [curve(n, 1.0, 0.1, 0) * rng.lognormvariate(0, 0.03)]} for n in CORES}
    good = fit_amdahl(data).sigma
    assert good is not None
    data[astray][0][0] *= 10
    assert f"one trial decides this fit: without that of {astray} core" in " ".join(fit_amdahl(data).notes)
    several = drawn(3, 3, rng, 0.1)
    several[astray][0][0] *= 10  # type: ignore[index]
    kept = fit_amdahl(several)
    assert kept.sigma is not None
    assert kept.sigma.value == pytest.approx(0.1, abs=0.04)
    assert not any("decides" in note for note in kept.notes)
    short = fit_usl(data)
    assert any("goes unnoticed" in note for note in short.notes)


def test_a_good_fit_names_no_trial() -> None:
    rng = random.Random(5)
    notes = [" ".join(fit_amdahl(drawn(3, 3, rng, 0.1)).notes) for _ in range(20)]
    assert sum("decides" in note for note in notes) <= 1
