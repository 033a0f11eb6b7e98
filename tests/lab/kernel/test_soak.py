# SPDX-License-Identifier: Apache-2.0
"""Peers, devices, links and settings that come and go under traffic, on the kernel that checks locks and memory.

ORCH_SOAK_SECONDS (120 by default) is how long in real time; in virtual time, which takes longer, a third of it.
"""

import os

import pytest

from tests.lab.kernel.machine import machine, two_cores

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.beside]

REAL_S = int(os.environ.get("ORCH_SOAK_SECONDS", "120"))


@pytest.mark.parametrize("virtual", [False, True], ids=["real", "virtual"])
def test_change_under_traffic_leaves_nothing_in_the_log(virtual: bool) -> None:
    seconds = REAL_S // 3 if virtual else REAL_S
    with machine(4 if virtual else two_cores(), "debug", virtual=virtual) as guest:
        guest.load("multitunnel")
        assert guest.run("dmesg").count("self-tests: pass") >= 3  # WireGuard's own
        found = guest.program(
            "soak",
            seconds,
            20261123,
            "queued/queued,inline/inline,inline/queued,queued/inline,batched/batched,queued/workqueue,queued/steal",
            timeout_s=(seconds + 300) * (6 if virtual else 1),
        )
        assert sum(found["changes"].values()) > seconds / 6
        assert found["tcp_flows"] > 0
        guest.run("rmmod wireguard")
        assert guest.complaints() == []
