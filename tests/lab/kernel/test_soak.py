# SPDX-License-Identifier: Apache-2.0
"""Peers, devices, links and settings that come and go under traffic, on the kernel that checks locks and memory.

Ten minutes; ORCH_SOAK_SECONDS makes it another time.
"""

import os

import pytest

from tests.lab.kernel.machine import machine, two_cores

pytestmark = [pytest.mark.lab, pytest.mark.full]

SECONDS = int(os.environ.get("ORCH_SOAK_SECONDS", "600"))


def test_change_under_traffic_leaves_nothing_in_the_log() -> None:
    with machine(two_cores(), "debug") as guest:
        guest.load("multitunnel")
        assert guest.run("dmesg").count("self-tests: pass") >= 3  # WireGuard's own
        found = guest.program(
            "soak",
            SECONDS,
            20261123,
            "queued/queued,inline/inline,inline/queued,queued/inline",
            timeout_s=SECONDS + 300,
        )
        assert sum(found["changes"].values()) > SECONDS / 6
        assert found["tcp_flows"] > 0
        guest.run("rmmod wireguard")
        assert guest.complaints() == []
