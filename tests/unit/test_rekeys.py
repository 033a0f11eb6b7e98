# SPDX-License-Identifier: Apache-2.0
"""Rekeys: kept out of trials that are not about them; found, drawn and quantified in those that are."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis import figures
from orchestrator.analysis.dataset import load
from orchestrator.analysis.rekeys import cost, rates, rekeys, roaming_cost, roams
from orchestrator.kernel.variants import Variant, load_variants
from orchestrator.measure import tunnels
from orchestrator.measure.attempt import Attempt, Conditions, Outcome, Phases
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.spec import Cell, Limits
from orchestrator.testbed.remote import AgentFailure
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.unit.synthetic_run import write_run

RENEWAL = ["remove_tunnels", "make_tunnels", "shake_hands", "expect_quiet"]


class Gateways:
    """The handshake ages that the gateways report, one call after another, and the actions on the tunnels."""

    def __init__(self, patch: pytest.MonkeyPatch, *ages: float | None) -> None:
        self.ages, self.done = list(ages), [""]
        self.done.clear()
        patch.setattr(tunnels, "peers_now", lambda testbed: tunnels.Peers({"gateway-a": {"wg1": self.ages.pop(0)}}, {}))
        for name in RENEWAL:
            patch.setattr(tunnels, name, lambda *arguments, name=name: self.done.append(name))


def attempt(duration: str, took_s: float, variant: str = "vanilla", limits: Limits | None = None) -> Attempt:
    traffic = Iperf3Traffic(warm_up="1s", duration=duration)
    trial = Trial("0" * 16, "measure", 1, 1, 1, Cell(variant, 1, 1), 1, traffic, "site-to-site")
    phases = Phases()
    phases.seconds.update(tunnels=took_s, variant=1e9)
    testbed: Any = None
    known: dict[str, Variant] = load_variants()
    conditions = Conditions(limits or Limits())
    return Attempt(testbed, trial, conditions, Outcome(), phases, lambda: None, variant=known.get(variant))


def test_young_handshakes_are_not_even_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    gateways = Gateways(monkeypatch)
    tunnels.keep_young(attempt("10s", 100.0))
    tunnels.keep_young(attempt("200s", 0.0, limits=Limits(report_only=("rekey",))))
    tunnels.keep_young(attempt("200s", 0.0, variant=NO_VARIANT))
    assert gateways.done == []


@pytest.mark.parametrize(
    ("ages", "done"),
    [
        ([100.0], []),  # 100 s, 1 s + 10 s, and 5 s: 116 s
        ([104.0, 3.0], RENEWAL),
        ([None, 3.0], RENEWAL),
    ],
)
def test_handshakes_that_would_come_due_are_made_again(
    monkeypatch: pytest.MonkeyPatch, ages: list[float | None], done: list[str]
) -> None:
    gateways = Gateways(monkeypatch, *ages)
    tunnels.keep_young(attempt("10s", 110.0))
    assert gateways.done == done


def test_where_even_new_handshakes_are_too_old_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    Gateways(monkeypatch, 104.0, 105.0)
    with pytest.raises(AgentFailure, match=r"oldest handshake is 105 s old and the traffic takes 11 s"):
        tunnels.keep_young(attempt("10s", 110.0))


def with_rekeys(folder: Path, variant: str, at_s: float, dip: float) -> Path:
    """Return a run in which each trial of a variant has 9 s at 1 Gbit/s, except the 5th, and a handshake on both
    gateways."""
    run = write_run(folder, cores=(1,), tunnels=(1, 2), rounds=2)
    for file in run.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["kind"] == "measure":
            rekeyed = attempt["levels"]["variant"] == variant
            ends = [{"gateway": g, "device": "wg1", "at_s": at_s} for g in ("gateway-a", "gateway-b")]
            attempt["measurements"]["rates_bps"] = [1e9] * 4 + [dip if rekeyed else 1e9] + [1e9] * 4
            attempt["measurements"]["handshakes_in_traffic"] = ends if rekeyed else []
            file.write_text(json.dumps(attempt))
    return run


def test_the_cost_of_a_rekey_is_its_lowest_second(tmp_path: Path) -> None:
    run = load(with_rekeys(tmp_path, "vanilla", 4.5, 0.25e9))
    assert len(rates(run)) == 2 * 2 * 2 * 9
    assert len(rekeys(run)) == 2 * 2 * 2
    table = cost(run)
    assert set(table["variant"]) == {"vanilla"}
    assert len(table) == 4
    assert set(table["remains"]) == {0.25}
    assert set(table["lowest_elsewhere"]) == {1.0}
    drawing = figures.rekey(run)
    assert "25% of the trial's median second" in drawing.caption
    assert "medians of 4 trials" in drawing.caption
    assert len(drawing.figure.axes) == 2 * 2


def test_a_dip_far_from_a_rekey_is_not_its_cost(tmp_path: Path) -> None:
    table = cost(load(with_rekeys(tmp_path, "threaded", 8.9, 0.5e9)))
    assert set(table["remains"]) == {1.0}
    assert set(table["lowest_elsewhere"]) == {0.5}


def test_the_cost_of_roaming_is_the_lowest_second_at_a_move(tmp_path: Path) -> None:
    path = write_run(tmp_path, cores=(2,), tunnels=(2,), rounds=2)
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["kind"] == "measure":
            attempt["measurements"]["rates_bps"] = [1e9] * 9 + [0.4e9] + [1e9] * 9 + [0.9e9] + [1e9] * 5
            attempt["measurements"]["roams"] = [{"at_s": 9.5, "took_s": 0.01}]
            file.write_text(json.dumps(attempt))
    run = load(path)
    assert len(roams(run)) == 2 * 2
    table = roaming_cost(run)
    assert table["moves"].tolist() == [1] * 4
    assert table["remains"].tolist() == pytest.approx([0.4] * 4)
    assert table["lowest_elsewhere"].tolist() == pytest.approx([0.9] * 4)
    drawing = figures.rekey(run)
    assert "all tunnels got another port" in drawing.caption
    assert "lowest second within 2 s of a move: 40%" in drawing.caption
    assert cost(run).empty


def test_a_run_without_rates_or_rekeys_is_drawn_all_the_same(tmp_path: Path) -> None:
    run = load(write_run(tmp_path))
    assert "no ok trial has rates" in figures.rekey(run).caption
    assert cost(run).empty
    assert rekeys(replace(run)).empty
