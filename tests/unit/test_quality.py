# SPDX-License-Identifier: Apache-2.0
"""Modes, drift and order of a run's trials, from the run's folder to its page."""

import dataclasses
import random
import re
from pathlib import Path

import pytest

from orchestrator.analysis.dataset import Run, load
from orchestrator.analysis.figures import (
    scheduling,
    speed_ups,
    throughput_tunnels,
    value_against_order,
    value_against_round,
    value_against_time,
)
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.analysis.quality import drift_in_rounds, drift_of_boots, place_notes, places_in_rounds, quality_notes
from orchestrator.cli.summary import print_summary
from orchestrator.paths import RESULTS
from tests.unit.synthetic_run import write_run


def run_with(folder: Path, kind: str, rounds: int = 12) -> Run:
    """Return a run of two variants, 2 cores and 2 tunnels, in which only threaded is special, or both drift."""
    turns: dict[str, int] = {}

    def speed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        turn = turns[variant] = turns.get(variant, 0) + 1
        bps = 1e9 * (2 if variant == "vanilla" else 4) * rng.gauss(1, 0.01)
        if kind == "modes" and variant == "threaded" and turn * 7 % 12 < 6:
            bps *= 0.5
        if kind == "drift":
            bps *= 1 + 0.05 * turn
        return bps

    return load(write_run(folder, cores=(2,), tunnels=(2,), rounds=rounds, speed=speed))


def test_modes_stand_in_the_place_of_a_median_that_no_trial_came_near(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = run_with(tmp_path, "modes")
    row = run.cells().set_index("variant").loc["threaded"]
    assert (row["modes"], row["lower_mode_n"], row["upper_mode_n"]) == ("certain", 6, 6)
    assert 1.9e9 < row["lower_mode_bps"] < 2.1e9
    assert 3.9e9 < row["upper_mode_bps"] < 4.1e9
    assert 2.5e9 < row["median_bps"] < 3.5e9
    (note,) = [text for text in quality_notes(run) if text.startswith("Several modes")]
    assert re.search(r"threaded, 2 cores, 2 tunnels: (2|2\.0\d|1\.9\d) \(6 trials\) or [34]\S* \(6 trials\)", note)
    said = " ".join(headline(run).remarks)
    assert "threaded is in two modes" in said
    page = render(run, tmp_path, [])
    assert "6 and 6 trials" in page
    assert "two modes" in page
    print_summary(run.path)
    assert re.search(r"threaded +\d\.\d\d or \d\.\d\d ", capsys.readouterr().out)
    assert "Two dashes and a gap in the line: two modes" in throughput_tunnels(run).caption
    assert list(run.ratios()["modes"]) == ["certain"]
    assert "of a cell in two modes, so that this median may lie between" in page
    assert "With 2 tunnels on 2 cores one side is in two modes" in speed_ups(run).caption
    assert "Two large marks: two modes" in scheduling(run).caption
    large = [points for points in scheduling(run).figure.axes[0].collections if len(points.get_offsets()) == 2]
    assert [round(float(x)) for x, _ in large[0].get_offsets()] == [2, 4]


def test_the_best_is_held_against_each_mode_of_another(tmp_path: Path) -> None:
    run = run_with(tmp_path, "modes")
    slower = headline(run).standing
    assert slower is not None
    remarks = " ".join(headline(load(RESULTS / "example")).remarks)
    assert "threaded is probably in two modes, 3.03 (3 trials) or 4.32 (3 trials) Gbit/s: inline carried" in remarks
    assert "times as much as in the lower (n = 3) and" in remarks


def test_drift_is_found_for_a_cell_and_for_a_boot(tmp_path: Path) -> None:
    run = run_with(tmp_path, "drift")
    table = run.quality()
    assert (table["drift"] > 0.8).all()
    assert (table["drift_p"] < 0.001).all()
    (boot,) = drift_of_boots(run).to_dict("records")
    assert boot["drift"] == 1.0
    assert boot["drift_p"] < 1e-6
    notes = " ".join(quality_notes(run))
    assert "Drift within a boot: vanilla, 2 cores, 2 tunnels (+" in notes
    assert "In block 1 on lab everything rises from round to round." in notes


def test_a_run_without_any_says_so_and_names_cells_with_few_trials(tmp_path: Path) -> None:
    assert quality_notes(run_with(tmp_path / "plain", "plain"))[0].startswith("No cell shows several modes")
    few = quality_notes(run_with(tmp_path / "few", "plain", rounds=3))
    assert "A test for modes needs 6 trials per cell; 2 of 2 cells have fewer." in few


def test_every_trial_is_drawn_round_by_round_and_invalid_attempts_are_hollow(tmp_path: Path) -> None:
    fates = {2: ["invalid", "ok"], 3: ["invalid"], 4: ["failed"]}
    path = write_run(tmp_path, cores=(1, 2), rounds=6, fate=lambda trial: fates.get(trial["round"], ["ok"]))
    run = load(path)
    figure = value_against_round(run).figure
    drawn = [points for axes in figure.axes for points in axes.collections if hasattr(points, "get_offsets")]
    hollow = [points for points in drawn if len(points.get_facecolors()) == 0]
    assert sum(len(points.get_offsets()) for points in hollow) == len(run.invalid) == 16
    assert sum(len(points.get_offsets()) for points in drawn) == len(run.invalid) + len(run.measured)
    assert sum(axes.get_visible() for axes in figure.axes) == 4
    assert "16 invalid attempts (hollow" in value_against_round(run).caption


def test_the_place_of_a_trial_in_its_round_is_that_of_the_plan(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(1, 2), rounds=4, fate=lambda trial: ["failed", "ok"]))
    places = places_in_rounds(run)
    assert len(places) == len(run.planned) == 2 * 4 * 4
    for _, mine in run.planned.groupby(["block", "round"]):
        assert [places[trial] for trial in mine.sort_values("order")["trial_id"]] == [1, 2, 3, 4]


