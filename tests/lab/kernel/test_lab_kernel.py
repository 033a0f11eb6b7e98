# SPDX-License-Identifier: Apache-2.0
"""What the patches of the lab kernel mend, where no other test of the lab would notice its return."""

import pytest

from tests.lab.kernel.machine import machine

pytestmark = pytest.mark.lab


def test_an_interface_that_is_down_can_be_asked_for_rings_and_statistics() -> None:
    # vec7 has no interface of the host behind it and never comes up; vec0 carries the SSH connection and comes back.
    with machine(1, more=("vec7:transport=raw,ifname=absent",)) as guest:
        guest.run("ethtool -g vec7; ethtool -S vec7")
        guest.run("if ip link set vec7 up; then exit 1; fi; ethtool -g vec7; ethtool -S vec7")
        guest.run("ip link set vec0 down; ethtool -g vec0; ethtool -S vec0; ip link set vec0 up")
        assert "tx_queue_max" in guest.run("ethtool -S vec0")
        assert guest.complaints() == []
