# SPDX-License-Identifier: Apache-2.0
"""Claims: reproduced only if everything agrees, not reproduced only if something lies outside, else neither."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator import paths
from orchestrator.analysis.claims import (
    NOT_REPRODUCED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    Verdict,
    load_claims,
    verify,
)
from orchestrator.analysis.dataset import load
from orchestrator.cli.app import run_command
from orchestrator.spec import load_claim, load_experiment
from orchestrator.spec.catalog import known_variants
from orchestrator.spec.problems import SpecError
from tests.unit.synthetic_run import write_run

Speed = Callable[[str, int, int, random.Random], float]
VARIANTS = ("vanilla", "threaded", "inline")


def as_published(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    """What all claims would look like: one tunnel, many tunnels with softirq and threaded NAPI, and inline."""
    one = 1e9 * (1 + 0.025 * (cores - 1))
    many = {"none": 100.0, "vanilla": min(2.6, 1 + 0.4 * cores), "threaded": min(10.0, cores), "inline": cores}
    ours = {"inline": 1e9 * cores}.get(variant, one * many[variant])
    return (one if tunnels == 1 and variant != "none" else ours) * rng.gauss(1.0, 0.004)


def verdicts(root: Path, **changes: Any) -> dict[str, Verdict]:
    made: dict[str, Any] = {"variants": VARIANTS, "cores": (1, 2, 8, 32), "tunnels": (1, 16, 0), "rounds": 8}
    run = load(write_run(root, **{"speed": as_published, **made, **changes}))
    return {verdict.claim: verdict for verdict in verify(run)}


def test_numbers_as_published_reproduce_every_claim_and_have_their_evidence(tmp_path: Path) -> None:
    found = verdicts(tmp_path)
    assert {name: verdict.verdict for name, verdict in found.items()} == {f"C{n}": REPRODUCED for n in range(1, 7)}
    both = found["C4"].evidence
    assert [one.median for one in both] == pytest.approx([32 / 17.75, 32 / (1.775 * 2.6)], rel=0.01)
    assert all(one.n == 8 and one.low is not None and one.low <= (one.median or 0) for one in both)
    assert found["C2"].evidence[0].of == "vanilla, 32 cores, 16 tunnels"
    assert found["C1"].evidence[0].to == "vanilla, 1 core, 1 tunnel"
    assert "95" not in found["C5"].reason


def slower(variant: str, share: float) -> Speed:
    def speed(name: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return as_published(name, cores, tunnels, rng) * (share if name == variant and tunnels > 1 else 1)

    return speed


def test_a_claim_is_not_reproduced_where_one_of_its_numbers_lies_outside(tmp_path: Path) -> None:
    found = verdicts(tmp_path, speed=slower("inline", 0.6))
    assert found["C4"].verdict == NOT_REPRODUCED
    assert [one.agrees for one in found["C4"].evidence] == [False, True]
    assert "against threaded NAPI: 1.0" in found["C4"].reason
    assert "against softirq NAPI agrees" in found["C4"].reason
    assert found["C5"].verdict == NOT_REPRODUCED
    assert found["C3"].verdict == REPRODUCED


def noisy(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return as_published(variant, cores, tunnels, rng) * rng.lognormvariate(0, 0.6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"topology": "gateway-to-gateway"}, "wrong topology: gateway-to-gateway"),
        ({"emulated": True}, "emulated: "),
        ({"cores": (1, 2, 4)}, "too few cores: 4, and it needs 18"),
        ({"rounds": 5}, "too few rounds: below 6"),
        ({"variants": ("vanilla", "threaded")}, "has not the variant inline; `orch reproduce C4`"),
        ({"tunnels": (64,)}, "has not the cells of inline and threaded"),
        ({"tunnels": (1, 2)}, "the run has those of the claim with 2 cores at most, and it needs 18"),
        ({"fate": lambda trial: ["failed"] if trial["levels"]["variant"] == "inline" else ["ok"]}, "(8 failed)"),
        ({"speed": lambda v, c, t, rng: 1e9 * (2 if v == "inline" else 1)}, "generator-bound: inline, 32 cores"),
    ],
)
def test_what_a_run_cannot_show_is_said(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    verdict = verdicts(tmp_path, **changes)["C4"]
    assert verdict.verdict == NOT_TESTABLE
    assert reason in verdict.reason


def test_an_interval_that_is_partly_accepted_is_undecided(tmp_path: Path) -> None:
    verdict = verdicts(tmp_path, speed=noisy)["C4"]
    assert (verdict.verdict, verdict.agrees) == (UNDECIDED, None)
    assert "is partly in what is accepted" in verdict.reason
    few = verdicts(tmp_path / "few", speed=noisy, rounds=3)["C4"]
    assert few.verdict == NOT_TESTABLE


def test_two_core_counts_make_no_scaling_claim(tmp_path: Path) -> None:
    found = verdicts(tmp_path, cores=(1, 32))
    assert "2 core counts make no scaling claim" in found["C6"].reason
    assert found["C6"].evidence[0].median is not None
    assert found["C5"].verdict == REPRODUCED


def test_a_ratio_against_a_patched_module_decides_nothing(tmp_path: Path) -> None:
    path = write_run(tmp_path, speed=as_published, variants=VARIANTS, cores=(32,), tunnels=(1, 0), rounds=8)
    meta = json.loads((path / "run.json").read_text())
    meta["variants"]["threaded"]["build"] = "multitunnel"
    (path / "run.json").write_text(json.dumps(meta))
    verdict = next(verdict for verdict in verify(load(path)) if verdict.claim == "C4")
    assert (verdict.verdict, [one.agrees for one in verdict.evidence]) == (NOT_TESTABLE, [None, True])
    assert "threaded is an unpatched module" in verdict.reason


def test_trials_that_broke_a_limit_which_is_only_reported_decide_nothing(tmp_path: Path) -> None:
    path = write_run(tmp_path, speed=as_published, variants=VARIANTS, cores=(32,), tunnels=(1, 0), rounds=8)
    meta = json.loads((path / "run.json").read_text())
    meta["spec"]["limits"] = {"report_only": ["headroom", "clock_skew", "competing_load"]}
    (path / "run.json").write_text(json.dumps(meta))
    assert {verdict.claim: verdict.verdict for verdict in verify(load(path))}["C4"] == REPRODUCED
    for file in path.glob("trials/*/1/attempt.json"):
        attempt = json.loads(file.read_text())
        file.write_text(json.dumps({**attempt, "marks": ["other programs used 50% of a core"]}))
    verdict = next(verdict for verdict in verify(load(path)) if verdict.claim == "C4")
    assert verdict.verdict == NOT_TESTABLE
    assert "relaxed limits: the spec only reports competing_load, and 16 of its trials are marked" in verdict.reason


def test_invalid_attempts_stand_beside_the_number(tmp_path: Path) -> None:
    def fate(trial: dict[str, Any]) -> list[str]:
        return ["invalid", "ok"] if trial["levels"]["variant"] == "inline" and trial["round"] < 4 else ["ok"]

    evidence = verdicts(tmp_path, fate=fate)["C4"].evidence
    assert [one.invalid_attempts for one in evidence] == [3, 3]


def test_claims_name_what_there_is() -> None:
    claims = load_claims()
    assert [claim.claim for claim in claims] == ["C1", "C2", "C3", "C4", "C5", "C6"]
    for claim in claims:
        planned = load_experiment(paths.EXPERIMENTS / f"{claim.experiment}.yaml", tier="full").factors
        for test in claim.tests:
            for side in filter(None, (test.of, test.to)):
                assert side.variant in known_variants()
                assert side.variant in planned.variant
                assert set(side.tunnels) & set(planned.tunnels)


def test_a_mistake_in_a_claim_has_its_place(tmp_path: Path) -> None:
    text = (paths.CLAIMS / "c5.yaml").read_text()
    file = tmp_path / "c5.yaml"
    file.write_text(text.replace("tolerance: 25%", "tolerance: 25").replace("claim: C5", "claim: five"))
    with pytest.raises(SpecError) as caught:
        load_claim(file)
    assert len(caught.value.problems) == 2
    assert f"{file}:3:8:" in str(caught.value)
    file.write_text(text.replace("    tolerance: 25%\n", ""))
    with pytest.raises(SpecError, match="Expected a tolerance, such as 25%"):
        load_claim(file)


def test_verify_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made: dict[str, Any] = {"variants": VARIANTS, "cores": (1, 8, 32), "tunnels": (1, 16, 0), "rounds": 8}
    good = write_run(tmp_path / "good", speed=as_published, **made)
    bad = write_run(tmp_path / "bad", speed=slower("inline", 0.6), **made)
    few = write_run(tmp_path / "few", speed=as_published, **{**made, "rounds": 2})
    assert [run_command(["verify", str(path)]) for path in (good, bad, few)] == [0, 1, 4]
    said = capsys.readouterr().out
    assert "C4  reproduced: " in said
    assert "published  almost 2 times (agrees: 1.50 to 2.50)" in said
    stored = json.loads((good / "claims.json").read_text())
    assert [one["verdict"] for one in stored["verdicts"]] == [REPRODUCED] * 6
    assert run_command(["verify", str(bad), "--claim", "c3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["claim"] for one in found["verdicts"]] == ["C3"]
    assert run_command(["verify", str(bad), "--claim", "C9"]) == 2
    assert "There is no claim C9" in capsys.readouterr().err
