# SPDX-License-Identifier: Apache-2.0
"""`orch rerun` and `orch reproduce`: their requests for runs, and their conclusions. Nothing is measured here."""

import io
import json
import shlex
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.claims import claim_named
from orchestrator.analysis.claims.possible import possible
from orchestrator.analysis.claims.standing import Facts
from orchestrator.cli import run as run_module
from orchestrator.cli.app import run_command
from orchestrator.paths import EXPERIMENTS, TESTBEDS
from orchestrator.plan import lab_capabilities, make_plan, virtual_lab_capabilities
from orchestrator.run.campaign import CampaignSummary
from orchestrator.spec import load_experiment
from tests.unit.synthetic_run import invented_bps, write_run

Output = pytest.CaptureFixture[str]


class Measuring:
    """Stands for `measure`: remembers the request, and returns a synthetic run."""

    def __init__(self, folder: Path, **changes: Any) -> None:
        self.folder, self.changes = folder, {"rounds": 7, **changes}
        self.interrupted = False
        self.request: Any = None
        self.spec_text = ""
        self.files: set[str] = set()

    def __call__(self, request: Any) -> CampaignSummary:
        self.request, self.spec_text = request, request.spec.read_text()
        folder = request.spec.parent
        self.files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
        path = write_run(self.folder, **self.changes)
        return CampaignSummary(path, Counter(ok=0 if self.interrupted else 9), interrupted=self.interrupted)


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


def with_inputs(run: Path, names: Sequence[str]) -> Path:
    for name in names:
        file = run / "inputs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("# a file\n")
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(meta | {"inputs": "inputs"}))
    return run


def test_a_rerun_asks_before_it_uses_programs_that_a_run_brings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    names = ("variants.yaml", "view.py", "patches/faster.patch")
    before = with_inputs(write_run(tmp_path / "before", rounds=7), names)
    measured = measuring(monkeypatch, tmp_path / "after")
    monkeypatch.setattr(run_module, "draw", lambda summary: None)
    assert run_command(["rerun", str(before)]) == 2
    told = capsys.readouterr().err
    assert "can do anything on this computer: patches/faster.patch, view.py\n" in told
    assert f"Read these files in {before / 'inputs'}, then use --yes." in told
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", tmp_path, "before")
    assert run_command(["rerun", archive]) == 2
    assert f"Read these files in inputs/ of {archive}, then use --yes." in capsys.readouterr().err
    for answer in ("n\n", ""):
        answered(monkeypatch, answer)
        assert run_command(["rerun", str(before)]) == 2
    assert measured.request is None
    answered(monkeypatch, "y\n")
    assert run_command(["rerun", str(before)]) == 0
    assert measured.files == {"synthetic.yaml", *names}
    measured = measuring(monkeypatch, tmp_path / "after-yes")
    answered(monkeypatch, "n\n")
    assert run_command(["rerun", str(before), "--yes"]) == 0
    assert measured.request is not None


def answered(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    terminal = io.StringIO(line)
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", terminal)


def test_a_rerun_asks_nothing_about_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = with_inputs(write_run(tmp_path / "before", rounds=7), ["my-claims.yaml"])
    measured = measuring(monkeypatch, tmp_path / "after")
    monkeypatch.setattr(run_module, "draw", lambda summary: None)
    assert run_command(["rerun", str(before)]) == 0
    assert measured.files == {"synthetic.yaml", "my-claims.yaml"}


@pytest.mark.parametrize("named", ["..", "../../elsewhere", "/etc", "inputs"])
def test_a_rerun_takes_files_from_the_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output, named: str
) -> None:
    before = write_run(tmp_path / "before", rounds=7)
    meta = json.loads((before / "run.json").read_text())
    (before / "run.json").write_text(json.dumps(meta | {"inputs": named}))
    (tmp_path / "elsewhere").mkdir()
    measured = measuring(monkeypatch, tmp_path / "after")
    assert run_command(["rerun", str(before), "--yes"]) == 2
    assert f"has no folder {named} with the files that its spec names" in capsys.readouterr().err
    assert measured.request is None


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
    before = write_run(tmp_path / "be fore")
    measured = measuring(monkeypatch, tmp_path / "af ter")
    measured.interrupted = True
    assert run_command(["rerun", str(before)]) == 130
    command = capsys.readouterr().err.split("`")[1]
    assert shlex.split(command)[:4] == ["orch", "rerun", str(before), "--resume"]
    assert shlex.split(command)[4].startswith(f"{tmp_path}/af ter/")


def test_a_testbed_that_is_not_here_has_to_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    before = write_run(tmp_path / "before")
    meta = json.loads((before / "run.json").read_text())
    (before / "run.json").write_text(json.dumps(meta | {"arguments": {"testbed": "the-authors-rack"}}))
    measured = measuring(monkeypatch, tmp_path / "after")
    assert run_command(["rerun", str(before)]) == 2
    assert "name your testbed with --testbed" in capsys.readouterr().err
    beside = {"spec": {**meta["spec"], "testbed": "rack.yaml"}}
    (before / "run.json").write_text(json.dumps(meta | beside))
    monkeypatch.chdir(tmp_path)
    Path("rack.yaml").write_text((TESTBEDS / "lab.yaml").read_text())  # another one, perhaps
    assert run_command(["rerun", str(before)]) == 2
    assert "whose file rack.yaml was beside the spec" in capsys.readouterr().err
    assert measured.request is None


