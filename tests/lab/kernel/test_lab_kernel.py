# SPDX-License-Identifier: Apache-2.0
"""What the patches of the lab kernel mend, where no other test of the lab would notice its return."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.lab.kernel.machine import KernelMachine, machine

pytestmark = [pytest.mark.lab, pytest.mark.beside]


@pytest.fixture(scope="module")
def guest() -> Iterator[KernelMachine]:
    """One virtual CPU, and a device vec7 that has no interface of the host behind it and never comes up."""
    with machine(1, more=("vec7:transport=raw,ifname=absent",)) as booted:
        yield booted
        assert booted.complaints() == []


def test_an_interface_that_is_down_can_be_asked_for_rings_and_statistics(guest: KernelMachine) -> None:
    guest.run("ethtool -g vec7; ethtool -S vec7")
    guest.run("if ip link set vec7 up; then exit 1; fi; ethtool -g vec7; ethtool -S vec7")
    # vec0 carries the SSH connection and comes back.
    guest.run("ip link set vec0 down; ethtool -g vec0; ethtool -S vec0; ip link set vec0 up")
    assert "tx_queue_max" in guest.run("ethtool -S vec0")


DEVICES = ["ifb", "vxlan id 1 dstport 4789", "gre local 192.0.2.1 remote 192.0.2.2", "xfrm dev lo if_id 7"]
ESP = {
    "aead 'rfc4106(gcm(aes))' 0x000102030405060708090a0b0c0d0e0f10111213 128": "rfc4106-gcm-",
    f"aead 'rfc7539esp(chacha20,poly1305)' 0x{'ab' * 36} 128": "rfc7539esp",
}


def test_other_tunnels_and_shaped_links_can_be_made(guest: KernelMachine) -> None:
    for number, kind in enumerate(DEVICES):
        guest.run(f"ip link add t{number} type {kind} && ip link set t{number} up")
    guest.run(
        "set -e; tc qdisc add dev t0 root handle 1: tbf rate 100mbit burst 32k latency 10ms; "
        "tc qdisc add dev t0 parent 1:1 netem delay 5ms; tc qdisc add dev t1 ingress; "
        "tc filter add dev t1 ingress matchall action mirred egress redirect dev t0"
    )
    for spi, (cipher, driver) in enumerate(ESP.items(), 0x100):
        guest.run(f"ip xfrm state add src 192.0.2.1 dst 192.0.2.2 proto esp spi {spi} mode tunnel {cipher}")
        assert driver in guest.run("cat /proc/crypto")
    guest.run("ip -6 route add 2001:db8::/32 from 2001:db8:1::/48 dev lo")  # a source in a route
    assert "aes" in guest.run("dmesg | grep 'orch-lab: crypto'")


def test_what_a_disk_answers_beside_traffic_is_never_lost(guest: KernelMachine) -> None:
    # One virtual CPU: interrupts of the disk come while it handles those of the network, and while it goes to sleep. A
    # read whose interrupt was lost waited for the next that came by chance: seconds, or for ever.
    command = ["ssh", *guest.lab.ssh_options(), f"root@{guest.name}", "cat"]
    with open("/dev/zero", "rb") as zeros:
        traffic = subprocess.Popen(command, stdin=zeros, stdout=subprocess.DEVNULL)
    try:
        beside = guest.program("reads", 10, timeout_s=120)
    finally:
        traffic.kill()
        traffic.wait()
    alone = guest.program("reads", 3, timeout_s=120)
    assert min(beside["reads"], alone["reads"]) > 100
    assert max(beside["longest_s"], alone["longest_s"]) < 5
