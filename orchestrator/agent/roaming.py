# SPDX-License-Identifier: Apache-2.0
"""Peers that roam: a gateway changes the UDP ports of its tunnels while traffic runs."""

import struct
import time

from orchestrator.agent.host import inside
from orchestrator.agent.netlink import WGDEVICE_LISTEN_PORT, WireGuardNetlink, attribute
from orchestrator.agent.traffic_messages import PortChange, Roam


class Roaming:
    """Moves the tunnels of a role between two UDP ports each, as when a NAT renews its mapping.

    ``request``: a `Roam`. The peer learns the port from the source of the next packet (Donenfeld, WireGuard: Next
    Generation Kernel Network Tunnel, NDSS 2017, section 6.5).
    """

    def __init__(self, request: Roam):
        self.role = request["role"]
        self.every_s = request["every_s"]
        self.devices = request["devices"]
        self.moves: list[PortChange] = []

    def move(self):
        """Move every tunnel, one after another, to its other port."""
        began = time.monotonic()
        number = (len(self.moves) + 1) % 2
        with inside(self.role), WireGuardNetlink() as wireguard:
            for device, ports in self.devices.items():
                wireguard.set(device, attribute(WGDEVICE_LISTEN_PORT, struct.pack("=H", ports[number])))
        self.moves.append({"at_monotonic_s": began, "took_s": time.monotonic() - began})
