# SPDX-License-Identifier: Apache-2.0
"""Two labs on this computer as a pool, in process and by workers of Dask: functional, and nothing is lost."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import store
from orchestrator.analysis.cells import ratios
from orchestrator.analysis.dataset import load
from tests.lab.support import all_ok_once, attempts_in, last_object, orch, running_orch, runs_in, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.full]

POOL = ("lab-a", "lab-b")
SPEC = """\
experiment: pooled
testbed: two-labs
factors: {variant: [vanilla, inline], cores: [1], tunnels: [1, 2]}
traffic: {warm_up: 0s, duration: 2s}
repetitions: 2
retries: 4
limits:
  # Two labs on two cores are noisy, and this is about what is done, not how fast.
  report_only: [headroom, clock_skew, competing_load, steal, window, duration, variation, retransmits, counters]
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "pooled.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[str]:
    """The address of a scheduler of Dask with a worker for each of the labs."""
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> None:
        with (tmp_path / f"dask-{len(started)}.log").open("wb") as log:
            command = [sys.executable, "-m", "dask", *arguments]
            started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=tmp_path))

    addressed = tmp_path / "scheduler.json"
    try:
        start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(addressed))
        wait_until(addressed.exists, 60, "a scheduler")
        for name in POOL:
            reached = ("--scheduler-file", str(addressed), "--no-dashboard", "--nthreads", "1")
            start("worker", *reached, "--resources", f"{name}=1", "--local-directory", str(tmp_path / name))
        with client(addressed) as connected:
            wait_until(lambda: len(connected.scheduler_info()["workers"]) == 2, 90, "two workers")
            address = str(connected.scheduler.address)
        yield address
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()


@contextlib.contextmanager
def client(scheduler: Path | str) -> Iterator[Any]:
    from distributed import Client

    where = {"scheduler_file": str(scheduler)} if isinstance(scheduler, Path) else {"address": scheduler}
    with Client(**where, set_as_default=False) as connected:
        yield connected


def measured(run: Path) -> dict[str, str]:
    rows = store.tables(run)[0].to_pylist()
    return {row["trial_id"]: row["status"] for row in rows if row["kind"] == "measure"}


def is_functional(run: Path) -> None:
    """Each block whole on one testbed, all of it marked, and in no ratio."""
    rows = store.tables(run)[0].to_pylist()
    homes = {(row["block"], row["testbed"]) for row in rows}
    assert homes in ({(1, POOL[0]), (2, POOL[1])}, {(1, POOL[1]), (2, POOL[0])})
    assert all(row["shared_computer"] for row in rows)
    assert ratios(load(run)).empty
    report = (run / "report.html").read_text()
    assert "lab-a and lab-b share a computer: functional only, in no median and no ratio" in report


def overlap(run: Path) -> bool:
    """Whether attempts on the two testbeds ran at the same time."""
    times = {
        name: [(a["started_at"], a["ended_at"]) for a in store.read_attempts(run) if a["testbed"] == name]
        for name in POOL
    }
    return any(one[0] < other[1] and other[0] < one[1] for one in times[POOL[0]] for other in times[POOL[1]])


def test_a_pool_gives_the_trials_and_statuses_of_a_serial_run(tmp_path: Path, spec: Path, workers: str) -> None:
    alone = orch("run", spec, "--testbed", "lab-a", "--results", tmp_path / "alone", "--json")
    assert alone.returncode == 0, alone.stderr
    serial = measured(Path(last_object(alone.stdout)["run"]))
    for name, how in (("threads", ()), ("dask", ("--dask", workers))):
        done = orch("run", spec, "--results", tmp_path / name, "--json", *how)
        assert done.returncode == 0, done.stderr
        run = Path(last_object(done.stdout)["run"])
        assert measured(run) == serial
        assert overlap(run)
        all_ok_once(run)
        is_functional(run)


def test_a_worker_that_is_killed_in_mid_trial_loses_nothing(tmp_path: Path, spec: Path, workers: str) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    arguments = ("run", spec, "--set", "traffic.duration=4s", "--results", results, "--dask", workers)
    with running_orch(*arguments, log=log) as process, client(workers) as connected:
        wait_until(lambda: attempts_in(results) > 1, 180, f"first attempts; {log}")
        kept = {file: file.read_bytes() for file in results.rglob("attempt.json")}
        time.sleep(2)  # the middle of the next trial
        there = connected.scheduler_info()["workers"].items()
        (address,) = [address for address, about in there if POOL[0] in about["resources"]]
        os.kill(connected.run(os.getpid, workers=[address])[address], signal.SIGKILL)
        status = process.wait(240)
    said = log.read_text()
    assert status == 0, said
    (run,) = runs_in(results)
    all_ok_once(run)
    lost = [a for a in store.read_attempts(run) if "was lost" in "; ".join(a["reasons"])]
    assert [(a["testbed"], a["status"]) for a in lost] == [(POOL[0], "failed")]
    assert all(file.read_bytes() == content for file, content in kept.items())
    assert "the worker tcp://" in said


def test_a_resource_that_no_worker_has_is_an_error_at_once(tmp_path: Path, spec: Path, workers: str) -> None:
    began = time.monotonic()
    done = orch("run", spec, "--testbed", "lab", "--results", tmp_path / "results", "--dask", workers)
    assert time.monotonic() - began < 60
    assert done.returncode == 3
    assert f"No worker of {workers} has the resource lab; they have lab-a, lab-b." in done.stderr
    assert runs_in(tmp_path / "results") == []
