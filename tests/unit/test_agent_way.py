# SPDX-License-Identifier: Apache-2.0
"""The agent recognises the route to a host, whatever interfaces it consists of, in a network namespace with the real
kernel."""

from collections.abc import Mapping, Sequence

import pytest

from orchestrator.agent import ethtool, way
from orchestrator.agent.connection import told_by
from orchestrator.agent.interfaces import Link
from tests.unit.namespaces import Case, on_a_host, on_hosts

BEGIN = """
sysctl -qw net.ipv6.conf.default.accept_dad=0
ip -batch - <<END
link add eth1 type veth peer name far1
link add eth2 type veth peer name far2
link set far1 up
link set far2 up
link set eth1 up
link set eth2 up
addr add 192.0.2.17/28 dev eth1
addr add 192.0.2.33/28 dev eth2
END
"""
LOOK = {"op": "way"}
OVER_ETH2 = "192.0.2.34 50000 192.0.2.33 22"
DEFAULT = "the host's default route goes over {}, so it may be the path to the host itself"
WIDE = "the route to {} goes over {}, so it may be the path to the host itself"
WAY = "this very SSH connection comes in over {}"


def troubles(
    setups: Mapping[str, str], connection: str = OVER_ETH2, needs: Mapping[str, Sequence[str]] | None = None
) -> dict[str, dict[str, str | None]]:
    """Return {case: {interface: why it cannot be used}} on hosts with two interfaces, eth1 and eth2, each with its
    setup."""
    cases = {
        name: Case([BEGIN, setup, LOOK], connection, (needs or {}).get(name, ())) for name, setup in setups.items()
    }
    return {name: gave[-1] for name, gave in on_hosts(cases).items()}


DEFAULTS = {
    "told by hand": "ip route add default via 192.0.2.18",
    "advertised": "ip -6 route add default via fe80::1 dev eth1 proto ra metric 1024 expires 1800",
    "with several hops": "ip route add default nexthop via 192.0.2.18 weight 1 nexthop via 192.0.2.50 weight 2",
    "of IPv6 with several hops": "ip -6 route add default nexthop via fe80::1 dev eth1 nexthop via fe80::2 dev far",
    "of a next hop object": "ip nexthop add id 9 via 192.0.2.18 dev eth1; ip route add default nhid 9",
    "of a group": "ip nexthop add id 8 via 192.0.2.18 dev eth1; ip nexthop add id 9 group 8;"
    "ip route add default nhid 9",
    "of a group that is not told with the route": "sysctl -qw net.ipv4.nexthop_compat_mode=0;"
    "ip nexthop add id 8 via 192.0.2.18 dev eth1; ip nexthop add id 9 group 8; ip route add default nhid 9",
    "that is on the link": "ip route add default dev eth1 scope link",
    "that comes second": "ip route add default via 192.0.2.18 metric 4000",
    "over a hop of IPv6": "ip route add default via inet6 fe80::1 dev eth1",
    "of IPv6 over a next hop object": "ip nexthop add id 9 via fe80::1 dev eth1; ip -6 route add default nhid 9",
}


def test_a_default_route_is_seen_whatever_it_is_made_of() -> None:
    more = "ip link add far type veth peer name more; ip link set far up; ip link set more up;"
    more += "ip addr add 192.0.2.49/28 dev far;"
    found = troubles({kind: more + setup for kind, setup in DEFAULTS.items()})
    assert {kind: nics["eth1"] for kind, nics in found.items()} == dict.fromkeys(DEFAULTS, DEFAULT.format("eth1"))


def test_two_halves_are_a_default_route() -> None:
    halves = "ip route add 0.0.0.0/1 via 192.0.2.18; ip route add 128.0.0.0/1 via 192.0.2.34"
    for connection in ("", OVER_ETH2):
        found = troubles({"halves": halves, "IPv6": "ip -6 route add 2000::/3 via fe80::1 dev eth1"}, connection)
        assert found["halves"]["eth1"] == WIDE.format("0.0.0.0/1", "eth1")
        assert found["halves"]["eth2"] == (WAY.format("eth2") if connection else WIDE.format("128.0.0.0/1", "eth2"))
        assert found["IPv6"]["eth1"] == WIDE.format("2000::/3", "eth1")


