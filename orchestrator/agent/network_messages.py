# SPDX-License-Identifier: Apache-2.0
"""Requests about the roles' links and tunnels, and their answers."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.messages import Nothing, Request


class UnlinkAnswer(typing.TypedDict):
    """The outcome. ``left``: sentences on interfaces that could not be restored."""

    left: list[str]


@dataclasses.dataclass
class UnlinkRequest(Request[UnlinkAnswer]):
    """Remove the roles' namespaces until `LinksRequest` makes them again."""

    operation = "unlink"


class Namespace(typing.TypedDict):
    """The configuration of a role's namespace. ``sysctl``: {name: value}; ``ip``: lines for ip -batch."""

    sysctl: typing.Mapping[str, str]
    ip: typing.Sequence[str]


class LentNic(typing.TypedDict):
    """An interface of the host that a role gets; ``device``: its name there."""

    nic: str
    role: str
    device: str


class Steering(typing.TypedDict):
    """The CPUs that process the packets that a role's virtual links receive.

    ``receive_hash``: which part of a packet chooses among ``cpus``, None to leave that as it is; ``to_reader``: whether
    packets go to the CPU of the process that reads them, if it is one of these.
    """

    devices: list[str]
    cpus: list[int]
    receive_hash: str | None
    to_reader: bool


@dataclasses.dataclass
class LinksRequest(Request[Nothing]):
    """Create the namespaces of the roles and the links between them, from scratch.

    ``namespaces``, ``steering``: by role; ``veth``: [[role, device, role, device]]; ``nics``: interfaces for roles.
    """

    operation = "links"
    namespaces: typing.Mapping[str, Namespace]
    veth: typing.Sequence[typing.Sequence[str]]
    nics: typing.Sequence[LentNic]
    steering: typing.Mapping[str, Steering] = dataclasses.field(default_factory=dict)


class NeighbourAddresses(typing.TypedDict):
    """Addresses at the other end of a role's links."""

    addresses: typing.Sequence[str]


@dataclasses.dataclass
class NeighboursRequest(Request[Nothing]):
    """Check that roles reach the other end of their links. ``mtu``: bytes of the largest IP packet."""

    operation = "neighbours"
    roles: typing.Mapping[str, NeighbourAddresses]
    mtu: int


class Device(typing.TypedDict):
    """The name of a network device."""

    device: str


class LinkShape(Device):
    """A link's shape. ``loss``, ``reorder``: shares; ``rate_bps``: bits of frames, None: no limit; ``queue``:
    packets."""

    delay_s: float
    loss: float
    reorder: float
    rate_bps: float | None
    queue: int


@dataclasses.dataclass
class ShapeLinksRequest(Request[Nothing]):
    """Shape what each role sends over a link, and verify it by reading it back."""

    operation = "shape_links"
    roles: typing.Mapping[str, LinkShape]


@dataclasses.dataclass
class UnshapeLinksRequest(Request[Nothing]):
    """Remove the shapes of links. Does nothing for one that is not shaped."""

    operation = "unshape_links"
    roles: typing.Mapping[str, Device]


class TunnelDevice(Device):
    """A WireGuard device; ``port``: UDP."""

    port: int
    mtu: int


class TunnelsAnswer(typing.TypedDict):
    """The new devices. ``public_keys``: of each role's devices, in their order."""

    public_keys: dict[str, list[str]]


@dataclasses.dataclass
class TunnelsRequest(Request[TunnelsAnswer]):
    """Create WireGuard devices with fresh keys."""

    operation = "tunnels"
    gateways: typing.Mapping[str, typing.Sequence[TunnelDevice]]


class NetworkRoute(typing.TypedDict):
    """A route. ``to``: network; ``devices``: over which it is spread; ``via``, ``source``: addresses, or None."""

    to: str
    devices: typing.Sequence[str]
    via: str | None
    source: str | None


class Peer(Device):
    """A peer. ``public_key``: base64; ``endpoint``: address:port; ``cpus``: list for its queued work, None for all."""

    public_key: str
    endpoint: str
    allowed_ips: typing.Sequence[str]
    cpus: str | None


