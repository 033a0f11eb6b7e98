# SPDX-License-Identifier: Apache-2.0
"""The tunnels of a trial, of any system: creating, checking, renewing and removing them."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from orchestrator.agent.messages import Request
from orchestrator.agent.network_messages import HandshakesRequest, HandshakeTimesRequest, RemoveTunnelsRequest
from orchestrator.agent.traffic_messages import QuietRequest
from orchestrator.kernel.variants import Variant
from orchestrator.measure import layout
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.roles import ask_roles, placement_of
from orchestrator.spec import GATEWAYS, REKEY_AFTER_S, REKEY_MARGIN_S
from orchestrator.systems import system_of
from orchestrator.testbed.protocol import OpenTestbed, slowness
from orchestrator.testbed.remote import AgentFailure, request_all

Answer = TypeVar("Answer")

# For real processors; slow hosts get more.
HANDSHAKE_TIMEOUT_S = 10.0
HANDSHAKE_S = 0.05  # in addition, for each tunnel


@dataclass(frozen=True, slots=True)
class Peers:
    """What WireGuard on the gateways knows about its peers.

    ``ages_s``: {gateway: {peer: seconds since its last handshake, None for never}}, where a peer is named after its
    device, or ``wg0/N`` for tunnel N on a device that tunnels share; ``clock_s``: {gateway: the time of that reading by
    its host's clock}. Where gateway-b has one device for all tunnels, ``received_bytes`` and ``sent_bytes``: {tunnel:
    bytes on the wire, without outer headers, since the tunnel was made}; elsewhere empty. ``ports``: {gateway: {peer:
    the UDP port to which its packets go}}.
    """

    ages_s: Mapping[str, Mapping[str, float | None]]
    clock_s: Mapping[str, float]
    received_bytes: Mapping[int, int] = field(default_factory=dict)
    sent_bytes: Mapping[int, int] = field(default_factory=dict)
    ports: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


def make_tunnels(testbed: OpenTestbed, net: layout.Net, tunnels: int, variant: Variant) -> None:
    """Create and configure ``tunnels`` tunnels between the gateways, whose kernels have what the variant needs."""
    system_of(variant).create(testbed, net, tunnels, variant)


def shake_hands(testbed: OpenTestbed, topology: str, tunnels: int, packet_size: int | None = None) -> None:
    """Check that a datagram crosses every path both ways, which completes its tunnel's handshake.

    ``packet_size``: bytes of its IP packet, which must pass unfragmented.
    """
    ends = layout.ends(topology)
    paths = [[layout.sender_address(i), layout.receiver_address(i)] for i in range(1, tunnels + 1)]
    patience_s = (HANDSHAKE_TIMEOUT_S + HANDSHAKE_S * tunnels) * slowness(testbed)
    agent = testbed.agents[placement_of(testbed).host_of(ends.sender)]
    agent.request(HandshakesRequest(ends.sender, paths, patience_s, packet_size), timeout_s=2 * patience_s + 20)


def keep_young(attempt: Attempt) -> None:
    """Ensure that no rekey falls due while traffic runs: renew the tunnels if a handshake is too old.

    The time since the first handshake bounds their age, so the gateways are asked only if that bound is not enough.
    Does nothing if the spec allows rekeys or the system has none. Raises AgentFailure if even new handshakes would be
    too old.
    """
    if not attempt.rekeys or "rekey" in attempt.conditions.limits.report_only:
        return
    traffic, seconds = attempt.trial.traffic, attempt.phases.seconds
    needed = traffic.warm_up_s + traffic.duration_s + REKEY_MARGIN_S
    if sum(seconds.get(name, 0.0) for name in ("tunnels", "handshakes", "servers")) + needed < REKEY_AFTER_S:
        return
    if _oldest(attempt.testbed) + needed < REKEY_AFTER_S:
        return
    renew_tunnels(attempt)
    expect_quiet(attempt)
    attempt.phases.done("handshakes again")
    oldest = _oldest(attempt.testbed)
    if oldest + needed >= REKEY_AFTER_S:
        raise AgentFailure(
            f"The oldest handshake is {oldest:.0f} s old and the traffic takes {needed - REKEY_MARGIN_S:g} s: a rekey "
            f"would fall into it (WireGuard rekeys after {REKEY_AFTER_S:g} s). Ask for a shorter duration or fewer "
            "tunnels, or allow it: limits.report_only: [rekey]."
        )


def expect_quiet(attempt: Attempt) -> None:
    """Have the hosts begin again to count packets before the traffic: those so far were of handshakes."""
    request_all(attempt.testbed.agents, {host: QuietRequest() for host in attempt.hosts})


def renew_tunnels(attempt: Attempt, packet_size: int | None = None) -> None:
    """Recreate a trial's tunnels, with new keys and handshakes; ``packet_size`` as in `shake_hands`."""
    assert attempt.variant is not None
    tunnels = attempt.trial.levels.tunnels
    remove_tunnels(attempt.testbed, tunnels)
    make_tunnels(attempt.testbed, attempt.net, tunnels, attempt.variant)
    shake_hands(attempt.testbed, attempt.trial.topology, tunnels, packet_size)


def _oldest(testbed: OpenTestbed) -> float:
    """Return the seconds since the oldest of the tunnels' handshakes; infinite if a tunnel has none."""
    ages = [age for devices in peers_now(testbed).ages_s.values() for age in devices.values()]
    return max((math.inf if age is None else age for age in ages), default=math.inf)


def peers_now(testbed: OpenTestbed) -> Peers:
    """Ask both gateways about WireGuard's peers."""
    told = _of_gateways(testbed, HandshakeTimesRequest).values()
    carried = {role: peers for answer in told for role, peers in answer["carried_bytes"].items()}
    return Peers(
        ages_s={role: peers for answer in told for role, peers in answer["ages_s"].items()},
        clock_s={role: answer["clock_s"] for answer in told for role in answer["ages_s"]},
        received_bytes={_number(name): received for name, (received, _) in carried.get(layout.HUB, {}).items()},
        sent_bytes={_number(name): sent for name, (_, sent) in carried.get(layout.HUB, {}).items()},
        ports={role: peers for answer in told for role, peers in answer["ports"].items()},
    )


def _number(peer: str) -> int:
    """Return the tunnel of a peer of a shared device, such as 3 for wg0/3."""
    return int(peer.rpartition("/")[2])


def remove_tunnels(testbed: OpenTestbed, tunnels: int) -> None:
    """Remove all tunnel devices with their routes, and IPsec's state that is not part of a device."""
    _of_gateways(testbed, RemoveTunnelsRequest, 30 + 0.1 * tunnels)


def _of_gateways(
    testbed: OpenTestbed, request_of: Callable[[list[str]], Request[Answer]], timeout_s: float = 30
) -> dict[str, Answer]:
    """Ask the gateways for an operation that takes roles; return the answers by host."""
    return ask_roles(testbed, dict.fromkeys(GATEWAYS), lambda part: request_of(list(part)), timeout_s)
