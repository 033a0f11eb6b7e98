# SPDX-License-Identifier: Apache-2.0
"""Addresses, links and routes of both topologies."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.run import layout
from orchestrator.spec import MOST_TUNNELS

TOPOLOGIES = (layout.SITE_TO_SITE, layout.GATEWAY_TO_GATEWAY)
tunnel_numbers = st.integers(1, MOST_TUNNELS)


@given(tunnel_numbers, tunnel_numbers)
def test_no_two_tunnels_share_an_address_or_a_port(first: int, second: int) -> None:
    addresses = [f(i) for i in (first, second) for f in (layout.sender_address, layout.receiver_address)]
    ports = [layout.port(gateway, i) for i in (first, second) for gateway in layout.GATEWAYS]
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
    request = layout.links_request(topology, 3)
    assert set(request["namespaces"]) == set(layout.roles(topology))
    for role_a, _, role_b, _ in request["veth"]:
        assert {role_a, role_b} <= set(layout.roles(topology))
    assert len(request["veth"]) == len(layout.roles(topology)) - 1


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_ends_have_the_inner_addresses(topology: str) -> None:
    namespaces = layout.links_request(topology, 2)["namespaces"]
    ends = layout.ends(topology)
    assert f"address add {layout.sender_address(2)}/32 dev lo" in namespaces[ends.sender]["ip"]
    assert f"address add {layout.receiver_address(2)}/32 dev lo" in namespaces[ends.receiver]["ip"]


def test_each_peer_gets_the_other_sides_key_endpoint_and_subnet() -> None:
    keys = {"gateway-a": ["A1", "A2"], "gateway-b": ["B1", "B2"]}
    request = layout.peers_request(layout.SITE_TO_SITE, keys, True, {"transmit": "inline"})
    second = request["gateways"]["gateway-a"]["peers"][1]
    assert second["public_key"] == "B2"
    assert second["endpoint"] == f"198.18.0.2:{layout.port('gateway-b', 2)}"
    network = ipaddress.ip_network(second["allowed_ips"])
    assert ipaddress.ip_address(layout.receiver_address(2)) in network
    assert request["gateways"]["gateway-b"]["threaded"] == "1"
    assert request["gateways"]["gateway-b"]["device_settings"] == {"transmit": "inline"}
    assert second["cpus"] is None


def test_pinned_tunnels_take_the_cpus_in_turn_the_same_at_both_ends() -> None:
    keys = {gateway: ["x"] * 5 for gateway in layout.GATEWAYS}
    request = layout.peers_request(layout.SITE_TO_SITE, keys, False, {}, pinned_to=2)
    for gateway in layout.GATEWAYS:
        assert [peer["cpus"] for peer in request["gateways"][gateway]["peers"]] == ["0", "1", "0", "1", "0"]


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_a_baselines_routes_avoid_the_tunnels_and_a_measurements_use_them(topology: str) -> None:
    for gateway in layout.GATEWAYS:
        assert all(route["device"] == "wan0" for route in layout.plain_routes(topology, gateway, 4))
        tunnelled = layout.tunnel_routes(topology, gateway, 4)
        assert [route["device"] for route in tunnelled] == ["wg1", "wg2", "wg3", "wg4"]
