# SPDX-License-Identifier: Apache-2.0
"""Faults in mid-run, on the real lab: nothing finished is lost, nothing is measured twice, nothing wrong is ok."""

import os
import random
import signal
import tempfile
from collections import Counter
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.plan import Plan
from tests.lab.support import lab_processes, orch, runs_in, start_orch, wait_until

pytestmark = pytest.mark.lab

SPEC = """\
experiment: faults
testbed: lab
factors: {variant: [vanilla, inline], cores: [1], tunnels: [1]}
traffic: {warm_up: 0s, duration: 1s}
repetitions: 2
"""


def spec(folder: Path, text: str = SPEC) -> Path:
    file = folder / "faults.yaml"
    file.write_text(text)
    return file


def lab_folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("orch-lab-*"))


def nothing_left() -> None:
    wait_until(lambda: lab_processes() == [], 10, "the lab's processes are gone")
    wait_until(lambda: lab_folders() == [], 10, "the lab's folders are gone")


def all_ok_once(run: Path) -> None:
    """Every trial of the plan has exactly one ok attempt, and nothing half-written is left."""
    plan = Plan.from_json(store.read_run(run)["plan"])
    ok = Counter(attempt["trial_id"] for attempt in store.read_attempts(run) if attempt["status"] == "ok")
    assert ok == Counter(trial.trial_id for trial in plan.iterate())
    assert not list(run.rglob("*.tmp"))
    trials, _ = store.tables(run)
    assert set(trials.column("status").to_pylist()) == {"ok"}


def kill_and_resume(folder: Path, kills: int, seed: int) -> None:
    results, log, moments = folder / "results", folder / "log", random.Random(seed)
    file = spec(folder)
    for number in range(kills):
        resume = ["--resume", runs_in(results)[0]] if runs_in(results) else []
        process = start_orch("run", file, "--results", results, *resume, log=log)
        try:
            process.wait(moments.uniform(0.5, 9.0))
        except Exception:  # still running: that is when it is killed
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL), (number, log.read_text()[-2000:])
        nothing_left()
    resume = ["--resume", runs_in(results)[0]] if runs_in(results) else []
    done = orch("run", file, "--results", results, *resume)
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = runs_in(results)
    all_ok_once(run)
    assert (run / "report.html").is_file()


def test_a_run_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 3, seed=1)


@pytest.mark.full
def test_a_run_killed_twenty_times_goes_on(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 20, seed=2)
