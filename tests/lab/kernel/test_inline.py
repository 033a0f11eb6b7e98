# SPDX-License-Identifier: Apache-2.0
"""The inline paths under stress: starved workers, many CPUs, nested tunnels, roaming peers, replayed messages."""

from collections.abc import Iterator

import pytest

from tests.lab.kernel.machine import KernelMachine, machine

pytestmark = [pytest.mark.lab, pytest.mark.beside]

TRANSMIT = ["inline", "batched"]
CHUNK = {"inline": 16, "batched": 32}  # packets that get nonces at a time: INLINE_CHUNK and BATCHED_CHUNK in send.c


@pytest.fixture(scope="module")
def many_cpus() -> Iterator[KernelMachine]:
    # CPUs take nonces in the order in which they run, which differs from that of their clocks by up to a quantum. In
    # 20 us a CPU sends two chunks, which would count as overtaking.
    with machine(8, virtual=True, quantum_s=5e-6) as booted:
        booted.load("multitunnel")
        yield booted
        assert booted.complaints() == []
        booted.run("rmmod wireguard")


@pytest.fixture(scope="module")
def one_cpu() -> Iterator[KernelMachine]:
    """Where a process with real-time priority keeps every worker from running."""
    with machine(1) as booted:
        booted.load("multitunnel")
        yield booted
        assert booted.complaints() == []


@pytest.mark.parametrize("transmit", TRANSMIT)
def test_packets_that_had_to_wait_are_delivered_however_many_pass_them(one_cpu: KernelMachine, transmit: str) -> None:
    found = one_cpu.program("late", transmit, transmit, 50, 12_000)
    assert found["direct"] >= 12_000
    assert found["delivered"] == found["nested"]


@pytest.mark.parametrize("transmit", ["queued", *TRANSMIT])
def test_tunnels_inside_tunnels_carry_packets_however_deep(many_cpus: KernelMachine, transmit: str) -> None:
    found = many_cpus.program("nested", transmit, transmit, 6, 200)
    assert (found["delivered"], found["out_of_order"]) == (found["sent"], 0)


@pytest.mark.parametrize("transmit", TRANSMIT)
def test_packets_are_overtaken_by_no_more_than_a_chunk_of_each_cpu(many_cpus: KernelMachine, transmit: str) -> None:
    found = many_cpus.program("displaced", transmit, transmit, 60, 120)
    assert found["captured"] > 0.9 * found["cpus"] * 60 * (120 if transmit == "inline" else 120 / CHUNK[transmit])
    assert 0 < found["displaced"] <= CHUNK[transmit] * (found["cpus"] - 1)


@pytest.mark.parametrize("moves", [3, pytest.param(10, marks=pytest.mark.full)])
def test_a_peer_can_move_while_every_cpu_sends_to_it(moves: int) -> None:
    """With 32 CPUs, which never left a lock on the endpoint to a writer: the machine stood still."""
    with machine(32, virtual=True) as guest:
        guest.load("multitunnel")
        for transmit in TRANSMIT:
            found = guest.program("roam", transmit, transmit, moves, timeout_s=300)
            assert found["longest_s"] < 1.0
        assert guest.complaints() == []


@pytest.mark.full
@pytest.mark.parametrize("transmit", ["queued", *TRANSMIT])
def test_a_session_begins_while_every_cpu_sends(many_cpus: KernelMachine, transmit: str) -> None:
    """Workers make handshakes; a sender that is in softirq for long keeps them waiting, and no longer than this."""
    found = many_cpus.program("handshake", transmit, transmit, 20, timeout_s=300)
    assert found["longest_s"] < 0.5


def test_a_replay_is_not_worth_a_decryption(many_cpus: KernelMachine) -> None:
    found = many_cpus.program("stale", "inline", "inline", 9, timeout_s=300)
    assert found["delivered"] == 0
    assert found["replay_ns"] < 0.85 * found["forgery_ns"]
