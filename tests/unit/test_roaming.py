# SPDX-License-Identifier: Apache-2.0
"""Roaming: its entries in a spec, the agent's actions and their times, and how the other gateway is checked."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from orchestrator.agent import roaming as of_agent
from orchestrator.agent import traffic as driving
from orchestrator.analysis.dataset import load
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import roaming
from orchestrator.measure.attempt import Attempt, Conditions, Outcome, Phases
from orchestrator.plan import Trial
from orchestrator.spec import Cell, SpecError, load_experiment
from orchestrator.store.tables import write_tables
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.unit.synthetic_run import write_run

SPEC = """
experiment: moves
factors: {variant: [vanilla, ipsec-gcm], cores: [1], tunnels: [2], tunnel.roam_every: [never, 4s]}
traffic: {tool: iperf3, duration: 10s}
"""


def test_a_level_is_never_or_whole_seconds_and_is_stored_in_seconds(tmp_path: Path) -> None:
    file = tmp_path / "moves.yaml"
    file.write_text(SPEC.replace(", ipsec-gcm", ""))
    assert load_experiment(file).factors.more == {"tunnel.roam_every": ("never", 4.0)}
    for bad in ("0s", "1.5s", "often"):
        file.write_text(SPEC.replace(", ipsec-gcm", "").replace("4s", bad))
        with pytest.raises(SpecError, match="never, or whole seconds from 1 on"):
            load_experiment(file)


def test_who_cannot_roam_is_left_out_and_the_message_gives_the_rule(tmp_path: Path) -> None:
    file = tmp_path / "moves.yaml"
    file.write_text(SPEC)
    with pytest.raises(SpecError, match="ipsec-gcm is IPsec, whose peers do not follow") as caught:
        load_experiment(file)
    rule = str(caught.value).partition("exclude: ")[2].partition("]")[0] + "]"
    file.write_text(SPEC + f"exclude: {rule}\n")
    load_experiment(file)
    file.write_text(SPEC.replace(", ipsec-gcm", "").replace("{tool: iperf3,", "{tool: pktgen, rate: max,"))
    with pytest.raises(SpecError, match="ports are not changed during the loads of this tool"):
        load_experiment(file)


def attempt(variant: str, tunnels: int, **more: Any) -> Attempt:
    cell = Cell(variant, 1, tunnels, more=more)
    trial = Trial("0" * 16, "measure", 1, 1, 1, cell, 1, Iperf3Traffic(duration="10s"), "site-to-site")
    testbed: Any = None
    of = load_variants().get(variant)
    return Attempt(testbed, trial, Conditions(), Outcome(), Phases(), lambda: None, variant=of)


def test_each_tunnel_has_two_ports_and_a_baseline_none() -> None:
    asked = roaming.roaming_of(attempt("vanilla", 2, **{"tunnel.roam_every": 4.0}))
    assert asked is not None
    assert (asked["role"], asked["every_s"]) == ("gateway-a", 4.0)
    ports = [port for pair in asked["devices"].values() for port in pair]
    assert list(asked["devices"]) == ["wg1", "wg2"]
    assert len(set(ports)) == 4
    assert roaming.roaming_of(attempt("vanilla", 2)) is None
    assert roaming.roaming_of(attempt("vanilla", 2, **{"tunnel.roam_every": "never"})) is None
    assert roaming.roaming_of(attempt("none", 2)) is None


@pytest.mark.parametrize("device", ["own", "shared"])
@pytest.mark.parametrize("moves", [1, 2])
def test_a_peer_that_did_not_follow_is_named(device: str, moves: int) -> None:
    mine = attempt("vanilla", 2, **{"tunnel.roam_every": 4.0, "tunnel.device": device})
    mine.outcome.measurements["roams"] = [{"at_s": 4.0 * n, "took_s": 0.0} for n in range(1, moves + 1)]
    names = ["wg0/1", "wg0/2"] if device == "shared" else ["wg1", "wg2"]
    now = {name: 20001 + at + (10000 if moves == 1 else 0) for at, name in enumerate(names)}
    assert roaming.left_behind(mine, {"gateway-b": now, "gateway-a": {}}) == []
    late = {**now, names[1]: 20002 + (10000 if moves == 2 else 0)}
    assert roaming.left_behind(mine, {"gateway-b": late}) == [f"gateway-b/{names[1]}"]


def test_calls_come_at_their_intervals_until_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    now, seen = [100.0], []
    monkeypatch.setattr(driving.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(driving, "wait_or_leave", lambda until: now.__setitem__(0, max(now[0], until)))
    driving.call_until(
        112.0, [(5.0, lambda: seen.append(("five", now[0]))), (4.0, lambda: seen.append(("four", now[0])))]
    )
    assert seen == [("four", 104.0), ("five", 105.0), ("four", 108.0), ("five", 110.0)]
    assert now == [112.0]
    driving.call_until(120.0, [])
    assert now == [120.0]


def test_ports_alternate_with_every_move(monkeypatch: pytest.MonkeyPatch) -> None:
    set_to: list[tuple[str, int]] = []

    class Wireguard:
        def __enter__(self) -> "Wireguard":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def set(self, device: str, attribute: bytes) -> None:
            set_to.append((device, int.from_bytes(attribute[4:6], "little")))

    monkeypatch.setattr(of_agent, "WireGuardNetlink", Wireguard)
    monkeypatch.setattr(of_agent, "inside", lambda role: Wireguard())
    peer = of_agent.Roaming({"role": "gateway-a", "every_s": 1, "devices": {"wg1": [20001, 30001]}})
    for _ in range(3):
        peer.move()
    assert set_to == [("wg1", 30001), ("wg1", 20001), ("wg1", 30001)]
    assert len(peer.moves) == 3


def test_levels_that_are_texts_and_numbers_are_in_the_tables_and_read_back(tmp_path: Path) -> None:
    run = write_run(tmp_path, variants=("vanilla",), cores=(2,), tunnels=(2,), rounds=4)
    meta = json.loads((run / "run.json").read_text())
    trials = {trial["trial_id"]: trial for block in meta["plan"]["blocks"] for trial in block["trials"]}
    for trial in trials.values():
        if trial["kind"] == "measure":
            trial["levels"]["tunnel.roam_every"] = "never" if trial["round"] % 2 else 4.0
    (run / "run.json").write_text(json.dumps(meta))
    for file in run.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        file.write_text(json.dumps({**attempt, "levels": trials[attempt["trial_id"]]["levels"]}))
    derived = load(run)
    write_tables(run)
    stored = load(run)
    for found in (derived, stored):
        cells = {Cell.of(row).more.get("tunnel.roam_every"): row["n"] for row in found.cells().to_dict("records")}
        assert cells == {"never": 2, 4: 2}
    assert pd.read_parquet(run / "trials.parquet")["tunnel.roam_every"].dropna().unique().tolist() == ["never", "4.0"]
