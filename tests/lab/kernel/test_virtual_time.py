# SPDX-License-Identifier: Apache-2.0
"""The lab kernel in virtual time: what it charges, and that it boots and carries traffic each time."""

import os

import pytest

from tests.lab.kernel.machine import KernelMachine, machine

pytestmark = pytest.mark.lab

BOOTS = int(os.environ.get("ORCH_BOOTS", "20"))


def counters(guest: KernelMachine) -> dict[str, int]:
    lines = guest.run("cat /proc/virtual_time").splitlines()
    return {name: int(value) for name, value in (line.split() for line in lines)}


def test_clocks_charge_what_is_used() -> None:
    with machine(4, virtual=True) as guest:
        # A forked process has not paid for what its parent used. Twice is what a busy computer's speed may change by.
        rates = guest.program("forks", 1)
        assert rates["child"] < 2.5 * rates["parent"], rates
        # Hosts share this kernel, and the first CPU must not free the packets of them all.
        assert guest.run("cat /proc/sys/net/core/skb_defer_max").strip() == "0"
        before = counters(guest)
        found = guest.program("traffic", 0.2)
        after = counters(guest)
        assert found["cpus"] == before["cpus"] == 4
        assert min(found["bytes"]) > 0
        passed_ns = after["virtual_ns"] - before["virtual_ns"]
        for cpu in range(4):
            assert 0 <= after[f"cpu{cpu}_busy_ns"] - before[f"cpu{cpu}_busy_ns"] < passed_ns + 20_000_000
        assert guest.complaints() == []


@pytest.mark.full
@pytest.mark.beside
@pytest.mark.parametrize("cores", [2, 8, 32])
def test_it_boots_and_carries_traffic_each_time(cores: int) -> None:
    """ORCH_BOOTS machines (20 by default) are booted, and each carries traffic once."""
    for number in range(BOOTS):
        with machine(cores, virtual=True) as guest:
            found = guest.program("traffic", 0.2, timeout_s=300)
            assert found["cpus"] == cores, number
            assert len(found["bytes"]) == cores // 2, number
            assert min(found["bytes"]) > 0, (number, found)
            assert guest.complaints() == [], number
