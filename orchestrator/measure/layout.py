# SPDX-License-Identifier: Apache-2.0
"""Addresses, links and routes of a topology, as requests for the agents. Pure.

site-to-site:        client --lan-- gateway-a ==wan== gateway-b --lan-- server
gateway-to-gateway:                 gateway-a ==wan== gateway-b

Tunnel i (from 1) is a pair of devices on the gateways, such as ``wg<i>`` of WireGuard, and carries one subnet a side.
Where they share a device, gateway-b has ``wg0`` with a peer for each tunnel instead. Links use the range for benchmarks
(198.18.0.0/15, RFC 2544), of which systems may use 198.19.0.0/16 for outer addresses of their own; the subnets of
tunnels are in 10.64.0.0/11 on side a, in 10.128.0.0/11 on b. With paths ecmp, subnet 0 of either side (``SHARED``) is
behind all tunnels at once, and the others remain for handshakes. Where the traffic is IPv6, everything has an address
in fd6f:7263:6800::/40 (RFC 4193) as well; tunnels' outer packets are IPv4.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from orchestrator.plan import Trial
from orchestrator.spec import GATEWAYS, LINKS, tool_of
from orchestrator.spec.fields import DEFAULT_MTU, LINK_MTU
from orchestrator.spec.varied import SHARED_DEVICE, TUNNEL_DEVICE, TUNNEL_MTU

Part = TypeVar("Part")

SITE_TO_SITE = "site-to-site"
GATEWAY_TO_GATEWAY = "gateway-to-gateway"

WAN = {"gateway-a": "198.18.0.1", "gateway-b": "198.18.0.2"}
LAN_GATEWAY = {"gateway-a": "198.18.1.1", "gateway-b": "198.18.2.1"}
LAN_END = {"client": "198.18.1.2", "server": "198.18.2.2"}
_PREFIX6 = "fd6f:7263:68"  # and the side, or ff for links
_LINK6 = {"198.18.0.": "0", "198.18.1.": "1", "198.18.2.": "2"}
SHARED = 0  # the number of the subnet behind all tunnels, and of the device that they share
HUB = GATEWAYS[1]  # the gateway whose tunnels may share a device


@dataclass(frozen=True, slots=True)
class Ends:
    """The roles at which the traffic starts and ends."""

    sender: str
    receiver: str


def ends(topology: str) -> Ends:
    """Return the roles at both ends of a topology."""
    return Ends("client", "server") if topology == SITE_TO_SITE else Ends(*GATEWAYS)


def roles(topology: str) -> tuple[str, ...]:
    """Return the roles that a topology uses, from the sender to the receiver."""
    return ("client", *GATEWAYS, "server") if topology == SITE_TO_SITE else GATEWAYS


def inner_address(side: int, tunnel: int, version: int) -> str:
    if version == 6:
        return str(ipaddress.IPv6Address(f"{_PREFIX6}{side:02x}:{tunnel:x}::1"))
    return f"10.{(64, 128)[side] + tunnel // 256}.{tunnel % 256}.1"


def inner_network(side: int, tunnel: int, version: int) -> str:
    length = 64 if version == 6 else 24
    return str(ipaddress.ip_network(f"{inner_address(side, tunnel, version)}/{length}", strict=False))


def sender_address(tunnel: int, version: int = 4) -> str:
    """Return the inner address at the sending end of a tunnel."""
    return inner_address(0, tunnel, version)


def receiver_address(tunnel: int, version: int = 4) -> str:
    """Return the inner address at the receiving end of a tunnel."""
    return inner_address(1, tunnel, version)


def on_link(address: str, version: int) -> str:
    """Return a link address itself, or its counterpart in IPv6."""
    if version == 4:
        return address
    start, _, end = address.rpartition(".")
    return str(ipaddress.IPv6Address(f"{_PREFIX6}ff:{_LINK6[start + '.']}::{end}"))


@dataclass(frozen=True, slots=True)
class Net:
    """The addressing and routing of an experiment: its topology, its traffic's paths and its IP version.

    ``mtu``: bytes of the largest IP packet in a tunnel. ``sourced``: the ends send to each tunnel's far end from their
    own address of that tunnel, even if a program binds to none. ``devices``: the prefix of tunnel device names.
    ``shared``: gateway-b has one WireGuard device for all tunnels, with a peer for each.
    """

    topology: str
    paths: str = "subnets"
    version: int = 4
    mtu: int = DEFAULT_MTU
    sourced: bool = False
    devices: str = "wg"
    shared: bool = False

    @property
    def link_mtu(self) -> int:
        """The MTU of the links in bytes: the usual one, or more for tunnels whose packets do not fit into it."""
        return max(LINK_MTU, self.mtu + LINK_MTU - DEFAULT_MTU)

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions in which every device has addresses."""
        return (4,) if self.version == 4 else (4, 6)

    def device(self, tunnel: int, gateway: str = GATEWAYS[0]) -> str:
        """Return the device of a tunnel on a gateway."""
        return device(SHARED if self.shares(gateway) else tunnel, self.devices)

    def shares(self, gateway: str) -> bool:
        """Return True if a gateway has one device for all tunnels."""
        return self.shared and gateway == HUB

    def subnets(self, tunnels: int) -> range:
        """Return the numbers of the subnets on either side."""
        return range(SHARED if self.paths == "ecmp" else 1, tunnels + 1)


