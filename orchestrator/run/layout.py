# SPDX-License-Identifier: Apache-2.0
"""Addresses, links and routes of a topology, as requests for the agent. Pure.

site-to-site:        client --lan-- gateway-a ==wan== gateway-b --lan-- server
gateway-to-gateway:                 gateway-a ==wan== gateway-b

Tunnel i (from 1) is a pair of WireGuard devices ``wg<i>`` on the gateways and carries one subnet a side. Links use the
range for benchmarks (198.18.0.0/15, RFC 2544), the subnets of tunnels 10.64.0.0/11 on side a, 10.128.0.0/11 on b.
"""

from dataclasses import dataclass
from typing import Any

SITE_TO_SITE = "site-to-site"
GATEWAY_TO_GATEWAY = "gateway-to-gateway"
GATEWAYS = ("gateway-a", "gateway-b")
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


def device(tunnel: int) -> str:
    """The WireGuard device of a tunnel, on either gateway."""
    return f"wg{tunnel}"


def links_request(topology: str, tunnels: int) -> dict[str, Any]:
    """The agent's ``links`` for all roles on one host, with the addresses of up to ``tunnels`` tunnels."""
    numbers = range(1, tunnels + 1)
    forwarding = {
        "net.ipv4.ip_forward": "1",
        "net.ipv4.conf.all.rp_filter": "0",
        "net.ipv4.conf.default.rp_filter": "0",
    }
    inner = [[f"address add {end(i)}/32 dev lo" for i in numbers] for end in (sender_address, receiver_address)]
    namespaces: dict[str, Any] = {}
    for role in GATEWAYS:
        lines = ["link set lo up", f"address add {_WAN[role]}/30 dev wan0", "link set wan0 up"]
        namespaces[role] = {"sysctl": forwarding, "ip": lines}
    veth = [["gateway-a", "wan0", "gateway-b", "wan0"]]
    if topology == SITE_TO_SITE:
        for side, (gateway, end) in enumerate(zip(GATEWAYS, ("client", "server"), strict=True)):
            veth.append([end, "lan0", gateway, "lan0"])
            namespaces[gateway]["ip"] += [
                f"address add {_LAN_GATEWAY[gateway]}/24 dev lan0",
                "link set lan0 up",
            ]
            namespaces[gateway]["ip"] += [
                f"route add {_subnet(side, i)}.0/24 via {_LAN_END[end]} dev lan0" for i in numbers
            ]
            lines = ["link set lo up", f"address add {_LAN_END[end]}/24 dev lan0", "link set lan0 up"]
            lines += [*inner[side], f"route add default via {_LAN_GATEWAY[gateway]}"]
            namespaces[end] = {"sysctl": {}, "ip": lines}
    else:
        for side, gateway in enumerate(GATEWAYS):
            namespaces[gateway]["ip"] += inner[side]
    return {"namespaces": namespaces, "veth": veth}


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


def devices_request(tunnels: int) -> dict[str, Any]:
    """The agent's ``tunnels``."""
    return {
        "gateways": {
            gateway: [
                {"device": device(i), "port": port(gateway, i), "mtu": WIREGUARD_MTU} for i in range(1, tunnels + 1)
            ]
            for gateway in GATEWAYS
        }
    }


def peers_request(
    topology: str,
    public_keys: dict[str, list[str]],
    threaded: bool,
    device_settings: dict[str, str],
    pinned_to: int | None = None,
) -> dict[str, Any]:
    """The agent's ``peers``: each gateway's devices get the other's public key, its endpoint and its subnet.

    ``pinned_to``: so many CPUs, which the tunnels take in turn, one each, for their queued work.
    """
    gateways = {}
    for gateway in GATEWAYS:
        far = GATEWAYS[_far_side(gateway)]
        peers = [
            {
                "device": device(i),
                "public_key": key,
                "endpoint": f"{_WAN[far]}:{port(far, i)}",
                "allowed_ips": f"{_subnet(_far_side(gateway), i)}.0/24",
                "cpus": None if pinned_to is None else str((i - 1) % pinned_to),
            }
            for i, key in enumerate(public_keys[far], start=1)
        ]
        gateways[gateway] = {
            "peers": peers,
            "routes": tunnel_routes(topology, gateway, len(peers)),
            "threaded": "1" if threaded else "0",
            "device_settings": device_settings,
        }
    return {"gateways": gateways}
