# SPDX-License-Identifier: Apache-2.0
"""Addresses, links and routes of both topologies."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.measure import layout, requests
from orchestrator.spec import GATEWAYS, MOST_TUNNELS, ROLES, LinkKind

ONE = layout.Placement([("one", ROLES)], {})
TWO = layout.Placement(
    [("left", ROLES[:2]), ("right", ROLES[2:])], {"left": {"wan": "eth1"}, "right": {"wan": "enp3s0f0"}}
)
FOUR = layout.Placement(
    [(role, [role]) for role in ROLES],
    {
        "client": {"lan-a": "a"},
        "gateway-a": {"lan-a": "b", "wan": "c"},
        "gateway-b": {"wan": "d", "lan-b": "e"},
        "server": {"lan-b": "f"},
    },
)
TOPOLOGIES = (layout.SITE_TO_SITE, layout.GATEWAY_TO_GATEWAY)
tunnel_numbers = st.integers(1, MOST_TUNNELS)


@given(tunnel_numbers, tunnel_numbers)
def test_no_two_tunnels_share_an_address_or_a_port(first: int, second: int) -> None:
    addresses = [f(i) for i in (first, second) for f in (layout.sender_address, layout.receiver_address)]
    ports = [requests.port(gateway, i) for i in (first, second) for gateway in GATEWAYS]
    wanted = 2 if first == second else 4
    assert len(set(addresses)) == wanted
    assert len(set(ports)) == wanted
    assert all(1024 < port < 65536 for port in ports)


@given(tunnel_numbers)
def test_inner_addresses_are_private_and_apart_from_the_links(number: int) -> None:
    private = ipaddress.ip_network("10.0.0.0/8")
    for address in (layout.sender_address(number), layout.receiver_address(number)):
        assert ipaddress.ip_address(address) in private


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_every_role_gets_a_namespace_and_every_veth_ends_in_one(topology: str) -> None:
    request = requests.links_requests(layout.Net(topology), 3, ONE)["one"]
    assert set(request.namespaces) == set(layout.roles(topology))
    for role_a, _, role_b, _ in request.veth:
        assert {role_a, role_b} <= set(layout.roles(topology))
    assert len(request.veth) == len(layout.roles(topology)) - 1
    assert request.nics == []


CPUS = {"client": [0], "gateway-a": [1, 2], "gateway-b": [3, 4], "server": [5]}


def test_plain_links_are_not_steered() -> None:
    assert not requests.links_requests(layout.Net(layout.SITE_TO_SITE), 1, ONE, "veth", CPUS)["one"].steering


@pytest.mark.parametrize(("kind", "receive_hash"), [("rss", "headers"), ("steered", "turns")])
def test_gateways_spread_what_they_receive_and_ends_read_it_where_it_comes(kind: LinkKind, receive_hash: str) -> None:
    steering = requests.links_requests(layout.Net(layout.SITE_TO_SITE), 1, ONE, kind, CPUS)["one"].steering
    assert {role: wanted["cpus"] for role, wanted in steering.items()} == CPUS
    for role, wanted in steering.items():
        gateway = role in GATEWAYS
        assert sorted(wanted["devices"]) == (["lan0", "wan0"] if gateway else ["lan0"])
        assert wanted["receive_hash"] == (receive_hash if gateway else None)
        assert wanted["to_reader"] is not gateway
    alone = requests.links_requests(layout.Net(layout.GATEWAY_TO_GATEWAY), 1, ONE, kind, CPUS)["one"].steering
    assert {role: wanted["devices"] for role, wanted in alone.items()} == {role: ["wan0"] for role in GATEWAYS}


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("placement", [TWO, FOUR])
def test_each_link_between_hosts_has_an_interface_at_both_ends_and_no_host_gets_another_ones_role(
    topology: str, placement: layout.Placement
) -> None:
    asked = requests.links_requests(layout.Net(topology), 2, placement)
    roles = layout.roles(topology)
    assert set(asked) == {placement.host_of(role) for role in roles}
    ends = [(nic["role"], nic["device"]) for request in asked.values() for nic in request.nics]
    ends += [end for request in asked.values() for veth in request.veth for end in (veth[:2], veth[2:])]
    wanted = [("gateway-a", "wan0"), ("gateway-b", "wan0")]
    if topology == layout.SITE_TO_SITE:
        wanted += [(role, "lan0") for role in ROLES]
    assert sorted(map(tuple, ends)) == sorted(wanted)
    for host, request in asked.items():
        assert {placement.host_of(role) for role in request.namespaces} == {host}
        assert {placement.host_of(nic["role"]) for nic in request.nics} <= {host}


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_neighbours_are_on_the_same_link(topology: str) -> None:
    asked = requests.links_requests(layout.Net(topology), 1, ONE)["one"].namespaces
    own = {
        role: [
            ipaddress.ip_interface(line.split()[2])
            for line in request["ip"]
            if "dev lo" not in line and "address" in line
        ]
        for role, request in asked.items()
    }
    near = requests.neighbours(layout.Net(topology))
    assert set(near) == set(layout.roles(topology))
    for role, addresses in near.items():
        assert all(any(ipaddress.ip_address(a) in mine.network for mine in own[role]) for a in addresses)


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_ends_have_the_inner_addresses(topology: str) -> None:
    namespaces = requests.links_requests(layout.Net(topology), 2, ONE)["one"].namespaces
    ends = layout.ends(topology)
    assert f"address add {layout.sender_address(2)}/32 dev lo" in namespaces[ends.sender]["ip"]
    assert f"address add {layout.receiver_address(2)}/32 dev lo" in namespaces[ends.receiver]["ip"]


def test_each_peer_gets_the_other_sides_key_endpoint_and_subnet() -> None:
    keys = {"gateway-a": ["A1", "A2"], "gateway-b": ["B1", "B2"]}
    gateways = requests.tunnel_peers(layout.Net(layout.SITE_TO_SITE), keys, True, {"transmit": "inline"})
    second = gateways["gateway-a"]["peers"][1]
    assert second["public_key"] == "B2"
    assert second["endpoint"] == f"198.18.0.2:{requests.port('gateway-b', 2)}"
    (network,) = map(ipaddress.ip_network, second["allowed_ips"])
    assert ipaddress.ip_address(layout.receiver_address(2)) in network
    assert gateways["gateway-b"]["threaded"] == "1"
    assert gateways["gateway-b"]["device_settings"] == {"transmit": "inline"}
    assert second["cpus"] is None


def test_pinned_tunnels_take_the_cpus_of_their_gateway_in_turn() -> None:
    keys = {gateway: ["x"] * 5 for gateway in GATEWAYS}
    pinned_to = {"gateway-a": range(2), "gateway-b": [4, 6]}
    gateways = requests.tunnel_peers(layout.Net(layout.SITE_TO_SITE), keys, False, {}, pinned_to=pinned_to)
    assert [peer["cpus"] for peer in gateways["gateway-a"]["peers"]] == ["0", "1", "0", "1", "0"]
    assert [peer["cpus"] for peer in gateways["gateway-b"]["peers"]] == ["4", "6", "4", "6", "4"]


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("tunnels", [1, 3])
def test_a_shared_device_has_a_peer_for_each_tunnel_and_is_the_peer_of_all(topology: str, tunnels: int) -> None:
    net = layout.Net(topology, shared=True)
    devices = requests.tunnel_devices(net, tunnels)
    assert [one["device"] for one in devices["gateway-b"]] == ["wg0"]
    assert [one["device"] for one in devices["gateway-a"]] == [f"wg{i}" for i in range(1, tunnels + 1)]
    keys = {"gateway-a": [f"A{i}" for i in range(1, tunnels + 1)], "gateway-b": ["B"]}
    gateways = requests.tunnel_peers(net, keys, False, {}, pinned_to={gateway: [0, 1] for gateway in GATEWAYS})
    ours, theirs = gateways["gateway-a"]["peers"], gateways["gateway-b"]["peers"]
    assert {peer["public_key"] for peer in ours} == {"B"}
    assert {peer["endpoint"] for peer in ours} == {f"198.18.0.2:{devices['gateway-b'][0]['port']}"}
    assert [peer["public_key"] for peer in theirs] == keys["gateway-a"]
    ports = [one["port"] for one in devices["gateway-a"]]
    assert [peer["endpoint"] for peer in theirs] == [f"198.18.0.1:{port}" for port in ports]
    assert {peer["device"] for peer in theirs} == {"wg0"}
    assert {peer["cpus"] for peer in theirs} == {None}
    for number, peer in enumerate(theirs, start=1):
        (network,) = map(ipaddress.ip_network, peer["allowed_ips"])
        assert ipaddress.ip_address(layout.sender_address(number)) in network
    assert all(route["devices"] == ["wg0"] for route in gateways["gateway-b"]["routes"])
    assert [route["devices"] for route in gateways["gateway-a"]["routes"]] == [[peer["device"]] for peer in ours]


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_baselines_routes_avoid_the_tunnels_and_a_measurements_use_them(topology: str) -> None:
    for gateway in GATEWAYS:
        assert all(route["devices"] == ["wan0"] for route in requests.plain_routes(layout.Net(topology), gateway, 4))
        tunnelled = requests.tunnel_routes(layout.Net(topology), gateway, 4)
        assert [route["devices"] for route in tunnelled] == [["wg1"], ["wg2"], ["wg3"], ["wg4"]]


@given(tunnel_numbers, tunnel_numbers)
def test_addresses_of_version_6_are_as_different_as_those_of_version_4(first: int, second: int) -> None:
    addresses = {f(i, 6) for i in (first, second) for f in (layout.sender_address, layout.receiver_address)}
    assert len(addresses) == (2 if first == second else 4)
    local = ipaddress.ip_network("fd00::/8")
    assert all(ipaddress.ip_address(address) in local for address in addresses)
    assert all(str(ipaddress.ip_address(address)) == address for address in addresses)  # as the agent reads it back


@pytest.mark.parametrize("topology", TOPOLOGIES)
@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("tunnels", [1, 3])
def test_with_ecmp_one_subnet_is_behind_all_tunnels_and_each_keeps_its_own(
    topology: str, version: int, tunnels: int
) -> None:
    net = layout.Net(topology, "ecmp", version)
    names = [f"wg{i}" for i in range(1, tunnels + 1)]
    for gateway, far_end in (("gateway-a", layout.receiver_address), ("gateway-b", layout.sender_address)):
        for family in net.versions:
            shared = ipaddress.ip_address(far_end(layout.SHARED, family))
            routes = requests.tunnel_routes(net, gateway, tunnels)
            over = [route for route in routes if shared in ipaddress.ip_network(route["to"])]
            assert [route["devices"] for route in over] == [names]
            assert bool(over[0]["via"]) == (family == 6 and tunnels > 1)  # IPv6 requires a next hop on each
            own = [route["devices"] for route in routes if ":" in route["to"] if family == 6 and len(names) > 1]
            assert own in ([], [names, *([name] for name in names)])
    keys = {gateway: ["x"] * tunnels for gateway in GATEWAYS}
    for gateway in requests.tunnel_peers(net, keys, False, {}).values():
        allowed = [set(peer["allowed_ips"]) for peer in gateway["peers"]]
        assert len(set.intersection(*allowed)) == len(net.versions) * (1 if tunnels > 1 else 2)
        assert all(len(networks) == 2 * len(net.versions) for networks in allowed)
    sysctls = requests.links_requests(net, tunnels, ONE)["one"].namespaces["gateway-a"]["sysctl"]
    hashed = {name for name, value in sysctls.items() if name.endswith("multipath_hash_policy") and value == "1"}
    assert len(hashed) == len(net.versions)


def test_links_are_wide_enough_for_each_tunnel_and_no_wider() -> None:
    nets = [layout.Net(layout.SITE_TO_SITE, mtu=mtu) for mtu in (1280, 1420, 1421, 8920)]
    assert [net.link_mtu for net in nets] == [1500, 1500, 1501, 9000]
