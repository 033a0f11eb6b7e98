# SPDX-License-Identifier: Apache-2.0
"""The whole way, on the real lab: a real kernel, real WireGuard, real traffic."""

import json
import os
import signal
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orchestrator import store
from tests.lab.support import SPEC, lab_processes, last_object, orch, runs_in, start_orch, wait_until

pytestmark = pytest.mark.lab

CORES = len(os.sched_getaffinity(0))
COLUMNS = {
    *("trial_id", "kind", "block", "round", "variant", "cores", "tunnels", "repetition", "status", "attempts"),
    *("throughput_bps", "duration_s", "topology", "testbed"),
}


def test_the_smoke_tier_goes_all_the_way(tmp_path: Path) -> None:
    planned = last_object(orch("plan", SPEC, "--tier", "smoke", "--json").stdout)["trials"]
    done = orch("run", SPEC, "--tier", "smoke", "--yes", "--json", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    outcome = last_object(done.stdout)
    run = Path(outcome["run"])
    assert run.parent == tmp_path / "scaling"
    assert (outcome["ok"], outcome["failed"], outcome["invalid"]) == (len(planned), 0, 0)
    for name in ("run.json", "journal.jsonl", "trials.parquet", "attempts.parquet", "report.html"):
        assert (run / name).is_file(), name
    for pattern in ("figures/*.png", "figures/*.svg", "trials/*/*/attempt.json", "notebooks/*.ipynb"):
        assert list(run.glob(pattern)), pattern
    trials = pq.read_table(run / "trials.parquet")
    assert set(trials.column_names) >= COLUMNS
    rows = {row["trial_id"]: row for row in trials.to_pylist()}
    assert set(rows) == {trial["trial_id"] for trial in planned}
    for row in rows.values():
        assert row["status"] == "ok"
        assert row["throughput_bps"] > 50e6
        assert abs(row["duration_s"] - 1.0) < 0.2
    assert {row["cores"] for row in rows.values()} == {cores for cores in (1, 2, 16) if cores <= CORES}
    assert lab_processes() == []


def test_what_the_receivers_counted_went_through_the_tunnels(tmp_path: Path) -> None:
    cell = ("factors.cores=[1]", "factors.tunnels=[2]", "factors.variant=[vanilla]", "traffic.duration=4s")
    overrides = [word for setting in cell for word in ("--set", setting)]
    done = orch("run", SPEC, "--tier", "smoke", *overrides, "--no-report", "--json", "--results", tmp_path)
    assert done.returncode == 0, done.stderr
    run = Path(last_object(done.stdout)["run"])
    assert not (run / "report.html").exists()
    (measured,) = [attempt for attempt in store.read_attempts(run) if attempt["kind"] == "measure"]
    through = measured["probes"]["interfaces"]["gateway-b"]
    for stream in measured["measurements"]["streams"]:
        carried_bps = through[f"wg{stream['tunnel']}"]["rx_bytes"] * 8 / measured["probes"]["window_s"]
        assert 0.8 < stream["throughput_bps"] / carried_bps < 1.15
    assert measured["variant_build"]
    assert measured["crypto"]
    report = json.loads((run / "trials" / measured["trial_id"] / "1" / "server-1.json").read_text())
    assert report["end"]["sum_received"]["bytes"] > 0
    for file in run.rglob("*"):
        assert not file.is_file() or b"PrivateKey" not in file.read_bytes()


# What SIGKILL leaves is shown by test_faults.py, too.
@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.full)])
def test_a_run_that_is_ended_in_mid_trial_leaves_its_results_and_nothing_else(
    tmp_path: Path, number: signal.Signals
) -> None:
    log = tmp_path / "log"
    results = tmp_path / "results"
    arguments = ("run", SPEC, "--tier", "smoke", "--set", "traffic.duration=4s", "--results", results)
    process = start_orch(*arguments, log=log)
    try:
        wait_until(
            lambda: any(
                run.glob("trials/*/1/attempt.json") for run in runs_in(results) if list(run.glob("trials/*/1"))
            ),
            900,
            f"a first attempt; {log.read_text()[-500:]}",
        )
        os.kill(process.pid, number)
        status = process.wait(30)
        wait_until(lambda: lab_processes() == [], 10, "the lab's processes are gone")
    finally:
        process.kill()
        process.wait()
    assert status == (-signal.SIGKILL if number == signal.SIGKILL else 130)
    (run,) = runs_in(results)
    attempts = store.read_attempts(run)
    assert attempts
    trials, _ = store.tables(run)
    assert trials.column("status").to_pylist().count("ok") == len(attempts)
    if number == signal.SIGINT:
        assert store.read_run(run)["state"] == "interrupted"
        assert "What was measured is kept" in log.read_text()
