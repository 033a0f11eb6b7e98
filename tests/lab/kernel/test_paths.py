# SPDX-License-Identifier: Apache-2.0
"""The data paths of our WireGuard on a real kernel: what is delivered, once and in order, and what is not."""

import itertools
from collections.abc import Callable, Iterator

import pytest

from orchestrator.kernel.builds import Build, shipped_builds
from orchestrator.kernel.modules import lab_module
from orchestrator.progress import Silent
from tests.lab.kernel.machine import KernelMachine, machine, two_cores
from tests.lab.support import short_and_full

pytestmark = pytest.mark.lab

OWN = list(itertools.product(("queued", "inline"), repeat=2))
BATCHED = ("batched", "batched")
# Receive only: packets delivered by a work item, and polls that decrypt what they would wait for.
RECEIVE = [("queued", "workqueue"), ("queued", "steal")]
PATHS = [*OWN, BATCHED, *RECEIVE]
SELF_TESTS = 4  # upstream's three, and that of aead.c
PAIRS = [*itertools.product(OWN, repeat=2), (BATCHED, BATCHED), (BATCHED, ("queued", "queued"))]
PAIRS += [(path, path) for path in RECEIVE]
# Of a tunnel's four settings, any three meet in every way that they can in the half whose inline ones are even.
SHORT = [pair for pair in PAIRS if pair not in itertools.product(OWN, repeat=2) or str(pair).count("inline") % 2 == 0]
SEGMENTS = list(itertools.product(("inline", "batched"), ("queued", "inline", "batched")))  # sender and receiver
SHORT_SEGMENTS = [BATCHED, ("batched", "queued")]
THREADED = [(path, threaded) for threaded in (0, 1) for path in PATHS]


def alternately(paths: list[tuple[str, str]]) -> list[tuple[tuple[str, str], int]]:
    """Each of the paths once, every other one with threaded polls."""
    return [(path, index % 2) for index, path in enumerate(paths)]


@pytest.fixture(scope="module")
def guest() -> Iterator[KernelMachine]:
    with machine(two_cores()) as booted:
        booted.load("multitunnel")
        yield booted
        assert booted.complaints() == []
        booted.run("rmmod wireguard")


def test_a_device_keeps_what_was_chosen_when_it_was_made(guest: KernelMachine) -> None:
    show = "cat /sys/class/net/wg7/wireguard/{transmit,receive}"
    parameters = "/sys/module/wireguard/parameters"
    said = guest.run(
        f"set -e; cat {parameters}/*; echo inline >{parameters}/transmit; ip link add wg7 type wireguard; "
        f"echo queued >{parameters}/transmit; bash -c '{show}'; ip link del wg7; ip link add wg7 type wireguard; "
        f"bash -c '{show}'; ip link del wg7; for wrong in transmit=steal "
        f"transmit=workqueue receive=fast; do if echo ${{wrong#*=}} >{parameters}/${{wrong%=*}}; then exit 1; fi; done "
        f"2>/dev/null; cat {parameters}/*"
    )
    assert said.split() == ["queued", "queued", "inline", "queued", "queued", "queued", "queued", "queued"]


def test_the_self_tests_of_the_module_pass() -> None:
    """Ours and upstream's, which run where a module that was built for it is loaded."""
    shipped = shipped_builds()["multitunnel"]
    files = dict(shipped.files)
    patch = b"-wireguard-y := main.o\n+ccflags-y += -DDEBUG\n+wireguard-y := main.o\n wireguard-y += noise.o\n"
    head = b"--- a/drivers/net/wireguard/Makefile\n+++ b/drivers/net/wireguard/Makefile\n@@ -3,2 +3,3 @@\n"
    files |= {"patches/debug.patch": head + patch, "series": files["series"] + b"debug.patch\n"}
    module = lab_module(Build("self-tests", shipped.name, files), Silent())
    with machine(1) as guest:
        guest.put({"self-tests.ko": module.path / "wireguard.ko"}, "/run/modules")
        guest.load("self-tests")
        assert guest.run("dmesg").count("self-tests: pass") == SELF_TESTS
        assert guest.complaints() == []


