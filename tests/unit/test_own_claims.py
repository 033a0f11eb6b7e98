# SPDX-License-Identifier: Apache-2.0
"""Claims of your own: a file that a spec names, validated with it, stored in the run, and judged from there."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis import make_report
from orchestrator.analysis.claims import NOT_TESTABLE, REPRODUCED
from orchestrator.analysis.dataset import load
from orchestrator.analysis.figures.published import published
from orchestrator.analysis.page import render
from orchestrator.cli.app import run_command
from orchestrator.errors import UserError
from orchestrator.spec import SpecError, check_file, load_experiment
from tests.unit.synthetic_run import VIRTUAL, write_run

SPEC = """\
experiment: mine
claims: ./my-claims.yaml
factors: {variant: [vanilla, threaded], cores: [1, 2], tunnels: [1, 2]}
traffic: {duration: 3s}
"""
CLAIM = """\
- claim: H1
  title: Threads help two tunnels
  statement: With two tunnels, threaded carries more than vanilla.
  source: {text: a hypothesis of ours}
  scope:
    cores: {nearest: 2, at_least: 2, at_most: 4}
    because: two cores are what we have
  tests:
    - name: two tunnels
      statistic: ratio
      of: {variant: threaded, tunnels: 2}
      to: {variant: vanilla, tunnels: 2}
      accepted: {at_least: 1.1, at_most: 4, because: less than a tenth more is nothing}
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "my-claims.yaml").write_text(CLAIM)
    (folder / "mine.yaml").write_text(SPEC)
    return folder / "mine.yaml"


def with_claims(run: Path, text: str = CLAIM) -> Path:
    """A run as if its spec had named a file of claims."""
    (run / "inputs").mkdir()
    (run / "inputs" / "my-claims.yaml").write_text(text)
    meta = json.loads((run / "run.json").read_text())
    meta["spec"]["claims"], meta["inputs"] = "./my-claims.yaml", "inputs"
    (run / "run.json").write_text(json.dumps(meta))
    return run


def threads_help(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return {"threaded": 1.5e9, "vanilla": 1e9}.get(variant, 1e10) * rng.gauss(1, 0.01)


def threads_do_not_help(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return {"threaded": 1e9, "vanilla": 1e9}.get(variant, 1e10) * rng.gauss(1, 0.01)


def mistakes(spec: Path, text: str) -> list[tuple[str, int, int, str]]:
    """(file, line, column, sentence) of each mistake that loading a spec finds with this text as its claims."""
    (spec.parent / "my-claims.yaml").write_text(text)
    with pytest.raises(SpecError) as caught:
        load_experiment(spec)
    places = [(problem.span, problem.message) for problem in caught.value.problems]
    return [(Path(s.source.name).name, s.line + 1, s.column + 1, message) for s, message in places if s is not None]


def test_a_spec_names_a_file_of_claims_and_keeps_a_copy(spec: Path) -> None:
    experiment = load_experiment(spec)
    assert experiment.inputs == {"my-claims.yaml": CLAIM.encode()}
    assert experiment.model_dump(mode="json")["claims"] == "./my-claims.yaml"
    assert "is a valid spec" in check_file(spec)
    assert check_file(spec.parent / "my-claims.yaml").endswith("is a valid file of your own claims: H1.")
    (spec.parent / "my-claims.yaml").write_text(CLAIM + "# a remark\n")
    assert load_experiment(spec).spec_hash == experiment.spec_hash


def test_one_claim_needs_no_list(spec: Path) -> None:
    one = "".join(f"{line[2:]}\n" for line in CLAIM.splitlines())
    (spec.parent / "my-claims.yaml").write_text(one)
    assert load_experiment(spec).inputs == {"my-claims.yaml": one.encode()}
    assert "own claims: H1." in check_file(spec.parent / "my-claims.yaml")


@pytest.mark.parametrize(
    ("old", "new", "line", "column", "says"),
    [
        ("claim: H1", "claim: C1", 1, 10, "a capital letter other than C and a number"),
        ("title:", "titel:", 2, 3, "Did you mean title?"),
        ("{variant: threaded,", "{variant: thraeded,", 11, 21, "Did you mean threaded?"),
        ("at_least: 1.1", "at_least: 5", 13, 17, "at_least below at_most"),
        ("tunnels: 2}", "tunnels: two}", 11, 40, "many"),
    ],
)
def test_a_mistake_in_claims_has_its_line_and_column(
    spec: Path, old: str, new: str, line: int, column: int, says: str
) -> None:
    assert old in CLAIM
    found = mistakes(spec, CLAIM.replace(old, new, 1))
    assert [one[:3] for one in found] == [("my-claims.yaml", line, column)]
    assert says in found[0][3]


def test_two_claims_of_one_name_and_an_empty_list_are_refused(spec: Path) -> None:
    ((_, line, _, message),) = mistakes(spec, CLAIM * 2)
    assert line == len(CLAIM.splitlines()) + 1
    assert "H1 is already in this file" in message
    ((*_, message),) = mistakes(spec, "[]\n")
    assert "claims: none" in message


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("../claims.yaml", "not below the folder"),
        ("missing.yaml", "Cannot read"),
        ("mine.txt", "such as my-claims.yaml"),
    ],
)
def test_a_file_of_claims_that_cannot_be_used_is_a_mistake_of_the_spec(spec: Path, named: str, says: str) -> None:
    spec.write_text(SPEC.replace("./my-claims.yaml", named))
    with pytest.raises(SpecError) as caught:
        load_experiment(spec)
    (problem,) = caught.value.problems
    assert problem.span is not None
    assert (problem.span.line, problem.span.column) == (1, 8)
    assert says in problem.message


