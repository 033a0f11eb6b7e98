# SPDX-License-Identifier: Apache-2.0
"""A host that is restarted, between blocks of a run or since it fell silent: a plain Debian machine, emulated, which
only SSH leads to; its power command resets it as a management controller would."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.releases import release_module
from orchestrator.progress import Silent
from orchestrator.spec import load_testbed
from orchestrator.testbed.protocol import State
from orchestrator.testbed.qemu import machine
from orchestrator.testbed.ssh.provider import OpenSshTestbed
from orchestrator.testbed.ssh.schema import SshTestbed
from tests.lab.computers import BOOT_S, Computer, Hardware, start
from tests.lab.debian_machine import RELEASE, debian_machine
from tests.lab.support import all_ok_once, orch, runs_in

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.beside,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
TESTBED = """\
testbed: restarted
provider: ssh
restart: true
restart_within: {within:.0f} s
hosts:
  - name: one
    address: 127.0.0.1
    port: {port}
    user: root
    key: {key}
    roles: [client, gateway-a, gateway-b, server]
"""
POWER_LINE = "    power: {power}\n"
SPEC = """\
experiment: restarts
factors: {variant: [inline], cores: [1], tunnels: [1]}
traffic: {warm_up: 0s, duration: 2s}
repetitions: {boots: 2, min: 1, max: 1}
retries: 3
# Emulated machines keep no time.
limits:
  report_only: [duration, window, competing_load, steal, variation, retransmits, drops, counters, headroom, clock_skew]
"""
BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
LEFT = (
    "cat /sys/devices/system/cpu/online; ip netns; find /run/orch -type f -size +0 2>/dev/null; pgrep -f orch-[a]gent; "
    "lsmod | grep wireguard; true"
)


def test_each_block_of_a_spec_with_boots_has_a_boot_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = debian_machine(Silent())
    for build in needed_builds():
        release_module(RELEASE, build, Silent())
    with start(Computer("one", made.path / "disk.raw", made.path / "key", tmp_path, Hardware("2"))) as one:
        file, spec = tmp_path / "restarted.yaml", tmp_path / "spec.yaml"
        file.write_text(TESTBED.format(within=BOOT_S, port=one.port, key=one.key))
        spec.write_text(SPEC)
        assert orch("testbed", "enroll", file, "--yes").returncode == 0
        before, first = one.run(LEFT), one.run(BOOT_ID).strip()
        done = orch("run", spec, "--no-report", "--testbed", file, "--results", tmp_path / "results", timeout_s=2400)
        assert done.returncode == 0, done.stderr
        (run,) = runs_in(tmp_path / "results")
        all_ok_once(run)
        boots = {attempt["block"]: attempt["boot_id"] for attempt in store.read_attempts(run)}
        assert sorted(boots) == [1, 2]
        assert len(set(boots.values())) == 2
        events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        hosts = [event["hosts"]["one"] for event in events if event["event"] == "prepared"]
        assert len({host["boot_id"] for host in hosts} | {first}) == 3
        for host in hosts:
            steps = [one["after"] for one in host["health"]]
            assert (steps[0], steps[-1]) == ("restarted", "well")
        assert one.run(LEFT) == before
        assert "still to be put back" not in done.stderr


# What stands in for ipmitool: QEMU's monitor switches the machine off and on.
POWER = """\
import json, socket, sys
with socket.socket(socket.AF_UNIX) as monitor:
    monitor.connect(sys.argv[1])
    with monitor.makefile("rw") as lines:
        lines.readline()
        for command in ("qmp_capabilities", *sys.argv[2:]):
            lines.write(json.dumps({"execute": command}) + "\\n")
            lines.flush()
            while "return" not in (answer := json.loads(lines.readline())):
                if "error" in answer:
                    sys.exit(answer["error"]["desc"])
"""
SILENCE_S = 400  # for how long a silent host is waited for, and one that was reset


def test_a_host_that_refuses_to_restart_or_is_silent_is_restarted_by_its_power_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = debian_machine(Silent())
    for build in needed_builds():
        release_module(RELEASE, build, Silent())
    monitor, script = tmp_path / "monitor", tmp_path / "power.py"
    script.write_text(POWER)
    hardware = Hardware("2", more=["-qmp", f"unix:{monitor},server=on,wait=off"])
    with start(Computer("one", made.path / "disk.raw", made.path / "key", tmp_path, hardware)) as one:
        power = json.dumps([sys.executable, str(script), str(monitor), "system_reset", "cont"])
        file = tmp_path / "restarted.yaml"
        text = TESTBED.format(within=SILENCE_S, port=one.port, key=one.key) + POWER_LINE.format(power=power)
        file.write_text(text)
        assert orch("testbed", "enroll", file, "--yes").returncode == 0
        before = one.run(LEFT)
        one.run("ln -s /bin/false /usr/local/sbin/reboot; sync")
        testbed = load_testbed(str(file))
        assert isinstance(testbed, SshTestbed)
        boots = [one.run(BOOT_ID)]
        with OpenSshTestbed(testbed, Silent()) as hosts:

            def prepared() -> list[str]:
                """The conditions of the host while a block is prepared; and its boot then is a new one."""
                (state,) = hosts.prepare(State(1, own_boot=1)).values()
                assert one.run(BOOT_ID) not in boots
                boots.append(one.run(BOOT_ID))
                assert state["boot_id"] == boots[-1].strip()
                return [step["after"] for step in state["health"]]

            refused = prepared()
            assert (refused[0], refused[-1]) == ("restarted", "well")
            subprocess.run([sys.executable, script, monitor, "stop"], check=True)
            silent = prepared()
            assert silent[:3] == ["agent silent", "ssh silent", "restarted"]
            assert silent[-1] == "well"
        assert one.run(LEFT) == before
