# SPDX-License-Identifier: Apache-2.0
"""Frames with the details of attempts, several runs in one frame, and their look in a notebook."""

import re
from pathlib import Path

import pytest

import orchestrator
from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT
from orchestrator.store.reading import read_attempts

EXAMPLE, VIRTUAL, PACKETS = (
    CHECKOUT / "results" / name for name in ("example", "example-virtual", "example-packet-rate")
)


@pytest.fixture(scope="module")
def run() -> orchestrator.Run:
    return orchestrator.load(EXAMPLE)


def test_the_seconds_of_a_trial_are_those_of_its_file(run: orchestrator.Run) -> None:
    attempt = next(one for one in read_attempts(run.path) if one["status"] == "ok")
    mine = run.per_second[run.per_second["trial_id"] == attempt["trial_id"]]
    assert mine["second"].tolist() == [1, 2, 3]
    assert mine["throughput_bps"].tolist() == attempt["measurements"]["rates_bps"]


def test_streams_add_up_to_the_trial(run: orchestrator.Run) -> None:
    sums = run.per_stream.groupby("trial_id")["throughput_bps"].sum()
    ok = run.trials[run.trials["status"] == "ok"].set_index("trial_id")["throughput_bps"]
    assert sums.to_dict() == pytest.approx(ok.to_dict())


def test_softirqs_are_counted_by_cpu_and_kind(run: orchestrator.Run) -> None:
    attempt = next(one for one in read_attempts(run.path) if one["status"] == "ok" and one["levels"]["cores"] == 2)
    mine = run.softirqs[run.softirqs["trial_id"] == attempt["trial_id"]]
    received = mine[mine["softirq"] == "NET_RX"].set_index("cpu")["count"].to_dict()
    assert received == {row["cpu"]: row["NET_RX"] for row in attempt["probes"]["softirqs"]}


def test_cpus_of_a_role_are_numbered_among_its_own_in_every_frame() -> None:
    virtual = orchestrator.load(VIRTUAL)
    for frame in (virtual.per_core, virtual.softirqs):
        gateway = frame[frame["role"] == "gateway-a"]
        assert (gateway["cpu"] < gateway["cores"]).all()


def test_interfaces_and_drops_have_the_same_drops(run: orchestrator.Run) -> None:
    counted = run.interfaces[["rx_drops", "tx_drops"]].to_numpy().sum()
    assert counted == run.drops["packets"].sum()
    assert (run.drops["packets"] > 0).all()


def test_drops_of_a_generators_loads_say_where_and_of_which_load() -> None:
    drops = orchestrator.load(PACKETS).drops
    loads = drops[drops["load"].notna()]
    assert set(loads["role"]) <= {"client", "gateway-a", "gateway-b", "server"}
    assert loads["where"].str.contains("wireguard").any()


# --- several runs ---


def test_several_runs_are_one_frame_with_the_run_in_front() -> None:
    runs = orchestrator.load_all(VIRTUAL, EXAMPLE, EXAMPLE)
    assert len(runs) == 2
    cells = runs.cells()
    assert list(cells.columns[:2]) == ["run", "experiment"]
    assert cells["run"].unique().tolist() == [one.run_id for one in runs.runs]
    assert len(cells) == sum(len(one.cells()) for one in runs.runs)
    assert len(runs.combined(lambda one: one.per_second)) == sum(len(one.per_second) for one in runs.runs)
    assert repr(runs).startswith("<2 runs: ")


def test_of_a_folder_of_runs_all_are_taken_the_earliest_first() -> None:
    runs = orchestrator.load_all(CHECKOUT / "results")
    starts = [one.meta["started_at"] for one in runs.runs]
    assert len(runs) >= 5
    assert starts == sorted(starts)


def test_without_a_run_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="needs a run"):
        orchestrator.load_all()
    with pytest.raises(UserError, match="no run"):
        orchestrator.load_all(tmp_path)


# --- in a notebook ---


def test_verdicts_are_a_list_that_a_notebook_shows_as_a_table(run: orchestrator.Run) -> None:
    verdicts = run.verify()
    shown = verdicts._repr_html_()
    assert isinstance(verdicts, list)
    assert shown.count("<tr>") == len(verdicts) + 1
    assert all(f"<b>{verdict.claim}</b>" in shown for verdict in verdicts)
    assert "Measured in real time." in shown


def test_a_comparison_is_shown_in_gigabits_and_says_what_differs_first(run: orchestrator.Run) -> None:
    shown = run.compare(run)._repr_html_()
    heads = re.findall(r"<th>(.*?)</th>", shown)
    assert {"A, Gbit/s", "B, Gbit/s", "B / A", "spread", "p (Holm)", "outcome"} <= set(heads)
    assert "NaN" not in shown
    assert "e+0" not in shown


def test_a_comparison_of_clocks_shows_no_throughput(run: orchestrator.Run) -> None:
    shown = run.compare(VIRTUAL)._repr_html_()
    assert "Gbit/s</th>" not in shown
    assert "Speed-up over vanilla" in shown


def test_a_comparison_of_packet_rates_is_in_mpps() -> None:
    found = orchestrator.load(PACKETS)
    assert "A, Mpps" in found.compare(found)._repr_html_()