def test_reproduce_runs_the_claim_s_experiment_and_judges_that_claim(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    measured = measuring(monkeypatch, tmp_path, variants=("vanilla", "threaded", "inline"))
    monkeypatch.setattr(run_module, "draw", lambda summary: None)
    assert run_command(["reproduce", "c4", "--tier", "quick", "--json", "--yes"]) == 4
    assert measured.request.spec == EXPERIMENTS / "scaling.yaml"
    assert measured.request.tier == "quick"
    output = capsys.readouterr()
    assert [one["claim"] for one in json.loads(output.out)["verdicts"]] == ["C4"]
    assert "It is judged at 16 to 32 cores, nearest to 18: the number of cores is not stated" in output.err
    assert run_command(["reproduce", "C12"]) == 2


def test_reproduce_measures_nothing_unasked_that_the_plan_knows_to_decide_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    measured = measuring(monkeypatch, tmp_path)
    monkeypatch.setattr(run_module, "draw", lambda summary: None)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))  # without a terminal, nobody answers
    assert run_command(["reproduce", "C4", "--tier", "quick"]) == 4
    assert measured.request is None
    said = capsys.readouterr().err
    assert "Possible verdict: not testable here." in said
    assert "all roles share the cores of one computer" in said
    assert "`orch reproduce C4 --testbed virtual-lab --tier claims`" in said
    assert said.endswith("Nothing was measured. Use --yes to measure anyway.\n")

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert run_command(["reproduce", "C4", "--tier", "quick"]) == 4
    assert measured.request is None
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert run_command(["reproduce", "C4", "--tier", "quick"]) == 4  # measured, and not testable
    assert measured.request is not None


def test_a_dry_run_measures_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    measured = measuring(monkeypatch, tmp_path)
    assert run_command(["reproduce", "C4", "--dry-run", "--testbed", "virtual-lab", "--tier", "claims"]) == 0
    last = capsys.readouterr().err.rsplit("Possible verdict: ", 1)[1]
    assert last == "reproduced in virtual time or not reproduced in virtual time or undecided in virtual time.\n"
    assert measured.request is None


@pytest.mark.parametrize("claim", [f"C{number}" for number in range(1, 8)])
def test_the_command_for_virtual_time_can_lead_to_a_verdict(claim: str, capsys: Output) -> None:
    assert run_command(["reproduce", claim, "--dry-run"]) == 4
    told = shlex.split(capsys.readouterr().err.split("`")[-2])
    assert told[told.index("--testbed") + 1] == ("virtual-one-machine" if claim == "C7" else "virtual-lab")
    assert run_command([*told[1:], "--dry-run"]) == 0


def test_no_command_is_told_where_no_testbed_in_virtual_time_has_the_cells(capsys: Output) -> None:
    assert run_command(["reproduce", "C8", "--dry-run"]) == 4
    assert "virtual time" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("claim", "overrides", "lacks"),
    [
        ("C1", (), None),
        ("C4", ("repetitions=6",), None),
        ("C6", (), None),
        ("C6", ("factors.cores=[1, 18]",), "needs 3 core counts, and the plan has 2"),
        ("C6", ("repetitions=7",), "needs 2 boots of each core count, and the plan has 1"),
        ("C4", ("repetitions=5",), "needs 6 rounds, and the plan has 5"),
        ("C4", ("factors.cores=[1, 4, 9]",), "judged at 16 to 32 cores"),
        ("C4", ("factors.variant=[vanilla]",), "lacks the cells"),
        ("C4", ("topology=gateway-to-gateway",), "only site-to-site runs"),
    ],
)
def test_what_a_plan_lacks_for_a_verdict_is_known_beforehand(
    claim: str, overrides: tuple[str, ...], lacks: str | None
) -> None:
    able = virtual_lab_capabilities(32, 2, ("vanilla", "threaded", "inline"), "own")
    plan = make_plan(load_experiment(EXPERIMENTS / "scaling.yaml", tier="claims", overrides=overrides), able)
    found = possible(claim_named(claim), plan, Facts(plan.topology, "uml", "virtual", False))
    assert found.testable is (lacks is None)
    if lacks:
        assert lacks in "; ".join(found.against)
        assert len(found.verdicts) == 1
        assert found.verdicts[0].startswith("not testable here")


@pytest.mark.parametrize(
    ("claim", "boots", "lacks"),
    [
        ("C6", 3, "needs 2 boots of each core count, and the testbed does not restart its hosts (`restart: true`"),
        ("C4", 2, "needs 6 rounds, and the plan has 4"),
        ("C4", 3, None),
    ],
)
def test_blocks_of_hosts_that_are_not_restarted_are_of_one_boot(claim: str, boots: int, lacks: str | None) -> None:
    able = replace(lab_capabilities(32, ("vanilla", "threaded", "inline")), restarts=False)
    overrides = (f"repetitions={{boots: {boots}, min: 2, max: 2}}",)
    plan = make_plan(load_experiment(EXPERIMENTS / "scaling.yaml", tier="claims", overrides=overrides), able)
    facts = Facts(plan.topology, "ssh", "real", False)
    found = possible(claim_named(claim), plan, facts, restarts=able.restarts)
    assert (lacks or "") in "; ".join(found.against)
    assert found.testable is (lacks is None)
    assert possible(claim_named(claim), plan, facts).testable
