# SPDX-License-Identifier: Apache-2.0
"""Comparison of two runs: differences are found, equal things are left alone, and what is undecidable is named."""

import json
import random
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.analysis.comparing import CANNOT_TELL, DIFFERS, SAME, Comparison
from orchestrator.analysis.dataset import load
from orchestrator.cli.app import run_command
from orchestrator.paths import RESULTS
from orchestrator.stats import boots_test, detectable, holm, rank_test, relative_spread, smallest_p
from orchestrator.store.changes import Change
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
        ({"rounds": 2}, "too few trials (7 and 2) to detect any difference in 8 cells"),
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
    assert found.sentence.startswith("No difference could be confirmed or excluded in any of 8 cells")
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
    assert "Spec, variants, environment and versions are the same." in said
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
    assert rank_test([1, 1, 1], [2, 2, 2]) == pytest.approx(0.1)
    assert rank_test([1, 1], [1, 1]) == 1
    with pytest.raises(ValueError, match="empty"):
        rank_test([], [1])


def by_enumeration(one: list[int], other: list[int]) -> float:
    """Return the share of all divisions whose rank sum is at least as far from its mean as this one's."""
    values = [*one, *other]
    ranks = [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]
    mean = len(one) * (len(values) + 1) / 2
    sums = [sum(ranks[place] for place in places) for places in combinations(range(len(values)), len(one))]
    away = abs(sum(ranks[: len(one)]) - mean)
    return sum(abs(total - mean) >= away - 1e-9 for total in sums) / len(sums)


few = st.lists(st.integers(0, 4), min_size=1, max_size=6)


@given(few, few)
def test_with_ties_the_rank_test_is_that_of_all_divisions(one: list[int], other: list[int]) -> None:
    assert rank_test(one, other) == pytest.approx(by_enumeration(one, other))


def test_the_exact_and_the_asymptotic_test_meet_where_one_takes_over_from_the_other() -> None:
    rng = random.Random(3)
    one, other = ([rng.randint(0, 30) + shift for _ in range(30)] for shift in (0, 5))
    assert rank_test(one, other) == pytest.approx(rank_test([*one, 15], other), abs=0.02)


@pytest.mark.parametrize(("cells", "n", "boots"), [(18, 6, 1), (18, 12, 1), (1, 4, 1), (4, 30, 1), (12, 6, 3)])
def test_the_ratio_that_a_plan_can_tell_is_told_as_often_as_it_says(cells: int, n: int, boots: int) -> None:
    found = detectable(cells, n, n, 0.05, boots)
    assert found.ratio is not None
    rng = random.Random(f"{cells}/{n}/{boots}")
    told = 0
    for _ in range(1500):
        size = boots if boots > 1 else n
        a, b = ([scale * rng.lognormvariate(0, 0.05) for _ in range(size)] for scale in (1.0, found.ratio))
        told += (boots_test(a, b) if boots > 1 else rank_test(a, b)) * cells <= 0.05
    assert told / 1500 == pytest.approx(0.8, abs=0.05)


def test_what_no_number_of_rounds_that_is_planned_can_tell_is_said() -> None:
    five, six = detectable(18, 5, 5), detectable(18, 6, 6)
    assert (five.ratio, five.needed) == (None, 6)
    assert "can detect no difference, however large; that takes 6 trials on each side" in five.sentence
    assert six.ratio is not None
    assert rank_test([1, 2, 3, 4, 5], [10, 20, 30, 40, 50]) * 18 > 0.05 >= rank_test(range(6), range(60, 66)) * 18
    with pytest.raises(ValueError, match="no trial"):
        detectable(0, 1, 1)


def test_a_spread_is_that_of_a_usual_cell() -> None:
    assert relative_spread([[1.0, 1.0], [0.9, 1.1], [5.0, 50.0], [1.0]]) == pytest.approx(0.2 / 2**0.5)
    assert relative_spread([[1.0]]) is None


def test_boots_are_compared_as_boots() -> None:
    """Two runs of the same thing, boots 5 % apart, trials 0.5 %: the trials of a boot are not independent samples."""
    rng = random.Random(5)
    alarms = {"boots": 0, "trials": 0}
    for _ in range(300):
        sides = []
        for _ in "ab":
            levels = [rng.lognormvariate(0, 0.05) for _ in range(3)]
            sides.append([[level * rng.lognormvariate(0, 0.005) for _ in range(4)] for level in levels])
        alarms["boots"] += boots_test(*([sorted(boot)[1] for boot in side] for side in sides)) <= 0.05
        alarms["trials"] += rank_test(*([value for boot in side for value in boot] for side in sides)) <= 0.05
    assert alarms["boots"] / 300 <= 0.07
    assert alarms["trials"] / 300 > 0.2
    assert boots_test([1.0, 1.0], [1.0, 1.0]) == 1
    assert boots_test([1.0, 1.0], [2.0, 2.0]) == 0
    with pytest.raises(ValueError, match="fewer than 2 boots"):
        boots_test([1.0], [1.0, 2.0])


