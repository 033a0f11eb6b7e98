# SPDX-License-Identifier: Apache-2.0
"""Faults in mid-run, on the real lab: nothing finished is lost, nothing is measured twice, nothing wrong is ok."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.testbed.lab.lab import Lab
from tests.lab.support import (
    ORCH,
    all_ok_once,
    attempts_in,
    lab_processes,
    last_object,
    orch,
    running_orch,
    runs_in,
    start_orch,
    wait_until,
)

pytestmark = pytest.mark.lab

SPEC = """\
experiment: faults
testbed: lab
factors: {variant: [vanilla, inline], cores: [1], tunnels: [1]}
traffic: {warm_up: 0s, duration: 1s}
repetitions: 1
# What a hypervisor takes from this computer is not what these tests are about.
limits: {report_only: [headroom, clock_skew, control, steal, retransmits]}
"""
LONGER = ("--set", "repetitions=2")  # where something is to happen while it goes on


def spec(folder: Path, text: str = SPEC) -> Path:
    file = folder / "faults.yaml"
    file.write_text(text)
    return file


def lab_folders() -> list[Path]:
    return list(Path(tempfile.gettempdir()).glob("orch-lab-*"))


def nothing_left() -> None:
    wait_until(lambda: lab_processes() == [], 10, "the lab's processes are gone")
    wait_until(lambda: lab_folders() == [], 10, "the lab's folders are gone")


def kill_and_resume(folder: Path, kills: int, seed: int, *end: str) -> Path:
    results, log, moments = folder / "results", folder / "log", random.Random(seed)
    file = spec(folder)
    for number in range(kills):
        resume = ["--resume", runs_in(results)[0]] if runs_in(results) else []
        process = start_orch("run", file, "--no-report", "--results", results, *(resume or LONGER), log=log)
        try:
            process.wait(moments.uniform(0.5, 9.0))
        except Exception:  # still running: that is when it is killed
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process.returncode in (0, -signal.SIGKILL), (number, log.read_text()[-2000:])
        nothing_left()
    resume = ["--resume", runs_in(results)[0]] if runs_in(results) else []
    done = orch("run", file, "--results", results, *(resume or LONGER), *end)
    assert done.returncode == 0, done.stderr[-2000:]
    (run,) = runs_in(results)
    all_ok_once(run)
    return run


def test_a_run_killed_at_any_moment_goes_on(tmp_path: Path) -> None:
    kill_and_resume(tmp_path, 3, 1, "--no-report")


@pytest.mark.full
def test_a_run_killed_twenty_times_goes_on(tmp_path: Path) -> None:
    assert (kill_and_resume(tmp_path, 20, 2) / "report.html").is_file()


def in_the_machine(script: str) -> "subprocess.Popen[bytes]":
    """Start a script on the machine of the lab that is up, which it may end."""
    (folder,) = lab_folders()
    command = ["ssh", *Lab(folder, None).ssh_options(), "root@lab1", script]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


MACHINE_FAULTS = {
    "panic": "kill 1",  # the kernel panics when its init ends
    "agent-killed": "pkill -9 -f orch-agent",
    "connection-cut": "pkill -9 -f sshd-session; pkill -9 -f 'sshd: root'",
}


def keepers() -> list[int]:
    """The lab's PID 1, as this computer numbers it."""
    words = {pid: Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in lab_processes()}
    return [pid for pid, line in words.items() if b"unshare" not in line[0] and line[3].endswith(b"keeper.py")]


def test_a_lab_that_is_killed_is_made_again(tmp_path: Path) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    arguments = ("run", spec(tmp_path), "--no-report", "--set", "traffic.duration=3s", "--results", results)
    with running_orch(*arguments, log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 120, f"a first attempt; {log}")
        (keeper,) = keepers()
        os.kill(keeper, signal.SIGKILL)
        status = process.wait(120)
    assert status == 0, log.read_text()
    (run,) = runs_in(results)
    all_ok_once(run)
    assert [attempt["status"] for attempt in store.read_attempts(run)].count("failed") == 1
    nothing_left()


@pytest.mark.parametrize(
    "fault", ["connection-cut", *(pytest.param(name, marks=pytest.mark.full) for name in ("panic", "agent-killed"))]
)
def test_a_host_that_is_lost_in_mid_trial_is_prepared_again(tmp_path: Path, fault: str) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    arguments = ("run", spec(tmp_path), "--no-report", *LONGER, "--set", "traffic.duration=3s", "--results", results)
    with running_orch(*arguments, log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 120, f"a first attempt; {log}")
        wait_until(lambda: lab_folders() != [], 10, "a lab")
        # A login takes long beside traffic: strike in the middle of the next trial's, not at the end of this one's.
        traffic = "pgrep -f 'iperf3 --clien[t]'"
        wait = f"while {traffic}; do sleep 0.05; done; until {traffic}; do sleep 0.05; done; sleep 1"
        with in_the_machine(f"{wait}; {MACHINE_FAULTS[fault]}") as culprit:
            try:
                status = process.wait(120)
            finally:
                culprit.kill()
    said = log.read_text()
    assert status == 0, said
    (run,) = runs_in(results)
    all_ok_once(run)
    attempts = store.read_attempts(run)
    (lost,) = [attempt for attempt in attempts if attempt["status"] == "failed"]
    # What waits on the machine for the moment is other load there.
    assert {name for attempt in attempts for name in attempt["broken_limits"]} <= {"competing_load"}
    assert lost["measurements"]["throughput_bps"] is None
    assert "lab1: " in lost["reasons"][0]
    assert lost["reasons"][0] in said
    nothing_left()


