# SPDX-License-Identifier: Apache-2.0
"""The agents' requests that set up a topology: links, addresses, routes, devices, peers. Pure.

The addresses are from `orchestrator.measure.layout`.
"""

from collections.abc import Mapping, Sequence

from orchestrator.agent.network_messages import (
    GatewayPeers,
    LentNic,
    LinksRequest,
    Namespace,
    NetworkRoute,
    Peer,
    Steering,
    TunnelDevice,
)
from orchestrator.measure.layout import (
    GATEWAY_TO_GATEWAY,
    LAN_END,
    LAN_GATEWAY,
    SHARED,
    SITE_TO_SITE,
    WAN,
    Net,
    Placement,
    device,
    device_of,
    inner_address,
    inner_network,
    on_link,
    roles,
)
from orchestrator.spec import GATEWAYS, LINKS, RSS, STEERED, VETH, LinkKind

# The next hop of a route over several tunnels, which IPv6 requires (RFC 4291); WireGuard ignores it.
_ANY_HOP6 = "fe80::1"


def _sysctls(net: Net) -> dict[str, str]:
    """Return a gateway's settings: it forwards, and hashes flows on ports if they are to be spread over tunnels."""
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
    """Return the lines that give a device its address in each version.

    The addresses are unique, so duplicate address detection is off (nodad).
    """
    lines = [f"address add {address}/{length[4]} dev {device_name}"]
    return lines + [f"address add {address6}/{length[6]} dev {device_name} nodad"] * (6 in net.versions)


def _add_link(address: str, length: int, device_name: str, net: Net) -> list[str]:
    return _add(address, on_link(address, 6), {4: length, 6: 64}, device_name, net)


def _addresses(net: Net, tunnels: int) -> dict[str, Namespace]:
    """Return the configuration of each role's namespace: {role: {"sysctl", "ip"}}."""
    numbers = net.subnets(tunnels)
    inner = [
        [
            line
            for i in numbers
            for line in _add(inner_address(side, i, 4), inner_address(side, i, 6), _ALONE, "lo", net)
        ]
        for side in (0, 1)
    ]
    namespaces: dict[str, Namespace] = {}
    for side, gateway in enumerate(GATEWAYS):
        lines = ["link set lo up", *_add_link(WAN[gateway], 30, "wan0", net), "link set wan0 up"]
        namespaces[gateway] = {"sysctl": _sysctls(net), "ip": lines}
        if net.topology == GATEWAY_TO_GATEWAY:
            lines += inner[side]
            continue
        end = ("client", "server")[side]
        lines += [*_add_link(LAN_GATEWAY[gateway], 24, "lan0", net), "link set lan0 up"]
        lines += [
            f"route add {inner_network(side, i, version)} via {on_link(LAN_END[end], version)} dev lan0"
            for version in net.versions
            for i in numbers
        ]
        lines = ["link set lo up", *_add_link(LAN_END[end], 24, "lan0", net), "link set lan0 up", *inner[side]]
        lines += [f"route add default via {on_link(LAN_GATEWAY[gateway], version)}" for version in net.versions]
        lines += [
            f"route add {inner_network(1 - side, i, version)} via {on_link(LAN_GATEWAY[gateway], version)} "
            f"src {inner_address(side, i, version)}"
            for version in (net.versions if net.sourced else ())
            for i in numbers
        ]
        namespaces[end] = {"sysctl": {}, "ip": lines}
    return namespaces


# The input of the hash by which veth chooses among a gateway's CPUs: the outer headers of each packet, as in a NIC, or
# nothing, because flows take the CPUs in turn.
_RECEIVE_HASH: Mapping[LinkKind, str] = {RSS: "headers", STEERED: "turns"}


def _steering(
    kind: LinkKind, ends_of_links: Sequence[Sequence[str]], cpus: Mapping[str, Sequence[int]]
) -> dict[str, Steering]:
    """Return {role: the argument of the agent's ``links`` that steers packets to the role's CPUs}.

    ``ends_of_links``: (role, device, role, device) of each pair of veth devices. A client or server, whose CPUs are not
    under test, receives packets on the CPU that reads them.
    """
    steering: dict[str, Steering] = {}
    for one, name_here, other, name_there in ends_of_links:
        for role, name in ((one, name_here), (other, name_there)):
            gateway = role in GATEWAYS
            wanted: Steering = {
                "devices": [],
                "cpus": list(cpus[role]),
                "receive_hash": _RECEIVE_HASH[kind] if gateway else None,
                "to_reader": not gateway,
            }
            steering.setdefault(role, wanted)["devices"].append(name)
    return steering


