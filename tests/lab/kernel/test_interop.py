# SPDX-License-Identifier: Apache-2.0
"""Our data paths against other WireGuards, a machine each: upstream's module, and wireguard-go in user space."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.lab.kernel.machine import KernelMachine, two_machines

pytestmark = pytest.mark.lab

PORT, MTU = 51820, 1420
LINK = ("198.18.0.1", "198.18.0.2")
TUNNEL = ("10.1.0.1", "10.1.0.2")
REKEY_AFTER_S = 120  # of a session that still sends: section 6.1 of the WireGuard paper
TRANSMIT = ["inline", "batched"]
# What TCP carries at least, in bit/s, each way and both at once: a program in user space is slow in User-Mode Linux.
OTHERS = {"upstream": 10e6, "wireguard-go": 1e6}
SHORT = [("inline", "upstream"), ("batched", "wireguard-go")]  # in the short tests: each once
# Two minutes each: half of all combinations, with every pair of values once. The last value: which end begins.
REKEYED = [(path, other, (i + j) % 2) for i, path in enumerate(TRANSMIT) for j, other in enumerate(OTHERS)]
UDP_RATE = 5_000_000  # bit/s each way, beside TCP as fast as it goes
Pair = tuple[KernelMachine, KernelMachine]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with two_machines() as machines:
        for machine, address in zip(machines, LINK, strict=True):
            machine.run(f"ip addr add {address}/24 dev vec1 && ip link set vec1 up")
        yield machines
        assert [machine.complaints() for machine in machines] == [[], []]


def connect(pair: Pair, transmit: str, other: str, initiator: int = 0) -> None:
    """Join our module, receiving as it transmits, on the first machine to ``other`` on the second by a fresh tunnel.

    ``initiator``: which of the pair begins the handshake.
    """
    ours, theirs = pair
    for machine in pair:
        machine.run("pids=$(pidof iperf3 wireguard-go) && kill $pids; sleep 0.2; ip link del wg1 2>/dev/null; true")
    ours.load("multitunnel", transmit, transmit)
    ours.run("ip link add wg1 type wireguard")
    if other == "wireguard-go":
        theirs.run("mkdir -p /run/wireguard; wireguard-go wg1 >/run/wireguard-go.log 2>&1")
    else:
        theirs.load(other)
        theirs.run("ip link add wg1 type wireguard")
    keys = []
    for machine, address in zip(pair, TUNNEL, strict=True):
        machine.run(
            f"set -e; umask 077; wg genkey >/run/key; wg set wg1 private-key /run/key listen-port {PORT}; "
            f"ip addr add {address}/24 dev wg1; ip link set wg1 mtu {MTU} up; iperf3 -s -D -p 1; iperf3 -s -D -J -p 2"
        )
        keys.append(machine.run("wg pubkey </run/key").strip())
    for machine, key, endpoint, address in zip(pair, keys[::-1], LINK[::-1], TUNNEL[::-1], strict=True):
        machine.run(f"wg set wg1 peer {key} endpoint {endpoint}:{PORT} allowed-ips {address}/32")
    pair[initiator].run(f"ping -c 3 -i 0.2 -W 5 {TUNNEL[1 - initiator]}")


def loaded(pair: Pair, seconds: int) -> dict[str, Any]:
    """TCP both ways as fast as it goes, and UDP both ways beside it: what the receivers counted."""
    client = f"iperf3 -J -c {TUNNEL[1]} --bidir -t {seconds}"
    said = pair[0].run(
        f"{client} -p 1 >/run/tcp.json & {client} -p 2 -u -b {UDP_RATE} -l 1200 --get-server-output >/run/udp.json; "
        "wait; cat /run/tcp.json; echo =; cat /run/udp.json",
        timeout_s=seconds + 60,
    )
    tcp, udp = map(json.loads, said.split("\n=\n"))
    there, back = udp["server_output_json"], udp  # each end counts what it receives
    ends = [
        next(stream["udp"] for stream in end["end"]["streams"] if not stream["udp"]["sender"]) for end in (there, back)
    ]
    return {
        "tcp_bps": [tcp["end"][name]["bits_per_second"] for name in ("sum_received", "sum_received_bidir_reverse")],
        **{name: [one[name] for one in ends] for name in ("packets", "lost_packets", "out_of_order")},
        "arrived": [arrived(there), arrived(back)],
    }


def arrived(end: dict[str, Any]) -> list[int]:
    """Return the number of UDP packets that an end received in each second."""
    return [
        stream["packets"] - stream["lost_packets"]
        for interval in end["intervals"]
        for stream in interval["streams"]
        if not stream["sender"]
    ]


def check(found: dict[str, Any], other: str) -> None:
    assert min(found["tcp_bps"]) > OTHERS[other]
    assert min(found["packets"]) > 500
    assert found["out_of_order"] == [0, 0]
    # TCP fills every queue, so that many are lost if the computer is busy; what is asked is that the flow goes on.
    for packets in found["arrived"]:
        assert sum(packets) > 250
        assert sum(packets[-10:]) > 0


@pytest.mark.parametrize(
    ("transmit", "other"),
    [
        pytest.param(transmit, other, marks=[] if (transmit, other) in SHORT else [pytest.mark.full])
        for transmit in TRANSMIT
        for other in OTHERS
    ],
)
def test_traffic_passes_both_ways_and_in_order(
    pair: Pair, transmit: str, other: str, record_property: Callable[[str, object], None]
) -> None:
    connect(pair, transmit, other)
    found = loaded(pair, 2)
    record_property("found", found)
    check(found, other)


@pytest.mark.full
@pytest.mark.beside
@pytest.mark.parametrize(("transmit", "other", "initiator"), REKEYED)
def test_keys_change_under_load(
    pair: Pair, transmit: str, other: str, initiator: int, record_property: Callable[[str, object], None]
) -> None:
    """The end that began the first handshake begins the next: REKEY_AFTER_S later, while traffic passes."""
    connect(pair, transmit, other, initiator)
    first = handshakes(pair)
    found = loaded(pair, REKEY_AFTER_S + 15)
    record_property("found", found)
    check(found, other)
    changes = [now - before for now, before in zip(handshakes(pair), first, strict=True)]
    assert min(changes) >= REKEY_AFTER_S - 10


def handshakes(pair: Pair) -> list[int]:
    """When each end's last handshake was, in seconds since the epoch."""
    return [int(machine.run("wg show wg1 latest-handshakes").split()[1]) for machine in pair]