def test_other_interfaces_can_be_taken() -> None:
    setup = """
    ip route add 10.20.0.0/16 via 192.0.2.18; ip route add 224.0.0.0/4 dev eth1
    ip route add unreachable default metric 9000; ip -6 route add ff00::/8 dev eth1 table 7
    """
    assert troubles({"": setup}, connection="")[""]["eth1"] is None
    more = """
    ip route add default via 192.0.2.18 table 7; ip rule add from 192.0.2.17 lookup 7
    ip route add 10.0.0.0/8 via 192.0.2.18
    """
    vip = "ip addr add 198.51.100.1/32 dev lo"
    assert troubles({"": setup + more + vip}, "192.0.2.34 50000 198.51.100.1 22")[""]["eth1"] is None
    expected = {
        **dict.fromkeys(["eth1", "far1", "far2"]),
        "lo": "it is the loopback interface",
        "eth2": WAY.format("eth2"),
    }
    found = troubles({"": setup + more})[""]
    assert {nic: found[nic] for nic in expected} == expected
    # Some kernels give each network namespace interfaces of its own, such as gre0.
    kept = "the kernel keeps it in its network namespace"
    assert all(str(found[nic]).startswith(kept) for nic in found.keys() - expected.keys()), found


CONNECTIONS = {
    "by its address here": ("192.0.2.18 50000 192.0.2.17 22", ""),
    "from far away": (
        "203.0.113.5 50000 192.0.2.17 22",
        "ip route add 203.0.113.0/24 via 192.0.2.18",
    ),
    "whose answers go another way than its address": (
        "203.0.113.5 50000 192.0.2.33 22",
        "ip route add 203.0.113.0/24 via 192.0.2.18",
    ),
    "by a rule for its address": (
        "203.0.113.5 50000 198.51.100.1 22",
        "ip addr add 198.51.100.1/32 dev lo; ip rule add from 198.51.100.1 lookup 7;"
        "ip route add default via 192.0.2.18 table 7; ip route add 203.0.113.0/24 via 192.0.2.34",
    ),
    "by a rule for its port": (
        "203.0.113.5 50000 198.51.100.1 2222",
        "ip addr add 198.51.100.1/32 dev lo; ip rule add ipproto tcp sport 2222 lookup 7;"
        "ip route add default via 192.0.2.18 table 7; ip route add 203.0.113.0/24 via 192.0.2.34",
    ),
    "over one of several hops": (
        "203.0.113.5 50000 198.51.100.1 22",
        "ip addr add 198.51.100.1/32 dev lo; ip route add 203.0.113.0/24 nexthop via 192.0.2.34 nexthop via 192.0.2.18",
    ),
    "over one of a group of next hops": (
        "203.0.113.5 50000 198.51.100.1 22",
        "ip addr add 198.51.100.1/32 dev lo; ip nexthop add id 8 via 192.0.2.18 dev eth1;"
        "ip nexthop add id 9 via 192.0.2.34 dev eth2; ip nexthop add id 10 group 8/9;"
        "ip route add 203.0.113.0/24 nhid 10",
    ),
    "over a hop of IPv6": (
        "203.0.113.5 50000 198.51.100.1 22",
        "ip addr add 198.51.100.1/32 dev lo; ip route add 203.0.113.0/24 via inet6 fe80::1 dev eth1",
    ),
    "by a rule for the user": (
        "203.0.113.5 50000 198.51.100.1 22",
        "ip addr add 198.51.100.1/32 dev lo; ip rule add uidrange 0-0 lookup 7;"
        "ip route add 203.0.113.0/24 via 192.0.2.18 table 7; ip route add 203.0.113.0/24 via 192.0.2.34",
    ),
    "of IPv6 over one of several hops": (
        "2001:db8:9::5 50000 2001:db8:1::1 22",
        "ip addr add 2001:db8:1::1/128 dev lo;"
        "ip -6 route add 2001:db8:9::/48 nexthop via fe80::1 dev eth2 nexthop via fe80::2 dev eth1",
    ),
    "by IPv6": (
        "2001:db8:9::5 50000 2001:db8:1::1 22",
        "ip addr add 2001:db8:1::1/64 dev eth1; ip -6 route add 2001:db8:9::/48 via fe80::1 dev eth1",
    ),
    "by a link-local address": ("fe80::9%eth1 50000 fe80::5%eth1 22", "ip addr add fe80::5/64 dev eth1"),
    "by a link-local address whose zone is not told": (
        "fe80::9 50000 fe80::5 22",
        "ip addr add fe80::5/64 dev eth1",
    ),
    "by an IPv4 address in the form of IPv6": ("::ffff:192.0.2.18 50000 ::ffff:192.0.2.17 22", ""),
}


def test_the_way_of_a_connection_is_seen() -> None:
    cases = {kind: Case([BEGIN, setup, LOOK], connection) for kind, (connection, setup) in CONNECTIONS.items()}
    found = {kind: gave[-1]["eth1"] for kind, gave in on_hosts(cases).items()}
    assert found == dict.fromkeys(CONNECTIONS, WAY.format("eth1"))