def test_own_claims_are_judged_in_the_lab_and_in_place_of_the_papers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_claims(write_run(tmp_path, speed=threads_help, rounds=8))
    (verdict,) = load(run).verify()
    assert (verdict.claim, verdict.verdict, verdict.experiment) == ("H1", REPRODUCED, "synthetic")
    assert verdict.evidence[0].median == pytest.approx(1.5, rel=0.02)
    page = render(load(run), run, load(run).verify())
    assert "Threads help two tunnels" in page
    assert "my-claims.yaml" in page
    drawn = " ".join(text.get_text() for text in published(load(run)).figure.texts)
    assert "none of the claims of its spec has a published ratio" in " ".join(drawn.split())
    capsys.readouterr()
    assert run_command(["verify", str(run), "--claim", "h1"]) == 0
    told = capsys.readouterr().out
    assert "H1" in told
    assert re.search(r"expected +1\.10 to 4\.00\n", told)
    assert "Source: " in told
    assert "ublished" not in told
    assert "<dt>expected</dt><dd>1.10 to 4.00, judged at" in page
    assert "<dt>published</dt>" not in page
    assert "expected 1.10 to 4.00" in load(run).verify()._repr_html_()
    assert run_command(["verify", str(run), "--claim", "C4"]) == 4  # which the lab cannot decide
    assert run_command(["verify", str(run), "--claim", "H2"]) == 2
    assert "no claim H2 in the claims of this run" in capsys.readouterr().err


def test_own_claims_fail_where_the_numbers_say_so_and_say_virtual_time(tmp_path: Path) -> None:
    fails = with_claims(write_run(tmp_path / "fails", speed=threads_do_not_help, rounds=8))
    assert run_command(["verify", str(fails)]) == 1
    virtual = with_claims(write_run(tmp_path / "virtual", speed=threads_help, rounds=8, virtual=VIRTUAL))
    (verdict,) = load(virtual).verify()
    assert verdict.verdict == "reproduced in virtual time"


def test_an_emulated_run_decides_no_claim_of_ones_own_and_a_missing_cell_has_a_remedy(tmp_path: Path) -> None:
    emulated = with_claims(write_run(tmp_path / "emulated", speed=threads_help, rounds=8, emulated=True))
    (verdict,) = load(emulated).verify()
    assert verdict.verdict == NOT_TESTABLE
    assert "emulated" in verdict.reason
    lacking = with_claims(write_run(tmp_path / "lacking", variants=("vanilla",)))
    (verdict,) = load(lacking).verify()
    assert verdict.verdict == NOT_TESTABLE
    assert "lacks the variant threaded; extend the factors of the spec" in verdict.reason


