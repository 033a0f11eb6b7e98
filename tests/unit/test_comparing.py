# SPDX-License-Identifier: Apache-2.0
"""Two runs beside each other: what differs is found, what does not is left alone, and what cannot be told says so."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.comparing import CANNOT_TELL, DIFFERS, SAME, Comparison
from orchestrator.analysis.dataset import load
from orchestrator.cli.app import run_command
from orchestrator.stats import holm, rank_test, smallest_p
from tests.unit.synthetic_run import invented_bps, write_run


def threaded_is_faster(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return invented_bps(variant, cores, tunnels, rng) * (1.3 if variant == "threaded" else 1)


def twice_the_computer(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return invented_bps(variant, cores, tunnels, rng) * 2


def compared(root: Path, first: dict[str, Any], second: dict[str, Any]) -> Comparison:
    return load(write_run(root / "a", **first)).compare(write_run(root / "b", **second))


def test_what_was_changed_is_found_and_nothing_else(tmp_path: Path) -> None:
    found = compared(tmp_path, {"rounds": 7}, {"rounds": 7, "speed": threaded_is_faster})
    outcomes = found.cells.groupby("variant")["outcome"].unique().to_dict()
    assert {name: list(values) for name, values in outcomes.items()} == {"threaded": [DIFFERS], "vanilla": [SAME]}
    assert set(found.speed_ups["outcome"]) == {DIFFERS}
    assert found.cells.loc[found.cells["variant"] == "threaded", "ratio"].between(1.2, 1.4).all()
    assert (found.cells["low"] <= found.cells["ratio"]).all()
    assert found.sentence.startswith("4 of 8 cells differ")


def test_another_computer_changes_throughput_and_not_speed_ups(tmp_path: Path) -> None:
    found = compared(tmp_path, {"rounds": 7}, {"rounds": 7, "speed": twice_the_computer})
    assert set(found.cells["outcome"]) == {DIFFERS}
    assert set(found.speed_ups["outcome"]) == {SAME}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"cores": (1,)}, "only in A"),
        ({"cores": (1, 2, 4)}, "only in B"),
        ({"fate": lambda trial: [] if trial["levels"]["cores"] == 2 else ["ok"]}, "no ok trial in B"),
        ({"rounds": 2}, "too few trials: of 7 and 2, none in 8 cells"),
    ],
)
def test_what_cannot_be_told_says_why(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    found = compared(tmp_path, {"rounds": 7}, {"rounds": 7, **changes})
    cells = found.cells[found.cells["reason"].str.startswith(reason)]
    assert len(cells) in (4, 8)
    assert set(cells["outcome"]) == {CANNOT_TELL}
    json.dumps(found.to_json(), allow_nan=False)


def test_runs_without_a_cell_or_a_reference_in_common_compare_to_nothing(tmp_path: Path) -> None:
    found = compared(tmp_path, {"variants": ["threaded"], "rounds": 7}, {"cores": (3,), "rounds": 1})
    assert set(found.cells["outcome"]) == {CANNOT_TELL}
    assert found.sentence.startswith("Of none of 8 cells one can tell")
    assert "<table" in found._repr_html_()


def test_what_differs_in_the_environment_is_listed(tmp_path: Path) -> None:
    a, b = (write_run(tmp_path / name) for name in "ab")
    meta = json.loads((b / "run.json").read_text())
    meta["environment"]["computer"]["cpu_models"] = ["Another CPU"]
    meta["versions"]["pandas"] = "9"
    meta["spec"]["seed"] = 5
    meta["source"]["commit"] = "e" * 40
    (b / "run.json").write_text(json.dumps(meta))
    said = {change.what for change in load(a).compare(b).differences}
    assert said == {"computer: cpu_models", "versions: pandas", "spec: seed", "source: commit"}


def test_compare_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        write_run(tmp_path / name, rounds=7, speed=s) for name, s in (("a", invented_bps), ("b", twice_the_computer))
    ]
    few = write_run(tmp_path / "c", rounds=1)
    pairs = [(runs[0], runs[0]), (runs[0], runs[1]), (runs[0], few)]
    assert [run_command(["compare", str(a), str(b)]) for a, b in pairs] == [0, 1, 4]
    said = capsys.readouterr().out
    assert "8 of 8 cells differ by more than noise; 0 of 4 speed-ups differ" in said
    assert "The same spec, variants, environment and versions." in said
    assert run_command(["compare", str(runs[0]), str(runs[1]), "--json"]) == 1
    assert len(json.loads(capsys.readouterr().out)["cells"]) == 8


p_values = st.lists(st.floats(0, 1), max_size=30)


@given(p_values)
def test_holm_lies_between_each_alone_and_bonferroni(values: list[float]) -> None:
    adjusted = holm(values)
    assert all(p <= a <= min(1, p * len(values)) + 1e-12 for p, a in zip(values, adjusted, strict=True))
    assert [a for _, a in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)


def test_holm_of_a_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_the_rank_test_is_exact() -> None:
    assert rank_test([1, 2, 3], [4, 5, 6]) == pytest.approx(smallest_p(3, 3)) == pytest.approx(0.1)
    assert rank_test([1, 1], [1, 1]) == 1
    with pytest.raises(ValueError, match="empty"):
        rank_test([], [1])


def test_false_alarms_of_a_whole_family_are_rare() -> None:
    """Holm keeps the chance of one alarm among ten cells that do not differ below 5 %."""
    rng = random.Random(11)
    draw = [[[rng.gauss(0, 1) for _ in range(8)] for _ in "ab"] for _ in range(200 * 10)]
    alarms = sum(min(holm([rank_test(a, b) for a, b in draw[n : n + 10]])) <= 0.05 for n in range(0, 2000, 10))
    assert alarms / 200 <= 0.06
