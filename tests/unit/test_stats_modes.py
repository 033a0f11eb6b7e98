# SPDX-License-Identifier: Apache-2.0
"""Groups of values, drift and dependence of neighbours: known results, and the rates of false alarms."""

import itertools

import numpy as np
import pytest

from orchestrator.stats import holm
from orchestrator.stats.modes import best_split, modes_among
from orchestrator.stats.order import drift, likeness

ONE_MODE = {
    "normal": lambda random, n: random.normal(10, 1, n),
    "uniform": lambda random, n: random.random(n),
    "exponential": lambda random, n: random.exponential(size=n),
    "log-normal 30 %": lambda random, n: random.lognormal(0, 0.3, n),
    "Laplace": lambda random, n: random.laplace(size=n),
}


def test_two_groups_are_found_with_their_values_and_trials() -> None:
    split = best_split([7.9, 4.0, 8.1, 4.1, 8.0, 4.2, 4.1])
    assert split is not None
    assert split.p_value < 0.001
    assert (split.lower.n, split.lower.median, split.lower.low, split.lower.high) == (4, 4.1, 4.0, 4.2)
    assert (split.upper.n, split.upper.median) == (3, 8.0)


def test_one_outlier_is_no_group() -> None:
    split = best_split([4.0, 4.1, 4.2, 4.3, 4.4, 40.0])
    assert split is not None
    assert split.p_value > 0.5


@pytest.mark.parametrize("values", [[1, 2, 3, 4, 5], [2.0] * 8])
def test_too_few_or_equal_values_have_no_groups(values: list[float]) -> None:
    assert best_split(values) is None


@pytest.mark.parametrize("n", [6, 12, 30])
@pytest.mark.parametrize("name", ONE_MODE)
def test_values_of_one_mode_are_called_two_in_at_most_5_percent(name: str, n: int) -> None:
    random = np.random.default_rng(5)
    splits = [best_split(ONE_MODE[name](random, n)) for _ in range(1000)]
    alarms = sum(split is not None and split.p_value <= 0.05 for split in splits)
    assert alarms <= 67  # 5 % of 1000, and 2.5 standard deviations


@pytest.mark.parametrize(("n", "least"), [(6, 110), (12, 190), (30, 198)])
def test_modes_four_standard_deviations_apart_on_each_side_are_found(n: int, least: int) -> None:
    random = np.random.default_rng(6)
    found = 0
    for _ in range(200):
        side = np.arange(n) % 2
        split = best_split(random.permutation(random.normal(10 + 8 * side, 1)))
        found += split is not None and split.p_value <= 0.05
    assert found >= least


def test_a_run_of_cells_with_one_mode_gets_a_flag_in_at_most_5_percent() -> None:
    random = np.random.default_rng(9)
    flagged = 0
    for number in range(400):
        name = list(ONE_MODE)[number % len(ONE_MODE)]
        flagged += bool(modes_among({cell: {1: ONE_MODE[name](random, 6)} for cell in range(18)}))
    assert flagged <= 31  # 5 % of 400, and 2.5 standard deviations


def test_one_cell_of_many_is_certain_with_enough_trials_and_several_are_probable_with_six() -> None:
    random = np.random.default_rng(10)
    plain = {f"plain {cell}": {1: random.normal(10, 1, 12).tolist()} for cell in range(17)}
    twofold = [*random.normal(10, 0.3, 6), *random.normal(20, 0.3, 6)]
    found = modes_among({**plain, "twofold": {1: twofold}})
    assert list(found) == ["twofold"]
    assert found["twofold"].how_sure == "certain"
    assert (found["twofold"].lower.n, found["twofold"].upper.n) == (6, 6)

    six = [3.1, 3.12, 3.2, 4.5, 4.6, 4.7]
    plain = {cell: {1: boots[1][:6]} for cell, boots in plain.items()}
    alone = modes_among({**plain, "twofold": {1: six}})
    assert "twofold" not in alone
    several = {f"twofold {cell}": {1: [value * (1 + cell) for value in six]} for cell in range(5)}
    found = modes_among({**dict(list(plain.items())[:13]), **several})
    assert set(several) <= set(found)


