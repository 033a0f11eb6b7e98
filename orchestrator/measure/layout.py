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
from typing import Any

from orchestrator.plan import Trial
from orchestrator.spec import GATEWAYS, LINKS, RSS, STEERED, VETH, LinkKind, tool_of
from orchestrator.spec.fields import DEFAULT_MTU
from orchestrator.spec.varied import SHARED_DEVICE, TUNNEL_DEVICE, TUNNEL_MTU

SITE_TO_SITE = "site-to-site"
GATEWAY_TO_GATEWAY = "gateway-to-gateway"
LINK_MTU = 1500  # what every link must carry

_WAN = {"gateway-a": "198.18.0.1", "gateway-b": "198.18.0.2"}
_LAN_GATEWAY = {"gateway-a": "198.18.1.1", "gateway-b": "198.18.2.1"}
_LAN_END = {"client": "198.18.1.2", "server": "198.18.2.2"}
_PREFIX6 = "fd6f:7263:68"  # and the side, or ff for links
_LINK6 = {"198.18.0.": "0", "198.18.1.": "1", "198.18.2.": "2"}
# What a route over a tunnel names as the next hop, which IPv6 wants for more than one (RFC 4291); WireGuard has no use
# for it.
_ANY_HOP6 = "fe80::1"
SHARED = 0  # the number of the subnet that is behind all tunnels, and of the device that they share
HUB = GATEWAYS[1]  # the gateway whose tunnels may share a device


@dataclass(frozen=True, slots=True)
class Ends:
    """Which roles start and end the traffic."""

    sender: str
    receiver: str


def ends(topology: str) -> Ends:
    """The roles at both ends of a topology."""
    return Ends("client", "server") if topology == SITE_TO_SITE else Ends(*GATEWAYS)


def roles(topology: str) -> tuple[str, ...]:
    """The roles that a topology uses, from the sender to the receiver."""
    return ("client", *GATEWAYS, "server") if topology == SITE_TO_SITE else GATEWAYS


def _address(side: int, tunnel: int, version: int) -> str:
    if version == 6:
        return str(ipaddress.IPv6Address(f"{_PREFIX6}{side:02x}:{tunnel:x}::1"))
    return f"10.{(64, 128)[side] + tunnel // 256}.{tunnel % 256}.1"


def _network(side: int, tunnel: int, version: int) -> str:
    length = 64 if version == 6 else 24
    return str(ipaddress.ip_network(f"{_address(side, tunnel, version)}/{length}", strict=False))


def sender_address(tunnel: int, version: int = 4) -> str:
    """The inner address at the sending end of a tunnel."""
    return _address(0, tunnel, version)


def receiver_address(tunnel: int, version: int = 4) -> str:
    """The inner address at the receiving end of a tunnel."""
    return _address(1, tunnel, version)


def _on_link(address: str, version: int) -> str:
    """An address of a link, or its counterpart in IPv6."""
    if version == 4:
        return address
    start, _, end = address.rpartition(".")
    return str(ipaddress.IPv6Address(f"{_PREFIX6}ff:{_LINK6[start + '.']}::{end}"))


@dataclass(frozen=True, slots=True)
class Net:
    """How the addresses and routes of an experiment are: its topology, its traffic's paths and IP version.

    ``mtu``: bytes of the largest IP packet in a tunnel. ``sourced``: the ends send to each tunnel's far end from their
    own address of that tunnel, also where a program binds to none. ``devices``: how the names of tunnels' devices
    begin. ``shared``: gateway-b has one WireGuard device for all tunnels, with a peer for each.
    """

    topology: str
    paths: str = "subnets"
    version: int = 4
    mtu: int = DEFAULT_MTU
    sourced: bool = False
    devices: str = "wg"
    shared: bool = False

    @property
    def versions(self) -> tuple[int, ...]:
        """The IP versions in which everything has addresses."""
        return (4,) if self.version == 4 else (4, 6)

    def device(self, tunnel: int, gateway: str = GATEWAYS[0]) -> str:
        """The device of a tunnel on a gateway."""
        return device(SHARED if self.shares(gateway) else tunnel, self.devices)

    def shares(self, gateway: str) -> bool:
        """Whether a gateway has one device for all tunnels."""
        return self.shared and gateway == HUB

    def subnets(self, tunnels: int) -> range:
        """The numbers of the subnets on either side."""
        return range(SHARED if self.paths == "ecmp" else 1, tunnels + 1)


