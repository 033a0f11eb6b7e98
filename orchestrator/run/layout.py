# SPDX-License-Identifier: Apache-2.0
"""Addresses, links and routes of a topology, as requests for the agents. Pure.

site-to-site:        client --lan-- gateway-a ==wan== gateway-b --lan-- server
gateway-to-gateway:                 gateway-a ==wan== gateway-b

Tunnel i (from 1) is a pair of WireGuard devices ``wg<i>`` on the gateways and carries one subnet a side. Links use the
range for benchmarks (198.18.0.0/15, RFC 2544), the subnets of tunnels 10.64.0.0/11 on side a, 10.128.0.0/11 on b.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.spec import GATEWAYS, LINKS

SITE_TO_SITE = "site-to-site"
GATEWAY_TO_GATEWAY = "gateway-to-gateway"
LINK_MTU = 1500  # what every link must carry
WIREGUARD_MTU = 1420  # 1500 less 80 bytes for IPv6, UDP and WireGuard's headers, the default of wg-quick

_WAN = {"gateway-a": "198.18.0.1", "gateway-b": "198.18.0.2"}
_LAN_GATEWAY = {"gateway-a": "198.18.1.1", "gateway-b": "198.18.2.1"}
_LAN_END = {"client": "198.18.1.2", "server": "198.18.2.2"}


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


def _subnet(side: int, tunnel: int) -> str:
    return f"10.{(64, 128)[side] + tunnel // 256}.{tunnel % 256}"


def sender_address(tunnel: int) -> str:
    """The inner address at the sending end of a tunnel."""
    return _subnet(0, tunnel) + ".1"


def receiver_address(tunnel: int) -> str:
    """The inner address at the receiving end of a tunnel."""
    return _subnet(1, tunnel) + ".1"


def receiver_subnet(tunnel: int) -> str:
    """The address of the network, of 24 bits, at the receiving end of a tunnel."""
    return _subnet(1, tunnel) + ".0"


def device(tunnel: int) -> str:
    """The WireGuard device of a tunnel, on either gateway."""
    return f"wg{tunnel}"


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


def _device_of(link: str) -> str:
    """What a link's device is called in the namespaces at its ends."""
    return "wan0" if link == "wan" else "lan0"


def generator_device(role: str) -> str:
    """The interface over which a role at an end of the topology reaches its gateway."""
    return _device_of(next(link for link, roles in LINKS.items() if role in roles))


def _addresses(topology: str, tunnels: int) -> dict[str, dict[str, Any]]:
    """What each role's namespace has: {role: {"sysctl", "ip"}}."""
    numbers = range(1, tunnels + 1)
    forwarding = {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.all.rp_filter": "0",
        "net.ipv4.conf.default.rp_filter": "0",
    }
    inner = [[f"address add {end(i)}/32 dev lo" for i in numbers] for end in (sender_address, receiver_address)]
    namespaces: dict[str, dict[str, Any]] = {}
    for side, gateway in enumerate(GATEWAYS):
        lines = ["link set lo up", f"address add {_WAN[gateway]}/30 dev wan0", "link set wan0 up"]
        namespaces[gateway] = {"sysctl": forwarding, "ip": lines}
        if topology == GATEWAY_TO_GATEWAY:
            lines += inner[side]
            continue
        end = ("client", "server")[side]
        lines += [f"address add {_LAN_GATEWAY[gateway]}/24 dev lan0", "link set lan0 up"]
        lines += [f"route add {_subnet(side, i)}.0/24 via {_LAN_END[end]} dev lan0" for i in numbers]
        lines = ["link set lo up", f"address add {_LAN_END[end]}/24 dev lan0", "link set lan0 up"]
        lines += [*inner[side], f"route add default via {_LAN_GATEWAY[gateway]}"]
        namespaces[end] = {"sysctl": {}, "ip": lines}
    return namespaces


