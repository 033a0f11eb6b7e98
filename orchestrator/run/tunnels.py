# SPDX-License-Identifier: Apache-2.0
"""The tunnels of a trial: the variant's module, devices, peers, handshakes, and their end."""

from typing import Any

from orchestrator.kernel.variants import Variant
from orchestrator.run import layout
from orchestrator.run.roles import placement_of
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.protocol import Testbed, patience
from orchestrator.testbed.remote import together

# Each is for real processors, and longer on a testbed that needs patience.
HANDSHAKE_TIMEOUT_S = 10.0
HANDSHAKE_S = 0.05  # and so much more for each tunnel


def load_variant(testbed: Testbed, variant: Variant) -> str:
    """Have the variant's module in the kernels of both gateways; returns its build id, or both."""
    wanted = {}
    for host in placement_of(testbed).hosts_of(GATEWAYS):
        module = testbed.module(variant.build, host)
        wanted[host] = {"module": module.path, "build_id": module.build_id, "parameters": variant.settings}
    loaded = together(testbed.agents, "variant", wanted)
    return ", ".join(sorted({answer["build_id"] for answer in loaded.values()}))


def make_tunnels(testbed: Testbed, topology: str, tunnels: int, variant: Variant) -> None:
    """Make and configure so many tunnels between the gateways, whose kernels have the variant's module."""
    placement = placement_of(testbed)
    patience_s = 30 + 0.2 * tunnels
    devices = placement.split(layout.tunnel_devices(tunnels))
    made = together(testbed.agents, "tunnels", {h: {"gateways": part} for h, part in devices.items()}, patience_s)
    keys = {role: public for answer in made.values() for role, public in answer["public_keys"].items()}
    pinned = {role: testbed.cpus[placement.host_of(role)] for role in GATEWAYS} if variant.pinned else None
    peers = layout.tunnel_peers(topology, keys, variant.threaded, variant.settings, pinned)
    wanted = {host: {"gateways": part} for host, part in placement.split(peers).items()}
    together(testbed.agents, "peers", wanted, patience_s)


def shake_hands(testbed: Testbed, topology: str, tunnels: int, packet_size: int | None = None) -> None:
    """See that a datagram crosses every path both ways, which completes its tunnel's handshake.

    ``packet_size``: bytes of its IP packet, which must pass whole.
    """
    ends = layout.ends(topology)
    paths = [[layout.sender_address(i), layout.receiver_address(i)] for i in range(1, tunnels + 1)]
    patience_s = (HANDSHAKE_TIMEOUT_S + HANDSHAKE_S * tunnels) * patience(testbed)
    agent = testbed.agents[placement_of(testbed).host_of(ends.sender)]
    asked = {"role": ends.sender, "paths": paths, "patience_s": patience_s, "size": packet_size}
    agent.request("handshakes", timeout_s=2 * patience_s + 20, **asked)


def handshake_ages(testbed: Testbed) -> dict[str, dict[str, float | None]]:
    """Seconds since each tunnel's last handshake, by gateway and device; None for never."""
    told = _of_gateways(testbed, "handshake_times")
    return {role: devices for answer in told.values() for role, devices in answer["ages_s"].items()}


def remove_tunnels(testbed: Testbed, tunnels: int) -> None:
    """Remove all devices of tunnels, and their routes with them."""
    _of_gateways(testbed, "remove_tunnels", 30 + 0.1 * tunnels)


def _of_gateways(testbed: Testbed, operation: str, timeout_s: float = 30) -> dict[str, dict[str, Any]]:
    """An operation that takes roles, of the gateways on their hosts; the answers by host."""
    roles = placement_of(testbed).split(dict.fromkeys(GATEWAYS))
    wanted = {host: {"roles": list(here)} for host, here in roles.items()}
    return together(testbed.agents, operation, wanted, timeout_s)