def test_a_connection_that_sudo_keeps_to_itself_is_found_by_its_socket() -> None:
    server = """
import socket
here = socket.create_server(("::", 22), family=socket.AF_INET6, dualstack_ipv6=True)
there = here.accept()
there[0].recv(1)
"""
    setup = f"""
ip addr add 2001:db8::1/64 dev eth1; ip netns add far
ip netns exec far sysctl -qw net.ipv6.conf.default.accept_dad=0
ip link set far1 netns far; ip -n far link set far1 up
ip -n far addr add 192.0.2.18/28 dev far1; ip -n far addr add 2001:db8::2/64 dev far1
ip netns exec far python3 -c '{server}' >/dev/null 2>&1 </dev/null &
until ip netns exec far ss -Hltn | grep -q :22; do sleep 0.02; done
until ! ip -6 address show tentative | grep -q .; do sleep 0.02; done
"""
    found = on_hosts(
        {
            address: Case([BEGIN, setup, {"op": "log in", "address": address}, LOOK])
            for address in ("192.0.2.18", "2001:db8::2")
        }
    )
    for gave in found.values():
        assert (gave[-1]["eth1"], gave[-1]["eth2"]) == (WAY.format("eth1"), None)


def test_a_connection_that_sudo_keeps_to_itself_is_found_in_the_environment_of_its_parents() -> None:
    look = "from orchestrator.agent.way import nic_troubles; print(nic_troubles())"
    (_, found) = on_a_host(
        BEGIN,
        "export SSH_CONNECTION='192.0.2.18 50000 192.0.2.17 22'; exec sh -c '"
        f'env -u SSH_CONNECTION python3 -c "{look}"; true\'',
    )
    assert WAY.format("eth1") in found
    assert WAY.format("eth2") not in found


UNKNOWN = {
    "not told": "",
    "no socket": "UNKNOWN 65535 UNKNOWN 65535",
    "a local forwarder": "127.0.0.1 50000 127.0.0.1 22",
    "of another namespace": "203.0.113.77 50000 203.0.113.78 22",
}


def test_where_the_connection_is_not_known_what_leads_to_many_addresses_is_left_alone() -> None:
    setup = """
    ip route add 10.0.0.0/8 via 192.0.2.18; ip route add default via 192.0.2.34 table 7
    ip rule add from 192.0.2.33 lookup 7
    """
    found = on_hosts({kind: Case([BEGIN, setup, LOOK], connection) for kind, connection in UNKNOWN.items()})
    for kind, gave in found.items():
        assert (kind, gave[-1]["eth1"]) == (kind, WIDE.format("10.0.0.0/8", "eth1"))
        assert (kind, gave[-1]["eth2"]) == (kind, DEFAULT.format("eth2"))


STACKS = {
    # Routes that include eth1: kinds of interfaces, the commands that create it, and the name of its top interface.
    "bridge": (("bridge",), "ip link add br0 type bridge; ip link set eth1 master br0", "br0"),
    "bond": (("bond",), "ip link add bond0 type bond; ip link set eth1 down; ip link set eth1 master bond0", "bond0"),
    "vlan": (("vlan",), "ip link add link eth1 name eth1.5 type vlan id 5", "eth1.5"),
    "macvlan": (("macvlan",), "ip link add link eth1 name mv0 type macvlan mode bridge", "mv0"),
    "ipvlan": (("ipvlan",), "ip link add link eth1 name iv0 type ipvlan", "iv0"),
    "vlan on a bridge": (
        ("bridge", "vlan"),
        "ip link add br0 type bridge; ip link set eth1 master br0; ip link set br0 up;"
        "ip link add link br0 name br0.5 type vlan id 5",
        "br0.5",
    ),
    "macvlan on a vlan on a bond": (
        ("bond", "vlan", "macvlan"),
        "ip link add bond0 type bond; ip link set eth1 down; ip link set eth1 master bond0; ip link set bond0 up;"
        "ip link add link bond0 name bond0.5 type vlan id 5; ip link set bond0.5 up;"
        "ip link add link bond0.5 name mv0 type macvlan mode private",
        "mv0",
    ),
    "macvlan on a bridge": (
        ("bridge", "macvlan"),
        "ip link add br0 type bridge; ip link set eth1 master br0; ip link set br0 up;"
        "ip link add link br0 name mv0 type macvlan mode bridge",
        "mv0",
    ),
}