def links_requests(topology: str, tunnels: int, placement: Placement) -> dict[str, dict[str, Any]]:
    """The agents' ``links``, by host, with the addresses of up to ``tunnels`` tunnels.

    A link between roles of one host is a pair of veth devices; between hosts, it is their interfaces.
    """
    requests: dict[str, dict[str, Any]] = {
        host: {"namespaces": namespaces, "veth": [], "nics": []}
        for host, namespaces in placement.split(_addresses(topology, tunnels)).items()
    }
    for link, ends_of_link in LINKS.items():
        if not set(ends_of_link) <= set(roles(topology)):
            continue
        device_name = _device_of(link)
        first, second = (placement.host_of(role) for role in ends_of_link)
        if first == second:
            requests[first]["veth"].append([ends_of_link[0], device_name, ends_of_link[1], device_name])
            continue
        for role, host in zip(ends_of_link, (first, second), strict=True):
            requests[host]["nics"].append({"nic": placement.nics[host][link], "role": role, "device": device_name})
    return requests


def neighbours(topology: str) -> dict[str, list[str]]:
    """The addresses that each role must reach at the other end of its links, before any tunnel: {role: [address]}."""
    reached: dict[str, list[str]] = {GATEWAYS[0]: [_WAN[GATEWAYS[1]]], GATEWAYS[1]: [_WAN[GATEWAYS[0]]]}
    if topology == SITE_TO_SITE:
        for gateway, end in zip(GATEWAYS, ("client", "server"), strict=True):
            reached[gateway].append(_LAN_END[end])
            reached[end] = [_LAN_GATEWAY[gateway]]
    return reached


def _far_side(gateway: str) -> int:
    return 1 - GATEWAYS.index(gateway)


def _route(topology: str, gateway: str, tunnel: int, device_name: str, via: str | None) -> dict[str, Any]:
    """To the far side's subnet of a tunnel. In gateway-to-gateway, traffic starts at the gateway, from the tunnel's
    inner address."""
    starts_here = topology == GATEWAY_TO_GATEWAY
    source = f"{_subnet(GATEWAYS.index(gateway), tunnel)}.1" if starts_here else None
    return {"to": f"{_subnet(_far_side(gateway), tunnel)}.0/24", "device": device_name, "via": via, "source": source}


def tunnel_routes(topology: str, gateway: str, tunnels: int) -> list[dict[str, Any]]:
    """Routes that send each tunnel's traffic through its device."""
    return [_route(topology, gateway, i, device(i), None) for i in range(1, tunnels + 1)]


def plain_routes(topology: str, gateway: str, tunnels: int) -> list[dict[str, Any]]:
    """Routes that send the same traffic over the link between the gateways, without a tunnel."""
    other = _WAN[GATEWAYS[_far_side(gateway)]]
    return [_route(topology, gateway, i, "wan0", other) for i in range(1, tunnels + 1)]


def port(gateway: str, tunnel: int) -> int:
    """The UDP port of a tunnel's device; a tunnel is one outer pair of address and port."""
    return (20000, 40000)[GATEWAYS.index(gateway)] + tunnel


def tunnel_devices(tunnels: int) -> dict[str, list[dict[str, Any]]]:
    """What the agent's ``tunnels`` makes, by gateway."""
    return {
        gateway: [{"device": device(i), "port": port(gateway, i), "mtu": WIREGUARD_MTU} for i in range(1, tunnels + 1)]
        for gateway in GATEWAYS
    }


def tunnel_peers(
    topology: str,
    public_keys: Mapping[str, Sequence[str]],
    threaded: bool,
    device_settings: Mapping[str, str],
    pinned_to: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, dict[str, Any]]:
    """The agent's ``peers``, by gateway: its devices get the other's public key, its endpoint and its subnet.

    ``pinned_to``: {gateway: its CPUs}, which the tunnels take in turn, one each, for their queued work.
    """
    gateways: dict[str, dict[str, Any]] = {}
    for gateway in GATEWAYS:
        far = GATEWAYS[_far_side(gateway)]
        cpus = pinned_to[gateway] if pinned_to else None
        peers = [
            {
                "device": device(i),
                "public_key": key,
                "endpoint": f"{_WAN[far]}:{port(far, i)}",
                "allowed_ips": f"{_subnet(_far_side(gateway), i)}.0/24",
                "cpus": None if cpus is None else str(cpus[(i - 1) % len(cpus)]),
            }
            for i, key in enumerate(public_keys[far], start=1)
        ]
        gateways[gateway] = {
            "peers": peers,
            "routes": tunnel_routes(topology, gateway, len(peers)),
            "threaded": "1" if threaded else "0",
            "device_settings": dict(device_settings),
        }
    return gateways