def net_of(trial: Trial, devices: str = "wg") -> Net:
    """The addresses and routes that a trial wants; ``devices`` as in `Net`."""
    levels, traffic = trial.levels, trial.traffic
    mtu = int(levels.get(TUNNEL_MTU, DEFAULT_MTU))
    shared = levels.get(TUNNEL_DEVICE) == SHARED_DEVICE
    sourced = not tool_of(traffic).binds
    return Net(trial.topology, traffic.paths, traffic.ip_version, mtu, sourced, devices, shared)


def receiver_subnet(tunnel: int) -> str:
    """The address of the network, of 24 bits, at the receiving end of a tunnel."""
    return _network(1, tunnel, 4).partition("/")[0]


def device(tunnel: int, devices: str = "wg") -> str:
    """The device of a tunnel, on either gateway; ``devices``: how the names of its system's devices begin."""
    return f"{devices}{tunnel}"


@dataclass(frozen=True, slots=True)
class Placement:
    """Where roles are. ``hosts``: (name, roles) of each; ``nics``: {host: {link: interface}} of links between hosts."""

    hosts: Sequence[tuple[str, Sequence[str]]]
    nics: Mapping[str, Mapping[str, str]]

    def host_of(self, role: str) -> str:
        """The host that has a role."""
        return next(name for name, roles in self.hosts if role in roles)

    def hosts_of(self, wanted: Sequence[str]) -> list[str]:
        """The hosts that have any of some roles, each once."""
        return list(dict.fromkeys(self.host_of(role) for role in wanted))

    def split(self, by_role: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
        """{role: x} as {host: {role: x}}."""
        parts: dict[str, dict[str, Any]] = {}
        for role, value in by_role.items():
            parts.setdefault(self.host_of(role), {})[role] = value
        return parts


def wan_address(gateway: str) -> str:
    """The address of a gateway on the link between the gateways."""
    return _WAN[gateway]


def device_of(link: str) -> str:
    """What a link's device is called in the namespaces at its ends."""
    return "wan0" if link == "wan" else "lan0"


def generator_device(role: str) -> str:
    """The interface over which a role at an end of the topology reaches its gateway."""
    return device_of(next(link for link, roles in LINKS.items() if role in roles))


def _sysctls(net: Net) -> dict[str, str]:
    """What a gateway's namespace is set to: it forwards, and hashes flows on ports where they are to be spread."""
    ecmp = net.paths == "ecmp"
    return {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.all.rp_filter": "0",
        "net.ipv4.conf.default.rp_filter": "0",
        **({"net.ipv4.fib_multipath_hash_policy": "1"} if ecmp else {}),
        **({"net.ipv6.conf.all.forwarding": "1"} if net.version == 6 else {}),
        **({"net.ipv6.fib_multipath_hash_policy": "1"} if ecmp and net.version == 6 else {}),
    }


_ALONE = {4: 32, 6: 128}


def _add(address: str, address6: str, length: Mapping[int, int], device_name: str, net: Net) -> list[str]:
    """Lines that give a device its address in each version. Nobody else has it, so it need not be asked for (nodad)."""
    lines = [f"address add {address}/{length[4]} dev {device_name}"]
    return lines + [f"address add {address6}/{length[6]} dev {device_name} nodad"] * (6 in net.versions)


def _add_link(address: str, length: int, device_name: str, net: Net) -> list[str]:
    return _add(address, _on_link(address, 6), {4: length, 6: 64}, device_name, net)


def _addresses(net: Net, tunnels: int) -> dict[str, dict[str, Any]]:
    """What each role's namespace has: {role: {"sysctl", "ip"}}."""
    numbers = net.subnets(tunnels)
    inner = [
        [line for i in numbers for line in _add(_address(side, i, 4), _address(side, i, 6), _ALONE, "lo", net)]
        for side in (0, 1)
    ]
    namespaces: dict[str, dict[str, Any]] = {}
    for side, gateway in enumerate(GATEWAYS):
        lines = ["link set lo up", *_add_link(_WAN[gateway], 30, "wan0", net), "link set wan0 up"]
        namespaces[gateway] = {"sysctl": _sysctls(net), "ip": lines}
        if net.topology == GATEWAY_TO_GATEWAY:
            lines += inner[side]
            continue
        end = ("client", "server")[side]
        lines += [*_add_link(_LAN_GATEWAY[gateway], 24, "lan0", net), "link set lan0 up"]
        lines += [
            f"route add {_network(side, i, version)} via {_on_link(_LAN_END[end], version)} dev lan0"
            for version in net.versions
            for i in numbers
        ]
        lines = ["link set lo up", *_add_link(_LAN_END[end], 24, "lan0", net), "link set lan0 up", *inner[side]]
        lines += [f"route add default via {_on_link(_LAN_GATEWAY[gateway], version)}" for version in net.versions]
        lines += [
            f"route add {_network(1 - side, i, version)} via {_on_link(_LAN_GATEWAY[gateway], version)} "
            f"src {_address(side, i, version)}"
            for version in (net.versions if net.sourced else ())
            for i in numbers
        ]
        namespaces[end] = {"sysctl": {}, "ip": lines}
    return namespaces


# What veth makes the hash of that chooses among a gateway's CPUs: the outer headers of each packet, as a NIC does, or
# nothing, since flows take the CPUs in turn.
_RECEIVE_HASH: Mapping[LinkKind, str] = {RSS: "headers", STEERED: "turns"}


def _steering(
    kind: LinkKind, ends_of_links: Sequence[Sequence[str]], cpus: Mapping[str, Sequence[int]]
) -> dict[str, dict[str, Any]]:
    """{role: what the agent's ``links`` does so that packets come to the role's CPUs}.

    ``ends_of_links``: (role, device, role, device) of each pair of veth devices. To a client or server, which is no
    matter of the experiment, they come on the CPU on which they are read.
    """
    steering: dict[str, dict[str, Any]] = {}
    for one, device, other, device_there in ends_of_links:
        for role, name in ((one, device), (other, device_there)):
            gateway = role in GATEWAYS
            wanted: dict[str, Any] = {"devices": [], "cpus": list(cpus[role]), "to_reader": not gateway}
            wanted["receive_hash"] = _RECEIVE_HASH[kind] if gateway else None
            steering.setdefault(role, wanted)["devices"].append(name)
    return steering


def links_requests(
    net: Net,
    tunnels: int,
    placement: Placement,
    kind: LinkKind = VETH,
    cpus: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, dict[str, Any]]:
    """The agents' ``links``, by host, with the addresses of up to ``tunnels`` tunnels.

    A link between roles of one host is a pair of veth devices; between hosts, it is their interfaces. ``kind``: how
    packets come to the CPUs of a role over veth; ``cpus``: those of each role, where they are not to stay on the CPU
    that sent them.
    """
    requests: dict[str, dict[str, Any]] = {
        host: {"namespaces": namespaces, "veth": [], "nics": []}
        for host, namespaces in placement.split(_addresses(net, tunnels)).items()
    }
    for link, ends_of_link in LINKS.items():
        if not set(ends_of_link) <= set(roles(net.topology)):
            continue
        device_name = device_of(link)
        first, second = (placement.host_of(role) for role in ends_of_link)
        if first == second:
            requests[first]["veth"].append([ends_of_link[0], device_name, ends_of_link[1], device_name])
            continue
        for role, host in zip(ends_of_link, (first, second), strict=True):
            requests[host]["nics"].append({"nic": placement.nics[host][link], "role": role, "device": device_name})
    if kind != VETH:
        assert cpus is not None
        for request in requests.values():
            request["steering"] = _steering(kind, request["veth"], cpus)
    return requests


def neighbours(net: Net) -> dict[str, list[str]]:
    """The addresses that each role must reach at the other end of its links, before any tunnel: {role: [address]}."""
    reached = _neighbours(net.topology)
    return {role: [_on_link(a, version) for version in net.versions for a in near] for role, near in reached.items()}


def _neighbours(topology: str) -> dict[str, list[str]]:
    reached: dict[str, list[str]] = {GATEWAYS[0]: [_WAN[GATEWAYS[1]]], GATEWAYS[1]: [_WAN[GATEWAYS[0]]]}
    if topology == SITE_TO_SITE:
        for gateway, end in zip(GATEWAYS, ("client", "server"), strict=True):
            reached[gateway].append(_LAN_END[end])
            reached[end] = [_LAN_GATEWAY[gateway]]
    return reached


def _far_side(gateway: str) -> int:
    return 1 - GATEWAYS.index(gateway)


def _route(
    net: Net, gateway: str, subnet: int, version: int, devices: Sequence[str], via: str | None
) -> dict[str, Any]:
    """To a subnet of the far side. In gateway-to-gateway, traffic starts at the gateway, from its inner address."""
    source = _address(GATEWAYS.index(gateway), subnet, version) if net.topology == GATEWAY_TO_GATEWAY else None
    return {"to": _network(_far_side(gateway), subnet, version), "devices": devices, "via": via, "source": source}


def tunnel_routes(net: Net, gateway: str, tunnels: int) -> list[dict[str, Any]]:
    """Routes that send each tunnel's traffic through its device, and that to the shared subnet through all."""
    everywhere = [net.device(i, gateway) for i in range(1, tunnels + 1)]
    return [
        _route(
            net,
            gateway,
            i,
            version,
            everywhere if i == SHARED else [net.device(i, gateway)],
            _ANY_HOP6 if i == SHARED and version == 6 and tunnels > 1 else None,
        )
        for version in net.versions
        for i in net.subnets(tunnels)
    ]


def plain_routes(net: Net, gateway: str, tunnels: int) -> list[dict[str, Any]]:
    """Routes that send the same traffic over the link between the gateways, without a tunnel."""
    other = _WAN[GATEWAYS[_far_side(gateway)]]
    return [
        _route(net, gateway, i, version, ["wan0"], _on_link(other, version))
        for version in net.versions
        for i in net.subnets(tunnels)
    ]


def port(gateway: str, tunnel: int) -> int:
    """The UDP port of a tunnel's device; a tunnel is one outer pair of address and port."""
    return (20000, 40000)[GATEWAYS.index(gateway)] + tunnel


def tunnel_devices(net: Net, tunnels: int) -> dict[str, list[dict[str, Any]]]:
    """What the agent's ``tunnels`` makes, by gateway."""
    return {
        gateway: [
            {"device": device(i), "port": port(gateway, i), "mtu": net.mtu}
            for i in ([SHARED] if net.shares(gateway) else range(1, tunnels + 1))
        ]
        for gateway in GATEWAYS
    }


def tunnel_peers(
    net: Net,
    public_keys: Mapping[str, Sequence[str]],
    threaded: bool,
    device_settings: Mapping[str, str],
    pinned_to: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, dict[str, Any]]:
    """The agent's ``peers``, by gateway: its devices get the other's public key, its endpoint and its subnets.

    Each device allows the shared subnet, if there is one: what a device allows is its own matter. Where tunnels share
    a device, it gets a peer for each, in their order, and is the only peer of all those at the other end.

    ``pinned_to``: {gateway: its CPUs}, which the tunnels take in turn, one each, for their queued work.
    """
    gateways: dict[str, dict[str, Any]] = {}
    tunnels = max(map(len, public_keys.values()))
    for gateway in GATEWAYS:
        far = GATEWAYS[_far_side(gateway)]
        keys = list(public_keys[far]) * (tunnels if net.shares(far) else 1)
        cpus = pinned_to[gateway] if pinned_to and not net.shares(gateway) else None
        peers = [
            {
                "device": net.device(i, gateway),
                "public_key": key,
                "endpoint": f"{_WAN[far]}:{port(far, SHARED if net.shares(far) else i)}",
                "allowed_ips": [
                    _network(_far_side(gateway), subnet, version)
                    for version in net.versions
                    for subnet in (i, *([SHARED] if SHARED in net.subnets(i) else []))
                ],
                "cpus": None if cpus is None else str(cpus[(i - 1) % len(cpus)]),
            }
            for i, key in enumerate(keys, start=1)
        ]
        gateways[gateway] = {
            "peers": peers,
            "routes": tunnel_routes(net, gateway, len(peers)),
            "threaded": "1" if threaded else "0",
            "device_settings": dict(device_settings),
        }
    return gateways
