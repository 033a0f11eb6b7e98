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
    ClaimVerdict,
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
MADE: dict[str, Any] = {"variants": VARIANTS, "cores": (1, 2, 16), "tunnels": (1, 16, 0), "rounds": 3, "boots": 3}
MADE |= {"provider": "ssh"}


def as_published(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    """Return numbers as all claims describe them: one tunnel, many tunnels with softirq and threaded NAPI, and
    inline."""
    one = 1e9 * (1 + 0.005 * (cores - 1))
    many = {"none": 100.0, "vanilla": min(2.2, cores), "threaded": min(8.8, 0.55 * cores + 0.45), "inline": cores}
    ours = {"inline": 1e9 * cores}.get(variant, one * many[variant])
    return (one if tunnels == 1 and variant != "none" else ours) * rng.gauss(1.0, 0.004)


def verdicts(root: Path, **changes: Any) -> dict[str, ClaimVerdict]:
    run = load(write_run(root, **{**MADE, "speed": as_published, **changes}))
    return {verdict.claim: verdict for verdict in verify(run)}


def test_numbers_as_published_reproduce_every_claim_and_have_their_evidence(tmp_path: Path) -> None:
    found = verdicts(tmp_path)
    assert {name: verdict.verdict for name, verdict in found.items()} == {f"C{n}": REPRODUCED for n in range(1, 7)}
    both = found["C4"].evidence
    assert [one.median for one in both] == pytest.approx([16 / (1.075 * 8.8), 16 / (1.075 * 2.2)], rel=0.01)
    assert all(one.n == 9 and one.boots == 3 and one.low is not None and one.low <= (one.median or 0) for one in both)
    assert [one.order for one in both] == ["inline is above threaded", "inline is above vanilla"]
    assert found["C2"].evidence[0].of == "vanilla, 16 cores, 16 tunnels"
    assert found["C1"].evidence[0].to == "vanilla, 1 core, 1 tunnel"
    assert found["C5"].reason.startswith("the 95 % interval over boots, 1")


def slower(variant: str, share: float) -> Speed:
    def speed(name: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return as_published(name, cores, tunnels, rng) * (share if name == variant and tunnels > 1 else 1)

    return speed


def test_a_claim_is_not_reproduced_where_one_of_its_numbers_lies_outside(tmp_path: Path) -> None:
    found = verdicts(tmp_path, speed=slower("inline", 0.6))
    assert found["C4"].verdict == NOT_REPRODUCED
    assert [one.agrees for one in found["C4"].evidence] == [False, True]
    assert "against threaded NAPI: the 95 % interval over boots, 1.0" in found["C4"].reason
    assert "against softirq NAPI agrees" in found["C4"].reason
    assert found["C5"].verdict == NOT_REPRODUCED
    assert found["C3"].verdict == REPRODUCED


def noisy(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
    return as_published(variant, cores, tunnels, rng) * rng.lognormvariate(0, 0.3)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"topology": "gateway-to-gateway"}, "only site-to-site runs can reproduce one"),
        ({"emulated": True}, "emulated processors show that it works"),
        ({"provider": "uml"}, "no network cards, which the claims are about"),
        ({"provider": "qemu"}, "all roles share the cores of one computer"),
        ({"provider": "pool"}, "all roles share the cores of one computer"),
        ({"cores": (1, 2, 4)}, "outside its scope: 4 cores and 4 tunnels, and it is judged at 16 to 32 cores"),
        ({"rounds": 5, "boots": 1}, "too few rounds: below 6"),
        ({"variants": ("vanilla", "threaded")}, "lacks the variant inline; `orch reproduce C4`"),
        ({"tunnels": (64,)}, "lacks the inline and threaded cells"),
        ({"tunnels": (1, 2)}, "outside its scope: 2 cores and 2 tunnels"),
        ({"fate": lambda trial: ["failed"] if trial["levels"]["variant"] == "inline" else ["ok"]}, "(9 failed)"),
        ({"speed": lambda v, c, t, rng: 1e9 * (2 if v == "inline" else 1)}, "generator-bound: inline, 16 cores"),
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
    assert "; more boots narrow it" in verdict.reason
    few = verdicts(tmp_path / "few", speed=noisy, rounds=3, boots=1)["C4"]
    assert few.verdict == NOT_TESTABLE


def test_two_core_counts_make_no_scaling_claim(tmp_path: Path) -> None:
    found = verdicts(tmp_path, cores=(1, 16))
    assert found["C6"].reason == "a scaling claim needs 3 core counts, and this run has 2"
    assert found["C6"].evidence[0].median is not None
    assert found["C5"].verdict == REPRODUCED


def test_one_boot_for_each_core_count_makes_no_scaling_claim(tmp_path: Path) -> None:
    found = verdicts(tmp_path, boots=1, rounds=8)
    for name in ("C1", "C6"):
        assert found[name].verdict == NOT_TESTABLE
        assert found[name].reason.startswith("one boot per core count: boots differ by an unknown amount")
        assert found[name].evidence[0].interval == "95 % interval within one boot"
    assert found["C5"].verdict == REPRODUCED
    assert "within one boot" in found["C5"].reason


def test_an_efficiency_is_against_one_core_or_is_not_tested(tmp_path: Path) -> None:
    verdict = verdicts(tmp_path, cores=(8, 12, 16))["C6"]
    assert verdict.verdict == NOT_TESTABLE
    assert verdict.reason == "cells missing: the run lacks inline, 1 core, 1 tunnel, the reference of an efficiency"
    none = verdicts(tmp_path / "none", fate=lambda t: ["failed"] if t["levels"]["cores"] == 1 else ["ok"])["C6"]
    assert none.reason == "cells missing: no ok trial of inline, 1 core, 1 tunnel (9 failed)"
    assert "testbeds" not in none.reason


def test_a_number_is_judged_where_it_was_published_and_reported_beyond(tmp_path: Path) -> None:
    found = verdicts(tmp_path, cores=(1, 2, 16, 32), tunnels=(1, 16, 0))
    assert {name: verdict.verdict for name, verdict in found.items()} == {f"C{n}": REPRODUCED for n in range(1, 7)}
    assert found["C3"].evidence[0].of == "threaded, 32 cores, 16 tunnels"
    assert found["C5"].evidence[0].of == "inline, 16 cores, 16 tunnels"
    beyond = found["C5"].beyond
    assert [(one.of, one.agrees) for one in beyond] == [("inline, 32 cores, 32 tunnels", None)]
    assert beyond[0].median == pytest.approx(32 / 1.155, rel=0.02)
    assert "and it is judged at 16 to 20 cores" in beyond[0].reason


def test_unchanged_is_an_equivalence_that_two_cores_can_test(tmp_path: Path) -> None:
    def changed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return as_published(variant, cores, tunnels, rng) * (1.57 if (variant, tunnels) == ("threaded", 1) else 1)

    lab = verdicts(tmp_path / "lab", cores=(1, 2), speed=changed, provider="uml")["C3"]
    assert lab.verdict == NOT_TESTABLE
    assert "outside what is accepted (0.90 to 1.10), which decides nothing here" in lab.evidence[1].reason
    same, other = (
        verdicts(tmp_path / n, cores=(1, 2), speed=s)["C3"] for n, s in (("a", as_published), ("b", changed))
    )
    assert [one.agrees for one in same.evidence] == [None, True]
    assert same.evidence[1].reason.startswith("the 90 % interval over boots, ")
    assert same.verdict == NOT_TESTABLE
    assert [one.agrees for one in other.evidence] == [None, False]
    assert other.verdict == NOT_REPRODUCED


def test_a_collapse_reproduces_nothing(tmp_path: Path) -> None:
    def collapsed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return 3e6 if variant == "vanilla" and tunnels > 1 else as_published(variant, cores, tunnels, rng)

    found = verdicts(tmp_path / "many", speed=collapsed)
    assert (found["C1"].verdict, found["C2"].verdict) == (REPRODUCED, NOT_REPRODUCED)
    assert {found[name].verdict for name in ("C3", "C4")} == {NOT_TESTABLE}
    assert "collapsed: vanilla, 16 cores, 16 tunnels carries 0.00 % of the baseline" in found["C3"].reason

    def never_works(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return 3e6 if variant == "vanilla" else as_published(variant, cores, tunnels, rng)

    found = verdicts(tmp_path / "every", speed=never_works)
    assert {found[name].verdict for name in ("C1", "C2", "C4", "C5")} == {NOT_TESTABLE}


def test_a_ratio_against_a_patched_module_decides_nothing(tmp_path: Path) -> None:
    path = write_run(
        tmp_path, speed=as_published, variants=VARIANTS, cores=(16,), tunnels=(1, 0), rounds=8, provider="ssh"
    )
    meta = json.loads((path / "run.json").read_text())
    meta["variants"]["threaded"]["build"] = "multitunnel"
    (path / "run.json").write_text(json.dumps(meta))
    verdict = next(verdict for verdict in verify(load(path)) if verdict.claim == "C4")
    assert (verdict.verdict, [one.agrees for one in verdict.evidence]) == (NOT_TESTABLE, [None, True])
    assert "threaded is the unmodified module" in verdict.reason


def test_trials_that_broke_a_limit_which_is_only_reported_decide_nothing(tmp_path: Path) -> None:
    path = write_run(
        tmp_path, speed=as_published, variants=VARIANTS, cores=(16,), tunnels=(1, 0), rounds=8, provider="ssh"
    )
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
    assert [one.invalid_attempts for one in evidence] == [9, 9]


def test_claims_name_what_there_is() -> None:
    claims = load_claims()
    assert [claim.claim for claim in claims] == ["C1", "C2", "C3", "C4", "C5", "C6", "C7", "C8"]
    for claim in claims:
        planned = load_experiment(paths.EXPERIMENTS / f"{claim.experiment}.yaml", tier="claims").factors
        for test in claim.tests:
            for side in filter(None, (test.of, test.to)):
                assert side.variant in known_variants()
                assert side.variant in planned.variant
                assert all(level in planned.more[name] for name, level in side.more.items())
                scope = claim.scope_of(test).tunnels
                many = [n for n in planned.tunnels if n == "per-core" or (scope is not None and scope.holds(int(n)))]
                assert side.tunnels in planned.tunnels or (side.tunnels == "many" and many)
                assert any(claim.scope_of(test).cores.holds(int(n)) for n in planned.cores)


def interfaces(root: Path, *, beyond: float = 0.92) -> Path:
    """Return a run of tunnels and connections with the shape of the published table; ``beyond``: ratio of 64 tunnels to
    32."""
    carried = {(1, 8): 1.31, (32, 8): 7.27, (64, 8): 6.07, (1, 128): 1.28, (32, 128): 19.12, (64, 128): 19.12 * beyond}
    rng = random.Random(3)
    run = write_run(root, variants=("threaded",), cores=(32,), tunnels=(1, 32, 64), rounds=12, provider="ssh")
    meta = json.loads((run / "run.json").read_text())
    trials = {trial["trial_id"]: trial for block in meta["plan"]["blocks"] for trial in block["trials"]}
    for trial in trials.values():  # of two rounds one has few connections, so that six are left of each
        if trial["kind"] == "measure":
            trial["levels"]["traffic.connections"] = (8, 128)[trial["round"] % 2]
            trial["round"] = trial["repetition"] = (trial["round"] + 1) // 2
    meta["spec"]["factors"]["traffic.connections"] = [8, 128]
    (run / "run.json").write_text(json.dumps(meta))
    for file in run.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        attempt |= {key: trials[attempt["trial_id"]][key] for key in ("levels", "round", "repetition")}
        levels = attempt["levels"]
        if attempt["kind"] == "measure":
            gbit = carried[levels["tunnels"], levels["traffic.connections"]]
            attempt["measurements"]["throughput_bps"] = gbit * 1e9 * rng.gauss(1, 0.004)
        file.write_text(json.dumps(attempt))
    return run


def test_a_claim_about_further_factors_is_judged_in_runs_that_vary_them_and_in_no_others(tmp_path: Path) -> None:
    (found,) = verify(load(interfaces(tmp_path / "as-published")))
    assert (found.claim, found.verdict) == ("C7", REPRODUCED)
    assert [one.median for one in found.evidence] == pytest.approx([14.9, 0.92, 0.38], rel=0.01)
    assert found.evidence[0].of == "threaded, 32 cores, 32 tunnels, connections 128"
    (rises,) = verify(load(interfaces(tmp_path / "rises", beyond=1.2)))
    assert rises.verdict == NOT_REPRODUCED
    assert "64 interfaces against 32" in rises.reason
    assert "C7" not in {verdict.claim for verdict in verify(load(write_run(tmp_path / "others")))}


def test_a_mistake_in_a_claim_has_its_place(tmp_path: Path) -> None:
    text = (paths.CLAIMS / "c5.yaml").read_text()
    file = tmp_path / "c5.yaml"
    file.write_text(text.replace("at_most: 22.5", "at_most: much").replace("claim: C5", "claim: five"))
    with pytest.raises(SpecError) as caught:
        load_claim(file)
    assert len(caught.value.problems) == 2
    assert f"{file}:3:8:" in str(caught.value)
    for old, new, problem in (
        ("at_least: 13.5, ", "", "with one bound a collapse would agree. Expected at_least or at_least_speed_up"),
        ("nearest: 18, ", "nearest: 50, ", "Expected at_least, nearest and at_most in ascending order"),
        ("{variant: inline, tunnels: per-core}", "{variant: inline, tunnels: many}", "Expected tunnels in the scope"),
    ):
        assert old in text
        file.write_text(text.replace(old, new))
        with pytest.raises(SpecError, match=problem):
            load_claim(file)


def test_verify_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = write_run(tmp_path / "good", speed=as_published, **MADE)
    bad = write_run(tmp_path / "bad", speed=slower("inline", 0.6), **MADE)
    few = write_run(tmp_path / "few", speed=as_published, **{**MADE, "rounds": 2, "boots": 1})
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


@pytest.mark.parametrize("name", [folder.name for folder in sorted((paths.CHECKOUT / "results").glob("example*"))])
def test_the_claims_json_of_an_example_is_what_its_data_show_today(name: str) -> None:
    folder = paths.CHECKOUT / "results" / name
    stored = json.loads((folder / "claims.json").read_text())["verdicts"]
    assert stored == json.loads(json.dumps([verdict.to_json() for verdict in verify(load(folder))]))
