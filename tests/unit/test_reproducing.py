# SPDX-License-Identifier: Apache-2.0
"""`orch rerun` and `orch reproduce`: what they ask a run to be, and what they make of it. Nothing is measured here."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli import run as run_module
from orchestrator.cli.app import run_command
from orchestrator.paths import EXPERIMENTS
from orchestrator.run.campaign import Summary
from tests.unit.synthetic_run import invented_bps, write_run

Output = pytest.CaptureFixture[str]


class Measuring:
    """Stands for `measure`: remembers what it was asked, and gives an invented run."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.changes = folder, {"rounds": 7, **changes}
        self.interrupted = False
        self.request: Any = None
        self.spec_text = ""

    def __call__(self, request: Any) -> Summary:
        self.request, self.spec_text = request, request.spec.read_text()
        path = write_run(self.folder, **self.changes)
        return Summary(path, Counter(ok=0 if self.interrupted else 9), interrupted=self.interrupted)


def measuring(monkeypatch: pytest.MonkeyPatch, folder: Path, **changes: Any) -> Measuring:
    made = Measuring(folder, **changes)
    monkeypatch.setattr(run_module, "measure", made)
    return made


def test_a_rerun_has_the_stored_spec_and_ends_with_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    before = write_run(tmp_path / "before", rounds=7)
    meta = json.loads((before / "run.json").read_text())
    (before / "run.json").write_text(
        json.dumps(meta | {"arguments": {"testbed": "two-machines", "order": "sequential"}})
    )
    measured = measuring(monkeypatch, tmp_path / "after")
    assert run_command(["rerun", str(before)]) == 0
    asked = measured.request
    assert (asked.tier, asked.overrides, asked.order) == ("quick", ["traffic.duration=3s"], "sequential")
    assert asked.testbed == "two-machines"
    assert measured.spec_text == meta["spec_text"]
    assert not asked.spec.exists()  # it was a temporary file
    assert "0 of 8 cells differ by more than noise" in capsys.readouterr().out


def test_a_rerun_elsewhere_differs_and_its_status_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    before = write_run(tmp_path / "before", rounds=7)
    measuring(monkeypatch, tmp_path / "after", speed=lambda *about: invented_bps(*about) * 3)
    assert run_command(["rerun", str(before), "--testbed", "lab", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["comparison"]["sentence"].startswith("8 of 8 cells differ")


def test_a_rerun_that_was_interrupted_says_how_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    before = write_run(tmp_path / "before")
    measured = measuring(monkeypatch, tmp_path / "after")
    measured.interrupted = True
    assert run_command(["rerun", str(before)]) == 130
    assert f"`orch rerun {before} --resume {tmp_path / 'after'}" in capsys.readouterr().err


def test_a_testbed_that_is_not_here_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    before = write_run(tmp_path / "before")
    meta = json.loads((before / "run.json").read_text())
    (before / "run.json").write_text(json.dumps(meta | {"arguments": {"testbed": "the-authors-rack"}}))
    measured = measuring(monkeypatch, tmp_path / "after")
    assert run_command(["rerun", str(before)]) == 2
    assert "name yours with --testbed" in capsys.readouterr().err
    assert measured.request is None


def test_reproduce_runs_the_claim_s_experiment_and_judges_that_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    measured = measuring(monkeypatch, tmp_path, variants=("vanilla", "threaded", "inline"))
    assert run_command(["reproduce", "c4", "--tier", "quick", "--json"]) == 4
    assert measured.request.spec == EXPERIMENTS / "scaling.yaml"
    assert measured.request.tier == "quick"
    output = capsys.readouterr()
    assert [one["claim"] for one in json.loads(output.out)["verdicts"]] == ["C4"]
    assert "It is judged at 16 to 32 cores, nearest to 18: the number of cores is not stated" in output.err
    assert run_command(["reproduce", "C12"]) == 2
