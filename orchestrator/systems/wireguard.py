# SPDX-License-Identifier: Apache-2.0
"""WireGuard: a device with one peer for each tunnel, or on gateway-b one with a peer for each, by the build of the
module that the variant loads."""

from dataclasses import dataclass

from orchestrator.kernel.variants import Variant
from orchestrator.measure import layout
from orchestrator.measure.roles import placement_of
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.protocol import Testbed
from orchestrator.testbed.remote import together

_HEADERS = 20 + 8 + 16 + 16  # IPv4, UDP, type to counter, Poly1305's tag


@dataclass(frozen=True, slots=True)
class WireGuard:
    """See `orchestrator.systems.protocol.System`."""

    name: str = "wireguard"
    devices: str = "wg"
    rekeys: bool = True

    def load(self, testbed: Testbed, variant: Variant) -> str:
        """Have the variant's module in the kernels of both gateways; returns its build id, or both."""
        wanted = {}
        for host in placement_of(testbed).hosts_of(GATEWAYS):
            module = testbed.module(variant.build, host)
            wanted[host] = {"module": module.path, "build_id": module.build_id, "parameters": variant.settings}
        loaded = together(testbed.agents, "variant", wanted)
        return ", ".join(sorted({answer["build_id"] for answer in loaded.values()}))

    def create(self, testbed: Testbed, net: layout.Net, tunnels: int, variant: Variant) -> None:
        """Make and configure so many devices, whose kernels have the variant's module."""
        placement = placement_of(testbed)
        patience_s = 30 + 0.2 * tunnels
        devices = placement.split(layout.tunnel_devices(net, tunnels))
        made = together(testbed.agents, "tunnels", {h: {"gateways": part} for h, part in devices.items()}, patience_s)
        keys = {role: public for answer in made.values() for role, public in answer["public_keys"].items()}
        pinned = {role: testbed.cpus[role] for role in GATEWAYS} if variant.pinned else None
        peers = layout.tunnel_peers(net, keys, variant.threaded, variant.settings, pinned)
        wanted = {host: {"gateways": part} for host, part in placement.split(peers).items()}
        together(testbed.agents, "peers", wanted, patience_s)

    def outer_bytes(self, inner_bytes: int) -> int:
        """The packet is padded to a multiple of 16 bytes, as far as the device's MTU allows. (send.c)"""
        return _HEADERS + -(-inner_bytes // 16) * 16