class GatewayPeers(typing.TypedDict):
    """A gateway's peers and settings. ``threaded``: "0" or "1"; ``device_settings``: {name: value}, which must hold."""

    peers: typing.Sequence[Peer]
    routes: typing.Sequence[NetworkRoute]
    threaded: str
    device_settings: typing.Mapping[str, str]


@dataclasses.dataclass
class PeersRequest(Request[Nothing]):
    """Add peers to WireGuard devices, bring them up, apply settings, and add the routes."""

    operation = "peers"
    gateways: typing.Mapping[str, GatewayPeers]


@dataclasses.dataclass
class RoutesRequest(Request[Nothing]):
    """Set routes in roles."""

    operation = "routes"
    roles: typing.Mapping[str, typing.Sequence[NetworkRoute]]


@dataclasses.dataclass
class RemoveTunnelsRequest(Request[Nothing]):
    """Remove all devices that trials made in some roles."""

    operation = "remove_tunnels"
    roles: typing.Sequence[str]


class IpTunnels(typing.TypedDict):
    """Tunnels by ip(8). ``lines``: for ip -batch, create ``devices`` and bring them up; ``routes``: set afterwards."""

    lines: typing.Sequence[str]
    devices: typing.Sequence[str]
    routes: typing.Sequence[NetworkRoute]


@dataclasses.dataclass
class IpTunnelsRequest(Request[Nothing]):
    """Create tunnels by ip(8)."""

    operation = "ip_tunnels"
    gateways: typing.Mapping[str, IpTunnels]


class IpsecTunnel(Device):
    """An IPsec tunnel; ``here``, ``there``: its outer addresses."""

    number: int
    mtu: int
    here: str
    there: str


class IpsecTunnels(typing.TypedDict):
    """A gateway's tunnels. ``far``: the role at the other end; ``lines``: for ip -batch; ``families``: 4, 6 or both."""

    far: str
    lines: typing.Sequence[str]
    routes: typing.Sequence[NetworkRoute]
    families: typing.Sequence[int]
    tunnels: typing.Sequence[IpsecTunnel]


@dataclasses.dataclass
class IpsecRequest(Request[Nothing]):
    """Create IPsec tunnels.

    ``secret``: hexadecimal, from which the keys derive; ``algorithm``: as the kernel calls it; ``key_bytes``: length of
    a key with its salt; ``window``: of replay protection, in packets.
    """

    operation = "ipsec"
    gateways: typing.Mapping[str, IpsecTunnels]
    secret: str
    algorithm: str
    key_bytes: int
    window: int


class AssociationCounters(typing.TypedDict):
    """The counters of an SA. ``replay``: old or repeated packets; ``integrity``: those that fail authentication."""

    tunnel: int
    destination: str
    packets: int
    bytes: int
    replay: int
    integrity: int


class AssociationsAnswer(typing.TypedDict):
    """The SAs of roles. ``counted``: by role; ``driver``: the kernel's code for the algorithm."""

    counted: dict[str, list[AssociationCounters]]
    driver: str


@dataclasses.dataclass
class AssociationsRequest(Request[AssociationsAnswer]):
    """Read the counters of the SAs of roles, and the driver of an algorithm."""

    operation = "associations"
    roles: typing.Sequence[str]
    algorithm: str


@dataclasses.dataclass
class HandshakesRequest(Request[Nothing]):
    """Check that a datagram crosses every path from a role both ways.

    ``paths``: [[source, destination]]; ``size``: bytes of an IP packet that must also pass unfragmented, or None.
    """

    operation = "handshakes"
    role: str
    paths: typing.Sequence[typing.Sequence[str]]
    patience_s: float
    size: int | None


class HandshakeTimesAnswer(typing.TypedDict):
    """The state of WireGuard's peers, {role: {peer: ...}}.

    ``ages_s``: seconds since its last handshake, None for never; ``ports``: the UDP port to which its packets go;
    ``carried_bytes``: [received, sent], for shared devices only. ``clock_s``: the host's clock.
    """

    ages_s: dict[str, dict[str, float | None]]
    ports: dict[str, dict[str, int]]
    carried_bytes: dict[str, dict[str, list[int]]]
    clock_s: float


@dataclasses.dataclass
class HandshakeTimesRequest(Request[HandshakeTimesAnswer]):
    """Read what WireGuard in some roles knows of its peers."""

    operation = "handshake_times"
    roles: typing.Sequence[str]
