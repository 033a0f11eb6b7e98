# SPDX-License-Identifier: Apache-2.0
"""Round-trip times during iperf3's traffic: entries in a spec, the agent's sending times, and a run's tables."""

import json
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orchestrator.agent import echo
from orchestrator.analysis import figures
from orchestrator.analysis.dataset import load
from orchestrator.analysis.latency import latencies, latency_cells, timed_beside_traffic
from orchestrator.analysis.page import render
from orchestrator.measure.latency import round_trips
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.unit.synthetic_run import write_run

IPERF3: dict[str, Any] = {"tool": "iperf3", "duration": "10s"}


def test_iperf3_takes_latency_and_no_time_for_it() -> None:
    plain, timed = (Iperf3Traffic.model_validate({**IPERF3, **more}) for more in ({}, {"latency": {"rate": "500 pps"}}))
    assert timed.latency is not None
    assert timed.latency.rate_pps == 500
    assert timed.expected_s == plain.expected_s
    assert "latency" not in plain.identity
    assert timed.identity["latency"]["rate_pps"] == 500  # different trials than without


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"latency": {"at": ("50%",)}}, "trial's own traffic"),
        ({"latency": {}, "ip_version": 6}, "of IPv4"),
        ({"latency": {}, "paths": "ecmp"}, "first tunnel"),
    ],
)
def test_what_does_not_go_with_latency_is_refused(more: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        Iperf3Traffic.model_validate({**IPERF3, **more})


@given(st.integers(0, 3000))
def test_the_thousandth_is_told_with_a_thousand_answers(n: int) -> None:
    found = round_trips(n, [float(number) for number in range(n)])
    if n < 1000:
        assert found["p999_s"] is None
    else:
        assert found["p99_s"] <= found["p999_s"] < found["max_s"]
        assert sum(value <= found["p999_s"] for value in range(n)) >= 0.999 * n


def test_echoes_begin_when_the_warm_up_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    sent_at: list[float] = []

    class Wire:
        def fileno(self) -> int:
            return near.fileno()

        def sendto(self, message: bytes, address: Any) -> None:
            sent_at.append(time.monotonic())
            far.send(bytes([0x45, *bytes(19)]) + b"\0" + message[1:])  # an IP header, and the type of an answer

        def recv(self, size: int) -> bytes:
            return near.recv(size)

    asked = {"role": "client", "source": "", "destination": "", "pace_pps": 100, "duration_s": 0.2, "after_s": 0.3}
    echoes = echo.Echoes(asked)
    monkeypatch.setattr(echoes, "socket", Wire(), raising=False)
    began = time.monotonic()
    echoes.run()
    near.close()
    far.close()
    assert sent_at[0] - began >= 0.3
    result = echoes.result()
    assert result["sent"] == 20
    assert len(result["rtts_s"]) == 20


def timed_run(folder: Path) -> Path:
    path = write_run(folder, variants=("vanilla", "inline"), cores=(1, 2), tunnels=(0,), rounds=3)
    described = json.loads((path / "run.json").read_text())
    for block in described["plan"]["blocks"]:
        for trial in block["trials"]:
            trial["traffic"] |= {"latency": {"at": [0.5, 0.9], "rate_pps": 500.0}}
    (path / "run.json").write_text(json.dumps(described))
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        slow = (2 if attempt["levels"]["variant"] == "vanilla" else 1) * (1 + attempt["round"] / 10)
        rtts_s = [1e-4 * slow * (1 + number / 100) for number in range(1500)]
        row = {"at": 1.0, "offered_pps": None, **round_trips(1500, rtts_s)}
        attempt["measurements"]["latency"] = [row]
        file.write_text(json.dumps(attempt))
    return path


def test_round_trips_beside_tcp_are_in_table_figure_and_page(tmp_path: Path) -> None:
    run = load(timed_run(tmp_path))
    assert timed_beside_traffic(run)
    table = latency_cells(run).set_index(["variant", "cores"])
    assert table.loc[("vanilla", 2), "p50_ms"] == pytest.approx(0.2 * 1.2 * 8.49)
    assert table.loc[("vanilla", 2), "trials"] == 3
    assert table.loc[("none", 2), "p50_ms"] == pytest.approx(0.1 * 8.49)
    drawing = figures.round_trips(run)
    (axes,) = drawing.figure.axes
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["p50", "p90", "p99", "p99.9"]
    assert "2 tunnels on 2 cores" in drawing.notes[0]
    assert "n = 3" in drawing.notes[0]
    page = render(run, tmp_path, [])
    assert 'id="round-trips"' in page


def test_each_setting_of_a_further_factor_has_a_panel_and_those_beyond_four_are_counted(tmp_path: Path) -> None:
    path = timed_run(tmp_path)
    rates = ["max", 4e8, 1e8, 2e8, 3e8]
    described = json.loads((path / "run.json").read_text())
    described["spec"] = {"factors": {"traffic.bitrate": rates}}
    of_trial = {}
    for block in described["plan"]["blocks"]:
        for index, trial in enumerate(one for one in block["trials"] if one["kind"] == "measure"):
            of_trial[trial["trial_id"]] = trial["levels"]["traffic.bitrate"] = rates[index % 5]
    (path / "run.json").write_text(json.dumps(described))
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["trial_id"] in of_trial:
            attempt["levels"]["traffic.bitrate"] = of_trial[attempt["trial_id"]]
            file.write_text(json.dumps(attempt))
    drawing = figures.round_trips(load(path))
    titles = [axes.get_title() for axes in drawing.figure.axes]
    assert titles == [f"bitrate {rate} Mbit/s" for rate in (100, 200, 300, 400)]
    assert "1 other load in the tables." in drawing.notes


def test_a_run_without_round_trips_says_how_to_ask_for_them(tmp_path: Path) -> None:
    run = load(write_run(tmp_path))
    assert latencies(run).empty
    assert not timed_beside_traffic(run)
    assert "latency: {}" in figures.round_trips(run).caption
    assert 'id="round-trips"' not in render(run, tmp_path, [])
