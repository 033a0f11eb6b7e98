# SPDX-License-Identifier: Apache-2.0
"""The provider ssh on QEMU guests: another kernel, systemd, virtio, and CPUs that can be taken offline."""

import json
from pathlib import Path

import pytest

from tests.lab.standing import standing_hosts
from tests.lab.support import all_ok_once, last_object, orch, runs_in

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.beside]

SPEC = """\
experiment: guests
factors: {variant: [vanilla, inline], cores: CORES, tunnels: [2]}
traffic: {warm_up: 0s, duration: 2s}
repetitions: 1
retries: 3
# Emulated machines keep no time.
limits:
  report_only: [duration, window, competing_load, steal, variation, retransmits, drops, counters, headroom, clock_skew]
"""
TWO = """\
testbed: standing
provider: ssh
inventory: INVENTORY
hosts:
  - {name: guest1, roles: [client, gateway-a], nics: {wan: nic1}}
  - {name: guest2, roles: [gateway-b, server], nics: {wan: nic1}}
"""
ONE = """\
testbed: standing
provider: ssh
inventory: INVENTORY
hosts:
  - {name: guest1, roles: [client, gateway-a, gateway-b, server]}
"""
ONE_GUEST = """\
testbed: one-guest
provider: qemu
hosts:
  - {name: guest1, roles: [client, gateway-a, gateway-b, server]}
"""


@pytest.mark.parametrize("guests", ["guests", "guests-6.1"])
def test_two_guests_are_provisioned_once_carry_their_trials_and_are_given_back(tmp_path: Path, guests: str) -> None:
    with standing_hosts(tmp_path, guests, TWO, SPEC.replace("CORES", "[1]")) as hosts:
        assert orch("testbed", "enroll", hosts.file, "--yes").returncode == 0
        first = orch("testbed", "provision", hosts.file, "--json")
        assert first.returncode == 0, first.stderr
        assert last_object(orch("testbed", "provision", hosts.file, "--json").stdout)["changed"] == 0
        before = hosts.snapshot()
        done = orch(*hosts.arguments(tmp_path / "results"))
        assert done.returncode == 0, done.stderr
        all_ok_once(runs_in(tmp_path / "results")[0])
        assert hosts.snapshot() ^ before == set()


def test_cpus_that_a_block_does_not_use_are_off_line_meanwhile(tmp_path: Path) -> None:
    lab = tmp_path / "one-guest.yaml"
    lab.write_text(ONE_GUEST)
    with standing_hosts(tmp_path, lab, ONE, SPEC.replace("CORES", "[1, 2]"), cores=2) as hosts:
        assert orch("testbed", "enroll", hosts.file, "--yes").returncode == 0
        before = hosts.snapshot()
        done = orch(*hosts.arguments(tmp_path / "results"))
        assert done.returncode == 0, done.stderr
        (run,) = runs_in(tmp_path / "results")
        all_ok_once(run)
        events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
        used = [event["hosts"]["guest1"]["cpus_used"] for event in events if event["event"] == "prepared"]
        assert used == [[0], [0, 1]]
        assert hosts.snapshot() ^ before == set()