def test_a_ratio_of_ones_own_may_be_against_any_variant(tmp_path: Path) -> None:
    run = with_claims(write_run(tmp_path, speed=threads_help, rounds=8))
    meta = json.loads((run / "run.json").read_text())
    meta["variants"]["vanilla"]["build"] = "multitunnel"
    (run / "run.json").write_text(json.dumps(meta))
    assert [verdict.verdict for verdict in load(run).verify()] == [REPRODUCED]


def test_an_export_has_what_its_claims_need(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = with_claims(write_run(tmp_path / "here", speed=threads_help, rounds=8))
    (run / "report.html").write_text("<p>drawn</p>")
    archive = tmp_path / "elsewhere.zip"
    assert run_command(["export", str(run), "--output", str(archive), "--allow", "dirty"]) == 0
    shutil.rmtree(tmp_path / "here")
    capsys.readouterr()
    assert run_command(["verify", str(archive), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["verdicts"]
    assert (found["claim"], found["verdict"]) == ("H1", REPRODUCED)


@pytest.mark.parametrize(("field", "value"), [("inputs", "../.."), ("claims", "../../claims.yaml"), ("inputs", None)])
def test_a_run_without_its_claims_is_a_sentence_and_leads_nowhere_else(tmp_path: Path, field: str, value: Any) -> None:
    run = with_claims(write_run(tmp_path, rounds=1))
    (tmp_path / "claims.yaml").write_text(CLAIM)
    (tmp_path / "my-claims.yaml").write_text(CLAIM)
    meta = json.loads((run / "run.json").read_text())
    if field == "claims":
        meta["spec"]["claims"] = value
    else:
        meta["inputs"] = value
        shutil.rmtree(run / "inputs")
    (run / "run.json").write_text(json.dumps(meta))
    with pytest.raises(UserError, match=r"which its spec names\. Restore it from a copy of the run"):
        load(run).verify()


def test_claims_that_another_version_cannot_read_are_a_sentence(tmp_path: Path) -> None:
    run = with_claims(write_run(tmp_path, rounds=1), CLAIM.replace("statistic: ratio", "statistic: rank"))
    for act in (lambda: load(run).verify(), lambda: make_report(run)):
        with pytest.raises(UserError, match=r"(?s)stores cannot be judged\..*my-claims\.yaml:10:18"):
            act()


def varying_connections(run: Path) -> Path:
    """Turn a run of an even number of rounds into one of half as many, with 8 and with 128 connections."""
    meta = json.loads((run / "run.json").read_text())
    trials = [trial for block in meta["plan"]["blocks"] for trial in block["trials"] if trial["kind"] == "measure"]
    for trial in trials:
        trial["levels"]["traffic.connections"] = (8, 128)[trial["round"] % 2]
        trial["round"] = trial["repetition"] = (trial["round"] + 1) // 2
    (run / "run.json").write_text(json.dumps(meta))
    for trial in trials:
        for file in (run / "trials" / trial["trial_id"]).glob("*/attempt.json"):
            same = {key: trial[key] for key in ("levels", "round", "repetition")}
            file.write_text(json.dumps(json.loads(file.read_text()) | same))
    return run


def test_a_claim_names_a_level_of_each_further_factor_that_the_run_varies(tmp_path: Path) -> None:
    run = with_claims(varying_connections(write_run(tmp_path / "run", rounds=12, speed=threads_help)))
    (verdict,) = load(run).verify()
    assert verdict.verdict == NOT_TESTABLE
    assert "varies traffic.connections and the claim does not; name a level of each" in verdict.reason
    named = CLAIM.replace("tunnels: 2}", "tunnels: 2, traffic.connections: 8}")
    (run / "inputs" / "my-claims.yaml").write_text(named)
    (verdict,) = load(run).verify()
    assert (verdict.verdict, verdict.evidence[0].n) == (REPRODUCED, 6)
