# SPDX-License-Identifier: Apache-2.0
"""`orchestrator.run(...)`: the way from a spec to a run, for scripts and notebooks."""

import inspect
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import orchestrator
import orchestrator.run.home
from orchestrator import running
from orchestrator.bar import Bar
from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import CHECKOUT, RESULTS, TESTBEDS
from orchestrator.running import RunRequest
from orchestrator.spec import load_experiment


@dataclass
class Came:
    """The outcome of a run."""

    path: Path = RESULTS / "example"
    interrupted: bool = False
    stopped: str = ""
    unusable: bool = False
    given_up: list[dict[str, Any]] = field(default_factory=list)


def asked_for(monkeypatch: pytest.MonkeyPatch, came: Came) -> list[RunRequest]:
    requests: list[RunRequest] = []

    def measure(request: RunRequest, displays: Any) -> Came:
        requests.append(request)
        assert isinstance(displays("uml", None, "shared"), Bar)
        return came

    monkeypatch.setattr(running, "measure", measure)
    return requests


def test_a_run_is_a_function_of_the_package_and_gives_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    requests = asked_for(monkeypatch, Came())
    changes = {"traffic.duration": "3s", "factors.cores": [1, 2], "factors.variant": ["vanilla"], "retries": 0}
    found = orchestrator.run("exp/scaling.yaml", tier="smoke", set=changes)
    assert isinstance(found, orchestrator.Run)
    assert found.path == RESULTS / "example"
    (request,) = requests
    assert (request.tier, request.yes, request.results) == ("smoke", True, RESULTS)
    experiment = load_experiment(request.spec, request.tier, request.overrides or ())
    assert (experiment.traffic.duration_s, experiment.retries) == (3.0, 0)
    assert experiment.factors.cores == (1, 2)
    assert experiment.factors.variant == ("vanilla",)


@pytest.mark.parametrize(
    "imports",
    [
        "import orchestrator as orch",
        "import orchestrator as orch, orchestrator.run.campaign",
        "import orchestrator.run.campaign, orchestrator as orch",
        "from orchestrator import run as found; import orchestrator as orch; assert found is orch.run",
    ],
)
def test_the_function_is_there_whatever_was_imported_before(imports: str) -> None:
    told = "import inspect; print(callable(orch.run), *inspect.signature(orch.run).parameters)"
    done = subprocess.run(
        [sys.executable, "-c", f"{imports}\n{told}"], capture_output=True, text=True, check=False, cwd=CHECKOUT
    )
    assert done.stdout.split() == ["True", *inspect.signature(running.run_experiment).parameters], done.stderr


@pytest.mark.parametrize(
    ("came", "why"),
    [
        (Came(interrupted=True), "it was interrupted"),
        (Came(stopped="the disk is full"), "the disk is full"),
        (Came(unusable=True, given_up=[{"reason": "no answer"}]), "no answer"),
    ],
)
def test_a_run_that_did_not_end_says_why_and_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, came: Came, why: str
) -> None:
    asked_for(monkeypatch, came)
    with pytest.raises(TestbedError, match=rf"{why}.*resume='.*example'"):
        running.run_experiment("exp/scaling.yaml")


def test_a_mistake_is_raised_as_on_the_command_line() -> None:
    with pytest.raises(UserError, match=r"no file exp/scalin\.yaml"):
        orchestrator.run("exp/scalin.yaml")
    with pytest.raises(UserError, match=r"traffic\.duratoin"):
        orchestrator.run("exp/scaling.yaml", set={"traffic.duratoin": "3s"})


def test_a_testbed_whose_path_no_run_can_record_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "refuse_without_packages", lambda: None)
    bed = tmp_path / "b\udcff.yaml"
    bed.write_bytes((TESTBEDS / "lab.yaml").read_bytes())
    with pytest.raises(UserError, match=r"b\\udcff\.yaml' is not UTF-8, so that no run can record it"):
        orchestrator.run(CHECKOUT / "experiments/scaling.yaml", testbed=str(bed), results=tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == [bed.name]


def test_the_bar_counts_what_is_ok_and_says_what_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    trials: Any = [SimpleNamespace(trial_id=f"t{n}") for n in range(4)]
    plan: Any = SimpleNamespace(blocks=[SimpleNamespace(trials=trials)])
    ok, bad = (SimpleNamespace(status=status, reasons=["lost"]) for status in ("ok", "failed"))
    with Bar() as bar:
        bar.plan(plan, trials[:1], 1)
        bar.result(trials[1], 1, ok)  # type: ignore[arg-type]
        bar.result(trials[2], 1, bad)  # type: ignore[arg-type]
        bar.skipped(trials[3:])
        assert bar.text.startswith("2 of 3 trials ok, 1 attempt failed")
        assert bar.ask([], "?", ("keep", "abort")) == "abort"
    assert "t2: failed: lost" in capsys.readouterr().err


def test_in_a_notebook_the_bar_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[str] = []
    handle = SimpleNamespace(update=lambda page: shown.append(page.data))
    monkeypatch.setattr("orchestrator.bar._handle", lambda: handle)
    plan: Any = SimpleNamespace(blocks=[SimpleNamespace(trials=[1, 2])])
    with Bar() as bar:
        bar.plan(plan, [], 1)
        bar.message("a < b")
    assert '<progress value="0" max="2">' in shown[0]
    assert "a &lt; b" in shown[1]
