# SPDX-License-Identifier: Apache-2.0
"""The provider ssh, on two lab machines that stand and are used as any hosts are: by an inventory, over SSH."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import store
from tests.lab.standing import StandingHosts, standing_hosts
from tests.lab.support import all_ok_once, attempts_in, last_object, orch, running_orch, runs_in, wait_until

pytestmark = [pytest.mark.lab, pytest.mark.beside]

SPEC = """\
experiment: hosts
factors: {variant: [vanilla, threaded, inline], cores: [1], tunnels: [1, 2]}
traffic: {warm_up: 0s, duration: 1s}
repetitions: 1
retries: 3
# Two machines share this computer with whatever else runs: what depends on time only marks an attempt here.
limits: {report_only: [competing_load, steal, retransmits, variation, headroom, duration, window, counters]}
"""
TESTBED = """\
testbed: pair
provider: ssh
inventory: INVENTORY
hosts:
  - {name: lab1, roles: [client, gateway-a], nics: {wan: vec1}MORE}
  - {name: lab2, roles: [gateway-b, server], nics: {wan: vec1}}
"""
# Less of it, where one trial shows as much as all, or where a fault needs a few to fall into.
ONE_CELL = ("--set", "factors.variant=[inline]", "--set", "factors.tunnels=[1]")
TWO_CELLS = ("--set", "factors.variant=[vanilla, inline]", "--set", "factors.tunnels=[1]")
FOUR_CELLS = ("--set", "factors.variant=[vanilla, inline]")
STEERING = "/sys/class/net/vec1/queues/rx-0/rps_cpus"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingHosts]:
    with standing_hosts(tmp_path_factory.mktemp("hosts"), "two-machines", TESTBED, SPEC) as hosts:
        unknown = orch("testbed", "provision", hosts.file)
        assert (unknown.returncode, "is not known, so it may be another host" in unknown.stderr) == (3, True)
        unasked = orch("testbed", "enroll", hosts.file)
        assert (unasked.returncode, "Nothing was pinned" in unasked.stderr) == (2, True)
        assert orch("testbed", "enroll", hosts.file, "--yes").returncode == 0
        hosts.on("lab1", f"echo 1 >{STEERING}; sysctl -w net.ipv4.conf.vec1.log_martians=1; ip link set vec1 up")
        hosts.on("lab1", "ip address add 203.0.113.7/24 dev vec1; ip route add 203.0.113.128/25 via 203.0.113.9")
        yield hosts


def test_all_blocks_are_carried_and_the_hosts_are_given_back_as_they_were(pair: StandingHosts, tmp_path: Path) -> None:
    before = pair.snapshot()
    done = orch(*pair.arguments(tmp_path), "--json")
    assert done.returncode == 0, done.stderr
    run = Path(last_object(done.stdout)["run"])
    all_ok_once(run)
    assert pair.snapshot() ^ before == set()
    assert not (pair.folder / "state" / "orch" / "settings-pair.json").exists()
    (attempt, *_) = [a for a in store.read_attempts(run) if a["levels"]["tunnels"] == 2 and a["kind"] == "measure"]
    assert {row["host"] for row in attempt["probes"]["per_cpu"]} == {"lab1", "lab2"}
    through = attempt["probes"]["interfaces"]
    assert through["gateway-a"]["wan0"]["tx_bytes"] > 1e6
    assert through["gateway-b"]["wan0"]["rx_bytes"] > 1e6
    prepared = next(line for line in (run / "journal.jsonl").read_text().splitlines() if '"prepared"' in line)
    hosts = json.loads(prepared)["hosts"]
    assert {name: facts["cpus_used"] for name, facts in hosts.items()} == {"lab1": [0], "lab2": [0]}
    assert (hosts["lab1"]["settings"][STEERING], hosts["lab1"]["settings_before"][STEERING]) == ("0", "1")
    assert pair.on("lab1", f"cat {STEERING}").strip() == "1"
    assert store.read_run(run)["testbed"]["provider"] == "ssh"


def test_a_second_pass_changes_nothing_and_what_was_changed_by_hand_is_repaired(
    pair: StandingHosts, tmp_path: Path
) -> None:
    if not all(pair.on(host, "ls /usr/local/lib/orch/modules/*/*/stamp") for host in pair.names):
        assert orch("testbed", "provision", pair.file).returncode == 0  # a run of another test had it done otherwise
    pair.on("lab1", "for f in /usr/local/lib/orch/modules/*/upstream/wireguard.ko; do echo >>$f; chmod 600 $f; done")
    pair.on("lab2", "rm -r /usr/local/lib/orch/modules/*/multitunnel")
    done = orch(*pair.arguments(tmp_path), *ONE_CELL)
    assert done.returncode == 0, done.stderr
    assert "lab1: the module upstream is a different one; lab2: the module multitunnel is missing" in done.stderr
    all_ok_once(runs_in(tmp_path)[0])
    second = last_object(orch("testbed", "provision", pair.file, "--json").stdout)
    assert second["tasks"] > 0
    assert second["changed"] == 0


def test_doctor_shows_both_hosts_and_changes_nothing(pair: StandingHosts) -> None:
    before = pair.snapshot()
    done = orch("doctor", "--testbed", pair.file, "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["requirements"]
    assert {row["host"] for row in rows} == {"lab1", "lab2"}
    assert any(row["name"] == "Interface vec1" and "uml-vector" in row["what"] for row in rows)
    assert pair.snapshot() ^ before == set()


def test_a_changed_host_key_is_refused_until_it_is_enrolled_anew(pair: StandingHosts, tmp_path: Path) -> None:
    known = pair.folder / "state" / "orch" / "known_hosts"
    kept = known.read_text()
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", other], check=True)
    kind, key = other.with_suffix(".pub").read_text().split()[:2]
    known.write_text("".join(f"pair.{host} {kind} {key}\n" for host in ("lab1", "lab2")))
    done = orch(*pair.arguments(tmp_path))
    assert done.returncode == 3
    assert "lab1: its host key has changed: ssh-ed25519 SHA256:" in done.stderr
    assert f"`orch testbed enroll {pair.file} --replace lab1`" in done.stderr
    assert "Traceback" not in done.stderr
    refused = orch("testbed", "enroll", pair.file, "--yes", "--replace", "lab1")
    assert (refused.returncode, "--replace lab2" in refused.stderr) == (2, True)
    taken = orch("testbed", "enroll", pair.file, "--yes", "--replace", "lab1", "--replace", "lab2")
    assert taken.returncode == 0, taken.stderr
    assert known.read_text() == kept


def test_a_sudo_that_asks_ends_in_a_sentence_and_one_that_does_not_is_used(pair: StandingHosts, tmp_path: Path) -> None:
    pair.on("lab1", "useradd -m tester; usermod -p '*' tester; echo 'tester ALL=(ALL) ALL' >/etc/sudoers.d/tester")
    as_user = pair.testbed("tester.yaml", ", user: tester")
    done = orch(*pair.arguments(tmp_path, as_user))
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "lab1: sudo asks for a password" in done.stderr
    assert "NOPASSWD" in done.stderr
    pair.on("lab1", "echo 'tester ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/tester")
    before = pair.snapshot()
    done = orch(*pair.arguments(tmp_path, as_user), *ONE_CELL)
    assert done.returncode == 0, done.stderr
    assert pair.snapshot() ^ before == set()
    provisioned = orch("testbed", "provision", as_user, "--json")
    assert last_object(provisioned.stdout)["changed"] == 0
    pair.on("lab1", "rm /etc/sudoers.d/tester")
    done = orch(*pair.arguments(tmp_path, as_user))
    assert (done.returncode, "lab1: " in done.stderr, "sudo" in done.stderr) == (3, True, True)


@pytest.mark.full
def test_modules_that_cannot_be_built_for_want_of_headers_say_so(pair: StandingHosts, tmp_path: Path) -> None:
    release = pair.on("lab1", "uname -r").strip()
    building = pair.testbed("building.yaml", ", modules: build")
    done = orch(*pair.arguments(tmp_path, building))
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "lab1" in done.stderr
    assert f"The headers of the running kernel {release} are not installed" in done.stderr
    assert f"Install linux-headers-{release}" in done.stderr
    assert runs_in(tmp_path) == []


def test_a_full_disk_is_told_before_anything_is_changed(pair: StandingHosts, tmp_path: Path) -> None:
    pair.on("lab2", "cat /dev/zero >/usr/local/lib/filler 2>/dev/null; sync")
    try:
        done = orch(*pair.arguments(tmp_path))
    finally:
        pair.on("lab2", "rm /usr/local/lib/filler")
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
    assert "lab2: Disk: 0 MiB free in /usr/local/lib. Make room: /usr/local/lib needs 16 MiB." in done.stderr
    assert runs_in(tmp_path) == []


def test_a_disk_that_fills_up_in_mid_run_fails_attempts_with_the_reason(pair: StandingHosts, tmp_path: Path) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    before = pair.snapshot()
    with running_orch(*pair.arguments(results), *FOUR_CELLS, log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 120, f"a first attempt; {log}")
        pair.on("lab1", "cat /dev/zero >/run/filler 2>/dev/null")
        try:
            wait_until(lambda: "lab1: the disk of /run/orch is full" in log.read_text(), 60, f"the reason; {log}")
        finally:
            pair.on("lab1", "rm /run/filler")
        assert process.wait(180) in (0, 1), log.read_text()  # a trial may have used up its retries meanwhile
    (run,) = runs_in(results)
    resumed = orch("run", pair.spec, "--no-report", "--resume", run)
    assert resumed.returncode == 0, resumed.stderr
    all_ok_once(run)
    failed = [attempt for attempt in store.read_attempts(run) if attempt["status"] == "failed"]
    assert failed
    assert all(attempt["measurements"]["throughput_bps"] is None for attempt in failed)
    assert pair.snapshot() ^ before == set()


def test_other_programs_on_a_host_make_attempts_invalid(pair: StandingHosts, tmp_path: Path) -> None:
    changes = (*ONE_CELL, "--set", "retries=0")
    limits = ("--set", "limits.report_only=[steal, retransmits, variation, headroom, counters, drops]")
    pair.on("lab1", "python3 -c 'while True: pass' >/dev/null 2>&1 </dev/null &")
    try:
        done = orch(*pair.arguments(tmp_path), *changes, *limits)
    finally:
        pair.on("lab1", "pkill -f 'while True'")
    assert done.returncode == 1, done.stderr
    attempts = store.read_attempts(runs_in(tmp_path)[0])
    assert all(attempt["status"] != "ok" for attempt in attempts)
    said = [reason for attempt in attempts for reason in attempt["reasons"] if "other programs" in reason]
    assert said
    assert all(reason.startswith("other programs (python3") and "of a core of lab1" in reason for reason in said)


# LINUX_REBOOT_CMD_RESTART; in the background, since a host that is gone does not end its connections.
REBOOT = "sh -c \"sleep 0.3; python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x1234567)'\" >/dev/null 2>&1 &"


@pytest.mark.full
def test_a_host_that_restarts_in_mid_block_fails_one_attempt_and_the_rest_goes_on(
    pair: StandingHosts, tmp_path: Path
) -> None:
    log, results = tmp_path / "log", tmp_path / "results"
    with running_orch(*pair.arguments(results), *FOUR_CELLS, "--set", "traffic.duration=3s", log=log) as process:
        wait_until(lambda: attempts_in(results) > 1, 120, f"two attempts; {log}")
        pair.on("lab2", REBOOT)
        status = process.wait(240)
    said = log.read_text()
    assert status == 0, said
    (run,) = runs_in(results)
    all_ok_once(run)
    lost = [attempt for attempt in store.read_attempts(run) if attempt["status"] == "failed"]
    assert len(lost) == 1
    assert lost[0]["reasons"][0].startswith("lab2: ")
    assert lost[0]["reasons"][0] in said


@pytest.mark.full
def test_an_agent_that_no_longer_answers_is_replaced_and_the_journal_says_so(
    pair: StandingHosts, tmp_path: Path
) -> None:
    before = pair.snapshot()
    log, results = tmp_path / "log", tmp_path / "results"
    with running_orch(*pair.arguments(results), *FOUR_CELLS, log=log) as process:
        wait_until(lambda: attempts_in(results) > 1, 120, f"two attempts; {log}")
        pair.on("lab1", "pkill -STOP -f '[o]rch-agent'")
        status = process.wait(400)
    assert status == 0, log.read_text()
    (run,) = runs_in(results)
    all_ok_once(run)
    events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    health = [event["hosts"]["lab1"]["health"] for event in events if event["event"] == "prepared"]
    assert [[step["after"] for step in steps] for steps in health if steps] == [["agent silent", "well"]]
    assert pair.snapshot() ^ before == set()


def test_what_a_killed_run_left_is_put_back(pair: StandingHosts, tmp_path: Path) -> None:
    before = pair.snapshot()
    log, results = tmp_path / "log", tmp_path / "results"
    with running_orch(*pair.arguments(results), *TWO_CELLS, "--set", "traffic.duration=3s", log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 120, f"a first attempt; {log}")
        os.kill(process.pid, signal.SIGSTOP)  # it is not to come to its end meanwhile
        second = orch(*pair.arguments(tmp_path / "second"), "--no-wait")
        assert (second.returncode, f"in use by process {process.pid}" in second.stderr) == (3, True)
        os.kill(process.pid, signal.SIGKILL)
    wait_until(lambda: "orch-agent" not in pair.on("lab1", "pgrep -af orch-agent | grep -v pgrep"), 20, "it left")
    assert pair.snapshot() != before  # the settings: nobody was left who knew what they were
    told = orch("restore", pair.file)
    assert told.returncode == 0
    assert "lab1: net.core.rmem_max is" in told.stdout
    assert pair.snapshot() ^ before == set()
    assert "Nothing to restore" in orch("restore", pair.file).stdout
    resumed = orch("run", pair.spec, "--no-report", "--resume", runs_in(results)[0])
    assert resumed.returncode == 0, resumed.stderr
    all_ok_once(runs_in(results)[0])
    assert pair.snapshot() ^ before == set()


def test_agents_that_were_killed_leave_what_restore_puts_back(pair: StandingHosts, tmp_path: Path) -> None:
    before = pair.snapshot()
    log, results = tmp_path / "log", tmp_path / "results"
    with running_orch(*pair.arguments(results), "--set", "traffic.duration=100s", log=log) as process:
        wait_until(lambda: bool(pair.on("lab1", "pgrep -x iperf3")), 120, f"a client; {log}")
        os.kill(process.pid, signal.SIGSTOP)
        for host in pair.names:
            pair.on(host, "pkill -9 -f '[o]rch-agent'")
        os.kill(process.pid, signal.SIGKILL)
    assert "gateway-a" in pair.on("lab1", "ip netns")
    told = orch("restore", pair.file)
    # On one host at least: without its client, a server ends by itself, and the reverse.
    assert ": what a killed agent had started was ended: iperf3 (1)" in told.stdout
    assert "lab1: the namespaces client, gateway-a were removed" in told.stdout
    assert "lab1: the interfaces vec1 were given back" in told.stdout
    assert pair.snapshot() ^ before == set()


MISTAKES = {
    # What is written in the place of what, and what the sentence must have.
    "no such interface": (
        "vec1",
        "eth7",
        "Interface eth7: not there; there are dummy0, ",
    ),
    "the way to the host": ("vec1", "vec0", "this very SSH connection comes in over vec0"),
    "not in the inventory": ("name: lab1", "name: lab9", "has no host lab9; it has lab1, lab2"),
    "no inventory": ("inventory.json", "inventory.yaml", "There is no inventory"),
    "no such node": ("gateway-a],", "gateway-a], cpus: node-3,", "has no CPU for trials on NUMA node 3"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_in_a_testbed_file_are_told(pair: StandingHosts, tmp_path: Path, mistake: str) -> None:
    old, new, says = MISTAKES[mistake]
    file = pair.folder / "mistake.yaml"
    file.write_text(pair.file.read_text().replace(old, new, 1))
    done = orch(*pair.arguments(tmp_path, file))
    assert done.returncode in (2, 3)
    assert says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert runs_in(tmp_path) == []