@pytest.mark.parametrize("slower", [0.0, 0.05])
def test_trials_that_are_slower_late_in_a_round_are_found(tmp_path: Path, slower: float) -> None:
    plain = load(write_run(tmp_path, cores=(2,), tunnels=(1, 2, 4), rounds=9))
    trials, rng = plain.trials, random.Random(1)
    shuffled = trials.groupby(["kind", "round"])["order"].transform(lambda found: rng.sample(list(found), len(found)))
    plain = dataclasses.replace(plain, trials=trials.assign(order=shuffled))
    late = plain.trials["trial_id"].map(places_in_rounds(plain)).fillna(0)
    bps = plain.trials["throughput_bps"] * (1 - slower * late)
    run = dataclasses.replace(plain, trials=plain.trials.assign(throughput_bps=bps))
    (boot,) = drift_in_rounds(run).to_dict("records")
    (note,) = place_notes(run)
    assert boot["places"] == 6
    assert note in value_against_order(run).caption
    if slower:
        assert boot["drift"] < -0.7
        assert "trials late in a round are lower than early ones" in note
    else:
        assert note == "In no block does the place in the round matter beyond chance."


def test_a_round_of_one_trial_has_no_place_to_test(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, variants=["vanilla"], cores=(2,), tunnels=(1,), rounds=6))
    assert drift_in_rounds(run)["drift_p"].isna().all()
    assert place_notes(run) == []


def test_every_trial_is_drawn_at_the_time_and_at_the_place_at_which_it_was_measured(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(1, 2), rounds=6, boots=2))
    minutes = (run.measured["started_at"] - run.attempts["started_at"].min()).dt.total_seconds() / 60
    for drawing, x in (
        (value_against_time(run), minutes),
        (value_against_order(run), run.measured["trial_id"].map(places_in_rounds(run))),
    ):
        marks = [mark for axes in drawing.figure.axes for mark in axes.collections if hasattr(mark, "get_offsets")]
        points = [(round(float(a), 6), round(float(b), 6)) for mark in marks for a, b in mark.get_offsets()]
        wanted = zip(x, run.measured["throughput_bps"] / 1e9, strict=True)
        assert sorted(points) == sorted((round(float(a), 6), round(float(b), 6)) for a, b in wanted)
