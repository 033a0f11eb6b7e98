# SPDX-License-Identifier: Apache-2.0
"""Conclusions recomputed with invalid attempts included: the report says whether they change."""

import random
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.claims import verify
from orchestrator.analysis.dataset import load
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.analysis.sensitivity import with_invalid
from orchestrator.cli.summary import print_summary
from orchestrator.cli.verify import show
from tests.unit.synthetic_run import write_run


def speed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    """Return the speed of an ok attempt. That of an invalid one is 0.6 times as high."""
    factor = {"vanilla": 1.0, "none": 100.0, "threaded": 1.2}.get(variant, 1.3)
    return 1e9 * factor * (cores if variant == "inline" else 1) * rng.gauss(1, 0.005)


def spoiled(*variants: str) -> Any:
    """Give trials of these variants an invalid attempt first."""

    def fate(trial: dict[str, Any]) -> list[str]:
        return ["invalid", "ok"] if trial["levels"]["variant"] in variants else ["ok"]

    return fate


def test_a_trial_counts_with_its_first_attempt_that_has_a_value(tmp_path: Path) -> None:
    fates = {1: ["invalid", "ok"], 2: ["failed", "invalid"], 3: ["failed", "ok"], 4: ["ok"]}
    run = load(write_run(tmp_path, cores=(1,), tunnels=(1,), rounds=4, fate=lambda trial: fates[trial["round"] or 4]))
    included = with_invalid(run)
    assert included is not None
    assert included.n == 4  # two variants, in two rounds
    assert len(run.measured) == 6
    assert len(included.run.measured) == 8
    values = included.run.trials.set_index("trial_id")["throughput_bps"]
    for row in run.attempts.to_dict("records"):
        if row["round"] in (1, 2) and row["status"] == "invalid":
            assert values[row["trial_id"]] == row["throughput_bps"]
    assert run.counts()["invalid"] == 2  # the run itself is as it was


def test_nothing_is_said_where_no_attempt_is_invalid(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(1,), rounds=6))
    assert with_invalid(run) is None
    assert "included" not in " ".join(headline(run).remarks)
    assert {verdict.with_invalid for verdict in verify(run)} == {""}


def test_a_headline_that_hangs_on_invalid_attempts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: dict[str, Any] = {"cores": (2,), "tunnels": (2,), "rounds": 6, "speed": speed}
    same = headline(load(write_run(tmp_path / "same", fate=spoiled("vanilla"), **made)))
    assert same.verdict == "threaded won."
    assert "The same with the 6 invalid attempts included." in same.remarks
    run = load(write_run(tmp_path / "other", fate=spoiled("threaded"), **made))
    changes = (
        "With the 6 invalid attempts included the conclusion changes: vanilla won, vanilla carried more than threaded"
    )
    assert headline(run).verdict == "threaded won."
    assert f"{changes}." in headline(run).remarks
    assert changes in render(run, tmp_path, verify(run))
    print_summary(run.path)
    assert changes in " ".join(capsys.readouterr().out.split())


def test_a_claim_that_hangs_on_invalid_attempts_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: dict[str, Any] = {
        "variants": ("vanilla", "inline"),
        "tunnels": (1, 0),
        "rounds": 6,
        "speed": speed,
        "provider": "ssh",
    }
    run = load(write_run(tmp_path / "other", cores=(1, 18), fate=spoiled("inline"), **made))
    found = {verdict.claim: verdict for verdict in verify(run)}
    number = found["C5"].evidence[0]
    assert number.median is not None
    assert number.median > 20
    assert found["C5"].with_invalid == "With the 18 invalid attempts included the conclusion changes: reproduced."
    assert found["C1"].with_invalid == "The same with the 18 invalid attempts included."
    show(run, list(found.values()))
    assert "With the 18 invalid attempts included the conclusion changes" in " ".join(capsys.readouterr().out.split())