def test_speed_ups_are_against_the_first_runs_reference_and_it_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    variants = {"a": ("threaded", "inline"), "b": ("vanilla", "threaded", "inline")}
    a, b = (write_run(tmp_path / name, rounds=7, variants=names) for name, names in variants.items())
    found = load(a).compare(b)
    assert (load(a).reference, load(b).reference) == ("threaded", "vanilla")
    assert found.reference == found.to_json()["reference"] == "threaded"
    assert f"Speed-up over {found.reference}:" in found._repr_html_()
    assert "Speed-up over vanilla" not in found._repr_html_()
    assert "threaded" not in set(found.speed_ups["variant"])
    run_command(["compare", str(a), str(b)])
    said = " ".join(capsys.readouterr().out.split())
    assert "Speed-up over threaded" in said
    assert "Speed-up over vanilla" not in said


def test_a_comparison_says_what_it_could_have_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seven = compared(tmp_path / "7", {"rounds": 7}, {"rounds": 7})
    assert seven.could_tell is not None
    assert (seven.could_tell.cells, seven.could_tell.n, seven.could_tell.m) == (8, 7, 7)
    assert 0.01 < seven.could_tell.spread < 0.06  # invented with 3 %
    assert seven.could_have_told.startswith("Sensitivity: 7 trials on each side of 8 cells can detect a ratio of")
    three = compared(tmp_path / "3", {"rounds": 3}, {"rounds": 3})
    assert "can detect no difference" in three.could_have_told
    run_command(["compare", *(str(run.path) for run in (three.a, three.b))])
    assert "can detect no difference" in " ".join(capsys.readouterr().out.split())


def test_false_alarms_of_a_whole_family_are_rare() -> None:
    """Holm keeps the chance of one alarm among five cells that do not differ below 5 %."""
    rng = random.Random(11)
    families = 100
    cells = [[[rng.gauss(0, 1) for _ in range(6)] for _ in "ab"] for _ in range(families * 5)]
    p_values = [rank_test(a, b) for a, b in cells]
    alarms = sum(min(holm(p_values[n : n + 5])) <= 0.05 for n in range(0, len(p_values), 5))
    assert alarms / families <= 0.06


def as_packet_rates(path: Path) -> Path:
    """Return the same run with a packet rate for each trial instead of a throughput."""
    meta = json.loads((path / "run.json").read_text())
    for trial in (trial for block in meta["plan"]["blocks"] for trial in block["trials"]):
        trial["traffic"] = {**trial["traffic"], "tool": "pktgen"}
        trial["levels"]["packet_size"] = 64
    (path / "run.json").write_text(json.dumps(meta))
    for file in path.glob("trials/*/1/attempt.json"):
        attempt = json.loads(file.read_text())
        attempt["levels"]["packet_size"] = 64
        attempt["measurements"]["received_pps"] = attempt["measurements"].pop("throughput_bps") / 1000
        file.write_text(json.dumps(attempt))
    return path


def test_packet_rates_are_compared_with_packet_rates_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = {"a": invented_bps, "b": threaded_is_faster}
    a, b = (as_packet_rates(write_run(tmp_path / name, rounds=7, speed=speed)) for name, speed in made.items())
    found = load(a).compare(b)
    assert found.goal == "received"
    assert found.cells["median_a_pps"].between(1e6, 4e6).all()
    assert found.sentence.startswith("4 of 8 cells differ")
    assert "Mpps" in load(a)._repr_html_()
    assert run_command(["compare", str(a), str(b)]) == 1
    assert "Packets, median in Mpps: what arrived" in capsys.readouterr().out
    tcp = write_run(tmp_path / "c")
    assert run_command(["compare", str(a), str(tcp)]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"{a} has received packet rates, and {tcp} has throughput. These cannot be compared" in said


@pytest.mark.parametrize(
    ("was", "now", "differs"),
    [
        ("poly1305 avx2, chacha20 avx512vl", "chacha20 avx2, poly1305 avx2, aes vaes-avx2", True),
        ("poly1305 avx2, chacha20 avx512vl", "chacha20 avx512vl, poly1305 avx2, aes vaes-avx512", False),
        ("nothing", "chacha20 avx2, poly1305 avx2", False),
    ],
)
def test_other_instructions_for_the_cipher_are_other_hardware(was: str, now: str, differs: bool) -> None:
    run = load(RESULTS / "example")
    found = replace(run.compare(run), differences=(Change("testbed: disk.crypto", was, now, None),))
    assert bool(found.hardware) == differs


def test_a_comparison_of_runs_on_different_hardware_says_that_first(capsys: pytest.CaptureFixture[str]) -> None:
    run_command(["compare", str(RESULTS / "example-virtual"), str(RESULTS / "example-why")])
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines[:2]] == ["A ", "B "]
    assert lines[2].startswith("The hardware differs")
    assert "disk.crypto: poly1305 avx2, chacha20 avx512vl -> chacha20 avx2" in lines[3]
