# SPDX-License-Identifier: Apache-2.0
"""The effect of competing load on an attempt, and what the user is told about it."""

import json
from pathlib import Path

import pytest

from orchestrator.analysis.dataset import load
from orchestrator.cli.summary import beside_load, load_sentences
from orchestrator.errors import UserError
from orchestrator.measure.judge import Passage, beyond, judge
from orchestrator.paths import EXPERIMENTS
from orchestrator.running import busy_override
from orchestrator.spec import Limits, load_experiment
from orchestrator.store import write_tables
from tests.unit.synthetic_run import write_run
from tests.unit.test_run_evaluation import computer, evidence, stream

SPECS = sorted(EXPERIMENTS.glob("*.yaml"))


@pytest.mark.parametrize("spec", SPECS, ids=lambda path: path.stem)
def test_smoke_tiers_mark_competing_load(spec: Path) -> None:
    assert load_experiment(spec, tier="smoke").busy == "mark"
    assert load_experiment(spec).busy == "reject"


def test_the_command_line_decides_over_the_tier() -> None:
    assert load_experiment(SPECS[0], tier="smoke", overrides=busy_override("reject")).busy == "reject"
    assert busy_override(None) == []
    with pytest.raises(UserError, match="--busy is reject or mark, not maybe"):
        busy_override("maybe")


def test_a_spec_that_does_not_name_it_is_what_it_was() -> None:
    assert "busy" not in load_experiment(SPECS[0]).model_dump(mode="json")


def test_load_that_marks_takes_its_effects_along_and_nothing_else() -> None:
    late = [stream(duration_s=1.4)]
    loaded = evidence(late, computer=computer(other_s=2.0), kernel_log=("BUG: a lock",))
    rejected = judge(loaded, Limits())
    assert {"competing_load", "duration", "kernel_log"} <= set(rejected.names)
    marked = judge(loaded, Limits(), load_marks=True)
    assert marked.names == ["kernel_log"]
    assert set(marked.marks) >= set(rejected.broken) - set(marked.broken)
    quiet = evidence(late)
    assert judge(quiet, Limits(), load_marks=True).names == judge(quiet, Limits()).names == ["duration"]


@pytest.mark.parametrize(
    ("came_in", "unused", "names"),
    [(980_000, (), []), (150_000, (), []), (40_000, (), ["counters"]), (150_000, (2,), ["counters"])],
)
def test_load_explains_windows_that_slipped_apart_and_no_traffic_that_went_past(
    came_in: int, unused: tuple[int, ...], names: list[str]
) -> None:
    passages = [Passage("tunnel 1", 1_000_000, came_in)]
    loaded = evidence([stream()], computer=computer(other_s=2.0), passages=passages, unused=unused)
    assert sorted(set(judge(loaded, Limits(), load_marks=True).names)) == names
    quiet = evidence([stream()], passages=passages, unused=unused)
    assert sorted(set(judge(quiet, Limits(), emulated=True).names)) == names  # an emulated processor stops by itself
    assert set(judge(quiet, Limits(), load_marks=True).names) == set(["counters"] * (came_in < 900_000 or bool(unused)))


@pytest.mark.parametrize(
    ("share", "limit", "digits", "text"),
    [(0.104, 0.1, 0, "10.4%"), (0.12, 0.1, 0, "12%"), (0.10004, 0.1, 0, "10.004%"), (0.0201, 0.02, 1, "2.01%")],
)
def test_what_breaks_a_limit_is_shown_above_it(share: float, limit: float, digits: int, text: str) -> None:
    assert beyond(share, limit, digits) == text


def test_the_summary_counts_what_load_marked_and_what_it_spoiled(tmp_path: Path) -> None:
    def fate(trial: dict[str, object]) -> list[str]:
        return ["invalid", "ok"] if trial["order"] == 3 else ["ok"]

    path = write_run(tmp_path, rounds=1, fate=fate)
    assert load_sentences(load(path)) == []
    said = "other programs used 90% of a core of this computer; the limit is 10%"
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["status"] == "invalid":
            attempt["reasons"] = [said]
        elif attempt["order"] in (4, 5):
            attempt["marks"] = ["generator-bound: 95% of what this block carries without a tunnel", said]
        file.write_text(json.dumps(attempt))
    write_tables(path)
    run = load(path)
    assert beside_load(run) == (2, 1)
    marked, invalid, _ = load_sentences(run)
    assert f"2 of {len(run.attempts)} attempts; these are marked" in marked
    assert f"1 of {len(run.attempts)} attempts; these are invalid" in invalid