def net_of(trial: Trial, devices: str = "wg") -> Net:
    """Return the addressing and routing of a trial; ``devices`` as in `Net`."""
    levels, traffic = trial.levels, trial.traffic
    mtu = int(levels.get(TUNNEL_MTU, DEFAULT_MTU))
    shared = levels.get(TUNNEL_DEVICE) == SHARED_DEVICE
    sourced = not tool_of(traffic).binds
    return Net(trial.topology, traffic.routed_by, traffic.version, mtu, sourced, devices, shared)


def receiver_subnet(tunnel: int) -> str:
    """Return the network address, of 24 bits, at the receiving end of a tunnel."""
    return inner_network(1, tunnel, 4).partition("/")[0]


def device(tunnel: int, devices: str = "wg") -> str:
    """Return the device of a tunnel, on either gateway; ``devices`` is the prefix of the system's device names."""
    return f"{devices}{tunnel}"


@dataclass(frozen=True, slots=True)
class Placement:
    """The hosts of the roles.

    ``hosts``: (name, roles) of each; ``nics``: {host: {link: interface}} for links between hosts.
    """

    hosts: Sequence[tuple[str, Sequence[str]]]
    nics: Mapping[str, Mapping[str, str]]

    def host_of(self, role: str) -> str:
        """Return the host that has a role."""
        return next(name for name, roles in self.hosts if role in roles)

    def hosts_of(self, wanted: Sequence[str]) -> list[str]:
        """Return the hosts that have any of the ``wanted`` roles, each once."""
        return list(dict.fromkeys(self.host_of(role) for role in wanted))

    def split(self, by_role: Mapping[str, Part]) -> dict[str, dict[str, Part]]:
        """Return {role: x} as {host: {role: x}}."""
        parts: dict[str, dict[str, Part]] = {}
        for role, value in by_role.items():
            parts.setdefault(self.host_of(role), {})[role] = value
        return parts


def wan_address(gateway: str) -> str:
    """Return the address of a gateway on the link between the gateways."""
    return WAN[gateway]


def device_of(link: str) -> str:
    """Return the name of a link's device in the namespaces at its ends."""
    return "wan0" if link == "wan" else "lan0"


def generator_device(role: str) -> str:
    """Return the interface over which a role at an end of the topology reaches its gateway."""
    return device_of(next(link for link, roles in LINKS.items() if role in roles))