def test_all_that_the_way_stands_on_is_a_part_of_it() -> None:
    needs = {kind: kinds for kind, (kinds, _, _) in STACKS.items()}
    made = {
        kind: f"{setup}; ip link set {top} up; ip link set eth1 up; ip addr add 203.0.113.1/24 dev {top}"
        for kind, (_, setup, top) in STACKS.items()
    }
    found = troubles(made, "203.0.113.5 50000 203.0.113.1 22", needs)
    for kind, nics in found.items():
        top = STACKS[kind][2]
        assert (nics["eth1"], nics[top]) == (WAY.format(f"{top}, which is built on eth1"), WAY.format(top))
    default = "; ip route add default via 203.0.113.5"
    found = troubles({kind: setup + default for kind, setup in made.items()}, needs=needs)
    for kind, nics in found.items():
        assert nics["eth1"] == DEFAULT.format(f"{STACKS[kind][2]}, which is built on eth1")


MASTER, TOP = "it belongs to {}, and could not be put back into it", "{} is built on it, and would be removed with it"
OTHERS = {
    "bridge": ("ip link add br0 type bridge; ip link set eth1 master br0", MASTER.format("br0")),
    "bond": ("ip link add b0 type bond; ip link set eth1 down; ip link set eth1 master b0", MASTER.format("b0")),
    "vrf": ("ip link add v0 type vrf table 9; ip link set eth1 master v0", MASTER.format("v0")),
    "macvlan": ("ip link add link eth1 name mv0 type macvlan", TOP.format("mv0")),
    "vlan": ("ip link add link eth1 name eth1.5 type vlan id 5", TOP.format("eth1.5")),
}


def test_what_belongs_to_another_is_not_taken() -> None:
    found = troubles({kind: setup for kind, (setup, _) in OTHERS.items()}, needs={kind: [kind] for kind in OTHERS})
    assert {kind: nics["eth1"] for kind, nics in found.items()} == {kind: OTHERS[kind][1] for kind in found}


def test_what_cannot_be_moved_is_said_before() -> None:
    found = troubles({"": "ip link add br0 type bridge"}, needs={"": ["bridge"]})[""]
    assert found["br0"] == "it is a bridge, which cannot be moved to a role; use a separate interface, or a VLAN"


KEPT = "the kernel keeps it in its network namespace; use a separate interface, or a VLAN"
CARD = Link(7, "en7", "", 0, 0, 0, 1500, 1000, 0, "020000000001", "", "", (), None, ())


@pytest.mark.parametrize(
    ("told", "features", "trouble"),
    [
        (True, "", KEPT),
        (False, "netns-local: on [fixed]\n", None),
        (None, "vlan-challenged: off [fixed]\nnetns-local: on [fixed]\n", KEPT),
        (None, "netns-local: off [fixed]\n", None),
        (None, None, None),
    ],
)
def test_a_port_of_a_switch_that_cannot_be_moved_is_said(
    monkeypatch: pytest.MonkeyPatch, told: bool | None, features: str | None, trouble: str | None
) -> None:
    monkeypatch.setattr(ethtool, "asked", lambda option, nic: features)
    monkeypatch.setattr(ethtool.os.path, "exists", lambda path: True)
    assert way.trouble_of("en7", {"en7": CARD._replace(immovable=told)}, {}, ()) == trouble


CARRIES = "a tunnel of this very SSH connection is carried over {}"
PEER = """
from orchestrator.agent.netlink import *
key = attribute(WGPEER_PUBLIC_KEY, bytes(range(32)))
peer = nested(0, key, attribute(WGPEER_ENDPOINT, endpoint("192.0.2.18:51820")))
WireGuardNetlink().set("t0", attribute(WGDEVICE_PRIVATE_KEY, bytes(range(1, 33))), nested(WGDEVICE_PEERS, peer))
"""
TUNNELS = {
    **{kind: (kind, "remote 192.0.2.18", "true") for kind in ("gre", "ipip", "sit")},
    "vxlan": ("vxlan", "id 5 remote 192.0.2.18 dstport 4789", "true"),
    "vxlan by its forwarding table": (
        "vxlan",
        "id 5 dstport 4789",
        "bridge fdb append 00:00:00:00:00:00 dev t0 dst 192.0.2.18",
    ),
    "geneve": ("geneve", "id 5 remote 192.0.2.18", "true"),
    "wireguard": ("wireguard", "", f"python3 -c '{PEER}'"),
}
OVER_A_TUNNEL = "203.0.113.5 50000 203.0.113.1 22"