@pytest.mark.parametrize(("paths", "threaded"), short_and_full(alternately(PATHS), THREADED))
def test_packets_that_come_on_all_cpus_at_once_are_delivered_once(
    guest: KernelMachine, paths: tuple[str, str], threaded: int
) -> None:
    found = guest.program("replay", *paths, threaded, 1500)
    assert found["captured"] == found["packets"]
    assert found["twice"] == 0
    # Queues may overflow when they all come at once: that loses packets, and must not be the rule.
    assert found["delivered"] > 0.5 * found["packets"]


@pytest.mark.parametrize(("paths", "threaded"), short_and_full(alternately(PATHS[::-1]), THREADED))
def test_bad_messages_are_dropped_and_the_tunnel_lives(
    guest: KernelMachine, paths: tuple[str, str], threaded: int
) -> None:
    found = guest.program("fuzz", *paths, threaded, 4000, 20261123 + threaded)
    assert (found["delivered"], found["counted"]) == (0, 0)
    assert found["alive"]


@pytest.mark.parametrize(("end_a", "end_b"), short_and_full(SHORT, PAIRS))
def test_every_pair_of_paths_carries_traffic_in_order(
    guest: KernelMachine, end_a: tuple[str, str], end_b: tuple[str, str], record_property: Callable[[str, object], None]
) -> None:
    threaded = PATHS.index(end_a) % 2
    found = guest.program("flows", *end_a, *end_b, threaded, 2)
    record_property("found", found)
    assert min(found["tcp_bps"]) > 10e6
    assert found["sent"] > 50
    assert (found["out_of_order"], found["twice"]) == (0, 0)
    assert found["lost"] < 0.2 * found["sent"]


@pytest.mark.parametrize(("transmit", "receive"), short_and_full(SHORT_SEGMENTS, SEGMENTS))
def test_the_segments_of_a_tcp_sender_are_those_that_it_would_send(
    guest: KernelMachine, transmit: str, receive: str
) -> None:
    """Their checksums too, which no receiver of a tunnel looks at."""
    for found in guest.program("segments", transmit, receive, 3_000_001).values():
        assert (found["wrong"], found["missing"], found["same"]) == ([], 0, True)
        assert found["largest"] > 1300
        assert found["pushed"] < 0.5 * found["segments"]
        assert 1 <= found["finished"] < 5
        assert found["again"] < 0.2 * found["segments"]
        if (transmit, receive) == BATCHED:  # what was sent as one packet is received as one
            assert found["datagrams"] < 0.3 * found["segments"]
        else:
            assert found["datagrams"] >= found["segments"]


def test_full_packets_are_encrypted_by_avx_512_where_there_is_one(guest: KernelMachine) -> None:
    (flags,) = {line for line in guest.run("cat /proc/cpuinfo").splitlines() if line.startswith("flags")}
    has_it = {"avx512f", "avx512bw", "avx512vl", "avx512ifma", "avx512_vbmi2", "bmi2"} <= set(flags.split())
    assert ("encrypt full packets with AVX-512" in guest.run("dmesg")) == has_it


@pytest.mark.skipif(two_cores() < 2, reason="takes two CPUs")
@pytest.mark.parametrize(("receive", "threaded"), [("queued", 0), ("queued", 1), ("workqueue", 0), ("steal", 0)])
def test_queued_work_stays_on_the_cpus_that_a_device_is_confined_to(
    guest: KernelMachine, receive: str, threaded: int
) -> None:
    found = guest.program("confine", receive, threaded)
    assert found["running"]
    assert found["refused"] == 3
    workers = {"wg_packet_decrypt_worker", "wg_packet_encrypt_worker", "wg_packet_tx_worker"}
    if receive == "workqueue":
        workers.add("wg_packet_rx_worker")
    assert (found["stolen"] > 0) == (receive == "steal")
    for mask, cpus in (("1", [1]), ("0", [0])):
        (seen,) = found["seen"][mask]
        assert set(seen) == workers
        assert all(where == cpus for where in seen.values())
    for seen in found["seen"]["0-1"]:
        assert seen["wg_packet_encrypt_worker"] == [0, 1]
