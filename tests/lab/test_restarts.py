# SPDX-License-Identifier: Apache-2.0
"""A host that is restarted between the blocks of a run: a plain Debian machine, emulated, which only SSH leads to."""

import json
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.releases import release_module
from orchestrator.progress import Silent
from orchestrator.testbed.qemu import machine
from tests.lab.computers import BOOT_S, Computer, Hardware, start
from tests.lab.debian_machine import RELEASE, debian_machine
from tests.lab.support import all_ok_once, orch, runs_in

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
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
        before, first = one.run(LEFT), one.run("cat /proc/sys/kernel/random/boot_id").strip()
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