def links_requests(
    net: Net,
    tunnels: int,
    placement: Placement,
    kind: LinkKind = VETH,
    cpus: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, LinksRequest]:
    """Return the requests for links, by host, with the addresses of up to ``tunnels`` tunnels.

    A link between roles of one host is a pair of veth devices; between hosts, it is their interfaces. ``kind``: how
    packets reach the CPUs of a role over veth; ``cpus``: the CPUs of each role, if packets are not to stay on the CPU
    that sent them.
    """
    namespaces = placement.split(_addresses(net, tunnels))
    veth: dict[str, list[list[str]]] = {host: [] for host in namespaces}
    nics: dict[str, list[LentNic]] = {host: [] for host in namespaces}
    for link, ends_of_link in LINKS.items():
        if not set(ends_of_link) <= set(roles(net.topology)):
            continue
        device_name = device_of(link)
        first, second = (placement.host_of(role) for role in ends_of_link)
        if first == second:
            veth[first].append([ends_of_link[0], device_name, ends_of_link[1], device_name])
            continue
        for role, host in zip(ends_of_link, (first, second), strict=True):
            nics[host].append({"nic": placement.nics[host][link], "role": role, "device": device_name})
    steering: dict[str, dict[str, Steering]] = {}
    if kind != VETH:
        assert cpus is not None
        steering = {host: _steering(kind, pairs, cpus) for host, pairs in veth.items()}
    return {
        host: LinksRequest(here, veth[host], nics[host], steering.get(host, {})) for host, here in namespaces.items()
    }


def neighbours(net: Net) -> dict[str, list[str]]:
    """Return the addresses that each role must reach at the other end of its links: {role: [address]}."""
    reached = _neighbours(net.topology)
    return {role: [on_link(a, version) for version in net.versions for a in near] for role, near in reached.items()}


def _neighbours(topology: str) -> dict[str, list[str]]:
    reached: dict[str, list[str]] = {GATEWAYS[0]: [WAN[GATEWAYS[1]]], GATEWAYS[1]: [WAN[GATEWAYS[0]]]}
    if topology == SITE_TO_SITE:
        for gateway, end in zip(GATEWAYS, ("client", "server"), strict=True):
            reached[gateway].append(LAN_END[end])
            reached[end] = [LAN_GATEWAY[gateway]]
    return reached


def _far_side(gateway: str) -> int:
    return 1 - GATEWAYS.index(gateway)


def _route(net: Net, gateway: str, subnet: int, version: int, devices: Sequence[str], via: str | None) -> NetworkRoute:
    """Return a route to a subnet of the far side.

    In gateway-to-gateway, traffic starts at the gateway, from its inner address.
    """
    source = inner_address(GATEWAYS.index(gateway), subnet, version) if net.topology == GATEWAY_TO_GATEWAY else None
    return {"to": inner_network(_far_side(gateway), subnet, version), "devices": devices, "via": via, "source": source}


def tunnel_routes(net: Net, gateway: str, tunnels: int) -> list[NetworkRoute]:
    """Return the routes that send each tunnel's traffic through its device, and the shared subnet's through all."""
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


def plain_routes(net: Net, gateway: str, tunnels: int) -> list[NetworkRoute]:
    """Return the routes that send the same traffic over the link between the gateways, without a tunnel."""
    other = WAN[GATEWAYS[_far_side(gateway)]]
    return [
        _route(net, gateway, i, version, ["wan0"], on_link(other, version))
        for version in net.versions
        for i in net.subnets(tunnels)
    ]


def port(gateway: str, tunnel: int) -> int:
    """Return the UDP port of a tunnel's device; a tunnel is one outer pair of address and port."""
    return (20000, 40000)[GATEWAYS.index(gateway)] + tunnel


def tunnel_devices(net: Net, tunnels: int) -> dict[str, list[TunnelDevice]]:
    """Return the devices that the agent's ``tunnels`` makes, by gateway."""
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
) -> dict[str, GatewayPeers]:
    """Return the agent's ``peers``, by gateway: each device gets the public key, endpoint and subnets of the other end.

    Each device allows the shared subnet, if there is one, because devices do not share their allowed IPs. Where tunnels
    share a device, it gets a peer for each, in their order, and is the only peer of all devices at the other end.
    ``pinned_to``: {gateway: its CPUs}, which the tunnels take in turn, one each, for their queued work.
    """
    gateways: dict[str, GatewayPeers] = {}
    tunnels = max(map(len, public_keys.values()))
    for gateway in GATEWAYS:
        far = GATEWAYS[_far_side(gateway)]
        keys = list(public_keys[far]) * (tunnels if net.shares(far) else 1)
        cpus = pinned_to[gateway] if pinned_to and not net.shares(gateway) else None
        peers: list[Peer] = [
            {
                "device": net.device(i, gateway),
                "public_key": key,
                "endpoint": f"{WAN[far]}:{port(far, SHARED if net.shares(far) else i)}",
                "allowed_ips": [
                    inner_network(_far_side(gateway), subnet, version)
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