def test_the_second_of_two_runs_waits_or_says_who_is_there(tmp_path: Path) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    file = spec(tmp_path)
    with running_orch("run", file, "--no-report", *LONGER, "--results", results, log=log) as first:
        wait_until(lambda: lab_folders() != [], 120, "a lab")
        refused = orch("run", file, "--results", tmp_path / "second", "--no-wait")
        assert refused.returncode == 3
        assert f"in use by process {first.pid} (`orch run" in refused.stderr
        assert f"`kill {first.pid}` ends it" in refused.stderr
        waited = orch("run", file, "--no-report", "--results", tmp_path / "third")
        assert first.wait(60) == 0
    assert waited.returncode == 0
    assert f"in use by process {first.pid}" in waited.stderr
    for folder in (results, tmp_path / "third"):
        all_ok_once(runs_in(folder)[0])


def test_a_full_disk_keeps_what_was_measured_and_the_run_goes_on_when_there_is_room(tmp_path: Path) -> None:
    small, kept = tmp_path / "small", tmp_path / "kept"
    small.mkdir()
    run = shlex.join([*ORCH, "run", str(spec(tmp_path)), "--no-report", "--results", str(small)])
    script = f"""
        mount -t tmpfs -o size=5m tmpfs {small}
        {run} 2>{tmp_path}/first & pid=$!
        until ls {small}/faults/*/trials/*/1/attempt.json >{tmp_path}/seen 2>&1; do sleep 0.1; done
        cat /dev/zero >{small}/filler 2>{tmp_path}/seen || true
        status=0; wait $pid || status=$?
        echo $status >{tmp_path}/status
        cp -r {small}/faults {kept}
        mount -o remount,size=50m {small}
        status=0
        {run} --resume {small}/faults 2>{tmp_path}/second || status=$?
        echo $status >>{tmp_path}/status
        rm {small}/filler
        cp -r {small} {tmp_path}/whole
    """
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    subprocess.run(["unshare", *user, "--mount", "sh", "-ec", script], check=True)
    assert (tmp_path / "status").read_text().split() == ["1", "0"], (tmp_path / "second").read_text()
    (run_before,) = [file.parent for file in kept.glob("*/run.json")]
    measured = {a["trial_id"]: a["attempt"] for a in store.read_attempts(run_before) if a["status"] == "ok"}
    assert measured
    assert "its disk is full" in (tmp_path / "first").read_text()
    (whole,) = runs_in(tmp_path / "whole")
    all_ok_once(whole)
    for trial, attempt in measured.items():  # what was ok before was not measured again
        assert max(int(path.name) for path in (whole / "trials" / trial).iterdir()) == attempt


def test_other_load_on_the_computer_makes_attempts_invalid_and_they_are_repeated(tmp_path: Path) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    with running_orch("run", spec(tmp_path), "--no-report", "--results", results, "--json", log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 120, "a first attempt")
        with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as busy:
            try:
                wait_until(lambda: "of a core of this computer" in log.read_text(), 60, f"an invalid attempt; {log}")
            finally:
                busy.kill()
        status = process.wait(180)
    assert status == 0, log.read_text()
    assert last_object(log.read_text())["invalid"] == 0
    (run,) = runs_in(results)
    all_ok_once(run)
    hit = [attempt for attempt in store.read_attempts(run) if attempt["status"] == "invalid"]
    assert hit
    assert all("competing_load" in attempt["broken_limits"] for attempt in hit)
    assert all(attempt["measurements"]["throughput_bps"] for attempt in hit)  # kept, and marked


TESTBED = """\
testbed: tuned
provider: uml
hosts:
  - name: lab1
    roles: [client, gateway-a, gateway-b, server]
    settings: {net.core.netdev_budget: "600"}
"""


def test_what_a_killed_run_left_changed_is_told_by_restore(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    testbed = tmp_path / "tuned.yaml"
    testbed.write_text(TESTBED)
    log, results = tmp_path / "log", tmp_path / "results"
    arguments = ("run", spec(tmp_path), "--no-report", *LONGER, "--testbed", testbed, "--results", results)
    with running_orch(*arguments, log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 120, f"a first attempt; {log}")
        during = orch("restore", testbed)
        assert (during.returncode, f"in use by process {process.pid}" in during.stderr) == (3, True)
    nothing_left()
    told = orch("restore", testbed)
    assert told.returncode == 0
    assert told.stdout.startswith("lab1: its lab has ended, and ")
    assert "net.core.netdev_budget" in told.stdout
    assert orch("restore", testbed).stdout.startswith("Nothing to restore")
    (run,) = runs_in(results)
    prepared = next(line for line in (run / "journal.jsonl").read_text().splitlines() if '"prepared"' in line)
    (host,) = json.loads(prepared)["hosts"].values()
    budgets = [host[name]["net.core.netdev_budget"] for name in ("settings_before", "settings")]
    assert budgets == ["300", "600"]
    resumed = orch("run", spec(tmp_path), "--no-report", "--resume", run)
    assert resumed.returncode == 0, resumed.stderr
    all_ok_once(run)
    assert not list((tmp_path / "state").rglob("*.json"))