def test_boots_that_differ_make_no_modes_and_do_not_hide_them() -> None:
    random = np.random.default_rng(11)
    flagged = 0
    for _ in range(200):
        levels = random.normal(10, 1, 3)
        cells = {cell: {boot: random.normal(levels[boot], 0.1, 6) for boot in range(3)} for cell in range(6)}
        flagged += bool(modes_among(cells))
    assert flagged <= 17  # 5 % of 200, and 2.5 standard deviations
    twofold = {boot: [level + side for side in (0.0, 0.1, 2.0, 2.1)] for boot, level in enumerate((10, 11, 12))}
    (found,) = modes_among({"cell": twofold}).values()
    assert (found.how_sure, found.lower.n, found.upper.n) == ("certain", 6, 6)
    assert (found.lower.high, found.upper.low) == (12.1, 12.0)


def test_drift_has_the_exact_p_value_of_all_orders() -> None:
    def score(values: tuple[int, ...]) -> int:
        return sum((b > a) - (b < a) for a, b in itertools.combinations(values, 2))

    orders = list(itertools.permutations(range(5)))
    for series in ((0, 1, 2, 3, 4), (1, 0, 2, 3, 4), (2, 0, 1, 4, 3), (4, 3, 2, 1, 0)):
        as_far = sum(abs(score(order)) >= abs(score(series)) for order in orders)
        found = drift([series])
        assert found is not None
        assert found == (score(series) / 10, pytest.approx(min(1, as_far / len(orders))))


def test_runs_of_cells_without_drift_get_a_flag_in_at_most_5_percent() -> None:
    random = np.random.default_rng(12)
    flagged = 0
    for _ in range(400):
        tested = [drift([random.normal(size=3).tolist() for _ in range(3)]) for _ in range(18)]
        flagged += min(holm([one[1] for one in tested if one is not None])) <= 0.05
    assert flagged <= 31  # 5 % of 400, and 2.5 standard deviations


def test_drift_is_summed_over_boots_and_blind_to_what_differs_between_them() -> None:
    level = [[1.0, 4.0, 2.0, 3.0], [101.0, 104.0, 102.0, 103.0], [201.0, 204.0, 202.0, 203.0]]
    rising = [[1.0, 2.0, 3.0, 4.0], [91.0, 92.0, 93.0, 94.0], [51.0, 52.0, 53.0, 54.0]]
    found, none = drift(rising), drift(level)
    assert found is not None
    assert none is not None
    assert found == (1.0, pytest.approx(2 / 24**3))
    assert none[1] > 0.3
    three = drift([[1.0, 2.0, 3.0]] * 3)
    assert three == (1.0, pytest.approx(2 / 6**3))
    assert drift([[1.0, 2.0]] * 3) is None


def test_equal_values_are_no_drift() -> None:
    assert drift([[5.0] * 6]) == (0.0, 1.0)
    tied = drift([[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]])
    assert tied is not None
    assert 2 / 720 < tied[1] < 0.06


def test_likeness_of_neighbours() -> None:
    alike = likeness([[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]])
    apart = likeness([[1, 10, 2, 9, 3, 8, 4, 7, 5, 6]])
    assert alike is not None
    assert alike[0] > 0.5
    assert alike[1] < 0.001
    assert apart is not None
    assert apart[0] < -0.5
    assert apart[1] < 0.01
    assert likeness([[3.0] * 8]) is None
    assert likeness([[1.0, 2.0]]) is None


def test_likeness_of_runs_without_any_alarms_in_at_most_5_percent() -> None:
    random = np.random.default_rng(8)
    found = [likeness([random.normal(size=6), random.normal(size=8) + 50]) for _ in range(1000)]
    assert sum(one is not None and one[1] <= 0.05 for one in found) <= 67
    walks = [likeness([np.cumsum(random.normal(size=30))]) for _ in range(50)]
    assert sum(one is not None and one[1] <= 0.05 for one in walks) >= 45