def test_what_carries_a_tunnel_of_the_way_to_its_far_end_is_a_part_of_it() -> None:
    made = {
        kind: f"ip link add t0 type {type_} {words}; {more}; ip link set t0 up; ip addr add 203.0.113.1/24 dev t0"
        for kind, (type_, words, more) in TUNNELS.items()
    }
    needs = {kind: [type_] for kind, (type_, _, _) in TUNNELS.items()}
    for nics in troubles(made, OVER_A_TUNNEL, needs).values():
        assert (nics["t0"], nics["eth1"], nics["eth2"]) == (WAY.format("t0"), CARRIES.format("eth1"), None)
    # A bridge with a tunnel as its port, and a tunnel in a tunnel
    stacks = {
        "bridge": "ip link add t0 type vxlan id 5 remote 192.0.2.18 dstport 4789; ip link set t0 up;"
        "ip link add br0 type bridge; ip link set t0 master br0; ip link set br0 up;"
        "ip addr add 203.0.113.1/24 dev br0",
        "tunnel": "ip link add t1 type vxlan id 6 remote 192.0.2.18 dstport 4790; ip link set t1 up;"
        "ip addr add 198.51.100.1/24 dev t1; ip link add t0 type vxlan id 5 remote 198.51.100.2 dstport 4789;"
        "ip link set t0 up; ip addr add 203.0.113.1/24 dev t0",
    }
    for nics in troubles(stacks, OVER_A_TUNNEL, dict.fromkeys(stacks, ("vxlan", "bridge"))).values():
        assert (nics["eth1"], nics["eth2"]) == (CARRIES.format("eth1"), None)


def test_where_the_far_end_of_a_tunnel_is_not_known_what_leads_to_many_addresses_is_left_alone() -> None:
    made = {
        "vxlan": "ip link add t0 type vxlan id 5 dstport 4789",
        "wireguard": "ip link add t0 type wireguard",
        "gre": "ip link add t0 type gre remote 0.0.0.0 local 192.0.2.33",
        "tun": "ip tuntap add dev t0 mode tun",
    }
    setup = "; ip link set t0 up; ip addr add 203.0.113.1/24 dev t0; ip route add 10.0.0.0/8 via 192.0.2.18"
    found = troubles({kind: add + setup for kind, add in made.items()}, OVER_A_TUNNEL, {kind: [kind] for kind in made})
    for nics in found.values():
        assert (nics["t0"], nics["eth1"]) == (WAY.format("t0"), WIDE.format("10.0.0.0/8", "eth1"))


def test_a_default_route_for_packets_that_cannot_be_known_is_left_alone() -> None:
    setup = "ip route add default via 192.0.2.18 table 7; ip rule add {} lookup 7"
    found = troubles({rule: setup.format(rule) for rule in ("fwmark 7", "fwmark 0x100/0xff00", "dsfield 0x10")})
    assert {rule: nics["eth1"] for rule, nics in found.items()} == dict.fromkeys(found, DEFAULT.format("eth1"))


def test_the_way_back_from_a_port_of_a_vrf_is_that_of_its_table() -> None:
    setup = """
    ip link add red type vrf table 9; ip link set red up; ip link set eth1 master red; ip link set eth2 master red
    ip route add 203.0.113.0/24 via 192.0.2.34 table 9; ip link add eth3 type veth peer name far3; ip link set eth3 up
    ip addr add 192.0.2.49/28 dev eth3; ip route add 203.0.113.0/24 via 192.0.2.50
    """
    found = troubles({"": setup}, "203.0.113.5 50000 192.0.2.17 22", {"": ["vrf"]})[""]
    assert (found["eth1"], found["eth2"], found["eth3"]) == (WAY.format("eth1"), WAY.format("eth2"), None)


@pytest.mark.parametrize(
    "text", ["", "UNKNOWN 65535 UNKNOWN 65535", "192.0.2.1 50000", "a b c d", "192.0.2.1 x 192.0.2.2 22", "1 2 3 4"]
)
def test_what_names_no_connection_is_none(text: str) -> None:
    assert told_by(f"A=b\0SSH_CONNECTION={text}\0".encode()) == []


def test_a_survey_says_which_interfaces_cannot_be_taken() -> None:
    survey = {"op": "survey", "tools": {}, "kernel_modules": ["no-such-module"], "folders": [], "load_window_s": 0}
    names = "ip link property add dev eth1 altname enp99s0f0np0 altname rack"
    found = on_a_host(BEGIN, names, survey, connection=OVER_ETH2)[-1]
    assert found["other_names"] == {"enp99s0f0np0": "eth1", "rack": "eth1"}
    own = {nic: facts["trouble"] for nic, facts in found["nics"].items() if nic[:3] in ("eth", "far")}
    assert own == {  # a kernel with GRE has further interfaces
        **dict.fromkeys(["eth1", "far1", "far2"]),
        "eth2": WAY.format("eth2"),
    }
