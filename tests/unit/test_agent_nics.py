# SPDX-License-Identifier: Apache-2.0
"""Interfaces are restored as they were: the agent in its own network namespace, with the real kernel."""

import difflib
import json
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent import snapshot
from tests.unit.namespaces import Case, on_a_host, on_hosts

BEGIN = """
sysctl -qw net.ipv6.conf.default.accept_dad=0  # nothing waits for addresses to be known as free
ip link add eth1 type veth peer name far1; ip link add eth2 type veth peer name far2
ip link set far1 up; ip link set far2 up; ip link set eth1 up; ip link set eth2 up
# The kernel gives them addresses on its own a moment later.
for nic in eth1 eth2 far1 far2; do until ip -6 -o address show dev $nic | grep -q fe80; do sleep 0.02; done; done
"""
# The whole state of a host, except remaining lifetimes, routes that follow from other state, and whether the kernel or
# the agent was first to give an interface its own address.
SHOW = """
for _ in $(seq 100); do ip -6 address show tentative | grep -q . || break; sleep 0.02; done
ip -N -d address | grep -v valid_lft | sed 's/LOWERLAYERDOWN/DOWN/; s/ stable-privacy//'
ip -N -d rule; ip -6 -N -d rule; ip nexthop
ip -4 -N -d route show table all | sort; ip -6 -N -d route show table all | sed 's/expires [0-9]*sec/expires/' | sort
ip token; ip neigh show nud permanent; ip neigh show nud noarp | grep lladdr.02: || true
ip neigh show proxy; tc qdisc | sort
grep -s . /proc/sys/net/ipv[46]/*/eth[12]/* || true
"""
LEAVE = {"op": "leave"}


def links(*nics: str) -> dict[str, Any]:
    lent = [{"nic": nic, "role": "gateway-a", "device": f"wan{number}"} for number, nic in enumerate(nics)]
    ip = [f"link set wan{number} up mtu 1300" for number in range(len(nics))]
    return {"op": "links", "namespaces": {"gateway-a": {"sysctl": {}, "ip": ip}}, "veth": [], "nics": lent}


def differences(setup: str, *nics: str, connection: str = "") -> list[str]:
    """Return the lines in which a host's state differs after its interfaces were used."""
    gone = "ls /sys/class/net; ip route show table all"
    before, lent, meanwhile, left, after, noted = on_a_host(
        BEGIN + setup, SHOW, links(*nics), gone, LEAVE, SHOW, "ls /run/orch", connection=connection
    )[1:]
    assert lent["ok"], lent
    assert all(nic not in meanwhile for nic in nics)
    assert (left["ok"], left["left"], noted) == (True, [], "")
    return changed(before, after)


def changed(before: str, after: str) -> list[str]:
    """Return the lines that only one of two texts has, marked."""
    found = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return [line for line in found if line[:2] not in ("--", "++", "@@")]


def test_addresses_come_back_with_all_that_they_have() -> None:
    found = differences(
        """
        ip addr add 192.0.2.1/24 brd + dev eth1; ip addr add 192.0.2.7/24 dev eth1
        ip addr add 198.51.100.1 peer 198.51.100.2/32 dev eth1
        ip addr add 203.0.113.1/24 metric 500 scope site label eth1:rack dev eth1
        ip addr add 203.0.113.129/25 noprefixroute valid_lft 3600 preferred_lft 1800 dev eth1
        ip addr add 2001:db8:1::5/64 dev eth1 nodad; ip addr add 2001:db8:2::1/64 dev eth1 preferred_lft 0
        ip addr add 2001:db8:3::1/64 dev eth1 valid_lft 4000 preferred_lft 2000 mngtmpaddr
        ip addr add 2001:db8:4::1/64 dev eth1 noprefixroute; ip addr add fe80::5/64 dev eth1
        ip addr add 2001:db8:5::1 peer 2001:db8:5::2/128 dev eth1
        ip addr add 239.255.7.7/32 autojoin dev eth1; ip addr add ff05::77/128 autojoin dev eth1
        """,
        "eth1",
    )
    assert found == []


def test_routes_come_back_with_all_that_they_have() -> None:
    found = differences(
        """
        ip addr add 192.0.2.1/24 brd + dev eth1; ip addr add 203.0.113.1/24 dev eth2; ip addr add 192.0.2.7/24 dev eth1
        ip addr add 2001:db8:2::1/64 dev eth1
        ip route add 10.1.0.0/16 via 192.0.2.2 mtu lock 1300 advmss 1200 initcwnd 10 rto_min 50ms
        ip route add 10.2.0.0/16 nexthop via 192.0.2.2 dev eth1 weight 3 nexthop via 203.0.113.2 dev eth2 weight 1
        ip route add 10.3.0.0/16 via 192.0.2.2 table 100 proto static realm 7
        ip route add 10.4.0.0/16 via 10.1.0.1 dev eth1 onlink src 192.0.2.7
        ip route add 10.5.0.0/16 via 203.0.113.3 src 192.0.2.7
        ip route add 10.6.0.0/16 via 192.0.2.2 tos 0x10
        ip route add 10.6.0.0/16 via 192.0.2.3; ip route append 10.6.0.0/16 via 192.0.2.4
        ip route add 10.7.0.0/16 via inet6 fe80::7 dev eth1
        ip route add default via 192.0.2.9 table 100; ip rule add from 192.0.2.7 lookup 100
        ip addr add 203.0.113.129/25 noprefixroute dev eth1
        ip route add 203.0.113.128/25 dev eth1 proto kernel scope link src 203.0.113.129 metric 101
        ip route add 10.9.0.0/16 encap ip id 3 dst 192.0.2.7 dev eth1 || true
        ip -6 route add 2001:db8:e::/48 encap ip6 id 3 dst 2001:db8:2::7 dev eth1 || true
        ip route add local 10.8.0.0/16 dev eth1 table 101
        ip -6 route add 2001:db8:a::/48 via fe80::1 dev eth1 metric 77 src 2001:db8:2::1 mtu 1400
        ip -6 route add 2001:db8:b::/48 nexthop via fe80::1 dev eth1 weight 2 nexthop via fe80::2 dev eth2
        ip -6 route add 2001:db8:c::/48 via fe80::1 dev eth1 expires 5000 pref high
        ip -6 route add 2001:db8:d::/64 dev eth1 metric 256; ip -6 route append 2001:db8:d::/64 dev eth2 metric 256
        ip rule add iif eth1 lookup 101; ip -6 rule add oif eth1 lookup 102
        ip neigh add 192.0.2.77 lladdr 02:00:00:00:00:01 dev eth1 nud permanent
        ip neigh add 192.0.2.79 lladdr 02:00:00:00:00:02 dev eth1 nud noarp
        ip neigh add proxy 192.0.2.78 dev eth1; ip neigh add proxy 2001:db8:2::78 dev eth1
        sysctl -qw net.ipv6.conf.eth1.accept_dad=1
        """,
        "eth1",
        connection="203.0.113.9 50000 203.0.113.1 22",
    )
    assert found == []


def test_next_hops_come_back_and_groups_have_them_again() -> None:
    found = differences(
        """
        ip addr add 192.0.2.1/24 dev eth1; ip addr add 203.0.113.1/24 dev eth2
        ip nexthop add id 24 via 192.0.2.3 dev eth1; ip nexthop add id 25 via 203.0.113.4 dev eth2
        ip nexthop add id 26 via fe80::1 dev eth1
        ip nexthop add id 30 group 24,3/25,5; ip nexthop add id 31 group 24
        ip route add 10.4.0.0/16 nhid 24 proto bgp metric 20; ip route add 10.5.0.0/16 nhid 30
        ip route add 10.6.0.0/16 nhid 31; ip -6 route add 2001:db8:a::/48 nhid 26
        """,
        "eth1",
    )
    assert found == []


def test_a_host_that_lends_nothing_has_nothing_to_give_back() -> None:
    done = on_a_host(links(), LEAVE, "ls /run/orch; ip netns")
    assert (done[0]["ok"], done[1]["left"], done[2]) == (True, [], "")


def test_what_a_killed_agent_left_of_a_trial_is_removed() -> None:
    made = "mkdir -p /run/orch/trial-7/files /run/orch/profile-8; touch /run/orch/trial-7/client-1.out"
    done = on_a_host(made, {"op": "leave", "leftovers": True}, "ls /run/orch")
    assert (done[1]["left"], done[2]) == ([], "")


def test_two_interfaces_that_share_a_route_come_back_together() -> None:
    found = differences(
        """
        ip addr add 192.0.2.1/24 dev eth1; ip addr add 203.0.113.1/24 dev eth2
        ip route add 10.2.0.0/16 nexthop via 192.0.2.2 weight 3 nexthop via 203.0.113.2 weight 1
        ip -6 route add 2001:db8:b::/48 nexthop via fe80::1 dev eth1 nexthop via fe80::2 dev eth2
        """,
        "eth1",
        "eth2",
    )
    assert found == []


def test_an_interface_comes_back_with_its_own_state_and_sysctls() -> None:
    found = differences(
        """
        ip link set eth1 mtu 1400 txqueuelen 77 alias 'to the rack' allmulticast on promisc on group 5
        sysctl -qw net.ipv4.conf.eth1.rp_filter=2 net.ipv6.conf.eth1.accept_ra=0 net.ipv6.conf.eth1.mtu=1380
        sysctl -qw net.ipv6.conf.eth1.stable_secret=2001:db8::7 net.ipv4.neigh.eth1.ucast_solicit=5
        sysctl -qw net.ipv6.conf.eth1.addr_gen_mode=3; ip token set ::77 dev eth2
        ip link set eth1 down; ip link set eth1 up
        until ip -6 -o addr show dev eth1 | grep -q fe80; do sleep 0.02; done; ip -6 addr add fe80::77/64 dev eth1
        """,
        "eth1",
        "eth2",
    )
    assert found == []
    found = differences("ip link set eth1 down; ip addr add 192.0.2.1/24 dev eth1", "eth1")
    assert [line for line in found if "qdisc" not in line] == [], found  # an interface that is down has none


def test_the_networks_of_addresses_have_no_routes_where_they_had_none() -> None:
    found = differences("ip addr add 192.0.2.1/24 dev eth1; ip route del 192.0.2.0/24", "eth1")
    assert found == []


def test_thousands_of_routes_come_back() -> None:
    lines = "".join(f"route add 10.{n // 250}.{n % 250}.0/24 via 192.0.2.{2 + n % 9}\n" for n in range(3000))
    done = on_a_host(
        BEGIN + f"ip addr add 192.0.2.1/24 dev eth1; ip -batch - <<END\n{lines}END\n",
        "ip route | sort",
        links("eth1"),
        LEAVE,
        "ip route | sort",
    )
    assert (done[3]["left"], done[4].count("\n")) == ([], 3001)
    assert done[4] == done[1]


def test_what_the_cable_does_is_no_part_of_a_route() -> None:
    done = on_a_host(
        BEGIN,
        """
        ip addr add 192.0.2.1/24 dev eth1; ip route add 10.1.0.0/16 via 192.0.2.2; ip addr add 2001:db8:1::1/64 dev eth1
        while ip -6 addr show dev eth1 | grep -q tentative; do sleep 0.02; done
        ip -6 route add 2001:db8:a::/48 via fe80::1 dev eth1 src 2001:db8:1::1
        ip -6 route add 2001:db8:b::/48 via 2001:db8:1::9; sysctl -qw net.ipv6.conf.eth1.accept_dad=1
        """,
        SHOW,
        "ip link set far1 down; until ip route | grep -q linkdown; do sleep 0.02; done; ip route",
        links("eth1"),
        LEAVE,
        "ip route",
        "ip link set far1 up; until ip link show dev eth1 | grep -q LOWER_UP; do sleep 0.02; done",
        SHOW,
    )
    assert "linkdown" in done[3]
    assert (done[5]["left"], done[6]) == ([], done[3])
    assert changed(done[2], done[8]) == []


def test_what_fails_is_said_keeps_nothing_else_and_is_tried_again() -> None:
    done = on_a_host(
        BEGIN,
        "ip addr add 192.0.2.1/24 dev eth1; ip addr add 203.0.113.1/24 dev eth2;"
        "ip route add 10.2.0.0/16 nexthop via 192.0.2.2 dev eth1 nexthop via 203.0.113.2 dev eth2;"
        "ip route add 10.1.0.0/16 via 192.0.2.2; ip route",
        links("eth1"),
        "ip link set eth2 down",  # one hop of a route is beyond reach
        LEAVE,
        "ip route; cat /run/orch/nics.json",
        {"op": "leave", "leftovers": True},
        "ip link set eth2 up; cat /run/orch/nics.json",
        {"op": "leave", "leftovers": True},
        "ip route; ls /run/orch",
    )
    (said,) = done[4]["left"]
    assert done[4]["ok"]
    assert "eth1 is not as it was: putting back the route 10.2.0.0/16 over eth1, eth2 failed: " in said
    assert "10.1.0.0/16 via 192.0.2.2 dev eth1" in done[5]
    assert "10.2.0.0/16 via 192.0.2.2 dev eth1" in done[5]  # with the hop that it can have
    assert done[6]["left"] == [said]
    assert [entry["kind"] for entry in json.loads(done[7])["eth1"]["entries"]] == ["route"]
    assert (done[8]["left"], done[8]["done"][-1:]) == ([], ["the interfaces eth1 were given back"])
    assert sorted(done[9].split()) == sorted(done[1].split())


def test_a_fault_with_one_interface_keeps_no_other_from_coming_back(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def put_addresses_back(nic: str, was: Any) -> dict[str, Any]:
        tried.append(nic)
        if nic == "eth1":
            raise ValueError("unexpected")
        return {}

    def connect(nic: str, was: Any, failed: Any) -> dict[str, Any] | None:
        tried.append(nic)
        return {"why": failed["link"]} if failed else None

    monkeypatch.setattr(snapshot, "put_addresses_back", put_addresses_back)
    monkeypatch.setattr(snapshot, "connect", connect)
    left = snapshot.restore({"eth1": {}, "eth2": {}})
    assert (left["eth1"], left["eth2"]) == ({"why": ["ValueError: unexpected"]}, None)
    assert tried == ["eth1", "eth2", "eth1", "eth2"]


def test_what_is_owed_from_an_earlier_time_goes_along_when_an_interface_is_lent_again() -> None:
    done = on_a_host(
        BEGIN,
        "ip addr add 192.0.2.1/24 dev eth1; ip addr add 203.0.113.1/24 dev eth2;"
        "ip route add 10.2.0.0/16 nexthop via 192.0.2.2 dev eth1 nexthop via 203.0.113.2 dev eth2; ip route",
        links("eth1"),
        "ip link set eth2 down",
        links("eth1"),
        "ip link set eth2 up",
        LEAVE,
        "ip route; ls /run/orch",
    )
    assert (done[4]["ok"], done[6]["left"]) == (True, [])
    assert sorted(done[7].split()) == sorted(done[1].split())


def test_an_interface_that_is_gone_is_said_and_another_comes_back() -> None:
    done = on_a_host(
        BEGIN + "ip addr add 203.0.113.1/24 dev eth2",
        links("eth1", "eth2"),
        "ip -n gateway-a link del wan0",
        LEAVE,
        "ip address show dev eth2; ip netns",
    )
    assert done[3]["left"] == ["eth1 is not back: there is no interface eth1 on this host any more."]
    assert "203.0.113.1/24" in done[4]
    assert "gateway-a" not in done[4]


def test_after_an_agent_that_was_killed_the_next_one_gives_the_interfaces_back() -> None:
    setup = BEGIN + "ip addr add 192.0.2.1/24 dev eth1; ip route add 10.1.0.0/16 via 192.0.2.2 table 9"
    killed = "import json; from orchestrator.agent.agent import answer; print(json.dumps(answer(json.loads(input()))))"
    _, before, lent, left, after = on_a_host(
        setup,
        SHOW,
        f"echo '{json.dumps(links('eth1'))}' | python3 -c '{killed}'",
        {"op": "leave", "leftovers": True},
        SHOW,
    )
    assert json.loads(lent)["ok"], lent
    assert left["done"][-2:] == ["the namespaces gateway-a were removed", "the interfaces eth1 were given back"]
    assert left["left"] == []
    assert changed(before, after) == []


def test_an_interface_that_came_home_by_itself_has_its_name_and_all_else_again() -> None:
    done = on_a_host(
        BEGIN + "ip addr add 192.0.2.1/24 dev eth1",
        SHOW,
        links("eth1"),
        "ip -n gateway-a link set wan0 netns $$",
        LEAVE,
        SHOW,
    )
    assert done[4]["left"] == []
    assert changed(done[1], done[5]) == []


def test_lives_go_on_while_an_interface_is_away() -> None:
    done = on_a_host(
        BEGIN + "ip addr add 192.0.2.1/24 dev eth1 valid_lft 5000 preferred_lft 3000;"
        "ip addr add 192.0.2.2/24 dev eth1 valid_lft 1000 preferred_lft 50",
        links("eth1"),
        """python3 -c 'import json; f = "/run/orch/nics.json"; nics = json.load(open(f)); nics["eth1"]["at_s"] -= 2000;
json.dump(nics, open(f, "w"))'""",
        LEAVE,
        "ip -json address show dev eth1",
    )
    assert done[3]["left"] == []
    (found,) = [a for a in json.loads(done[4])[0]["addr_info"] if a["family"] == "inet"]
    assert found["local"] == "192.0.2.1"
    assert 2000 < found["valid_life_time"] <= 3000
    assert 0 < found["preferred_life_time"] <= 1000


# A router that advertises a prefix for addresses, a route, and its own life in seconds. RFC 4861, RFC 4191
ADVERTISE = """
import ipaddress, socket, struct, sys
router = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
router.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
said = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 0, 0, 0)
prefix = ipaddress.ip_address("2001:db8:aa::").packed
said += struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 3000, 1000, 0) + prefix
said += struct.pack("!BBBBI", 24, 3, 48, 8, 1800) + ipaddress.ip_address("2001:db8:bb::").packed
router.sendto(said, ("ff02::1", 0, 0, socket.if_nametoindex("far1")))
"""


def test_what_routers_advertise_comes_back_with_its_life_and_is_renewed() -> None:
    if not Path("/proc/sys/net/ipv6/conf/all/accept_ra_rt_info_max_plen").exists():
        pytest.skip("this computer's kernel takes no routes from routers")
    show = "ip -6 address show dev eth1 | grep -v temporary | sed 's/[0-9]*sec/s/g'"
    show += "; ip -6 route | sed 's/[0-9]*sec/s/' | sort"
    hear = f"ip netns exec far python3 -c '{ADVERTISE}'; until ip -6 route | grep -q 2001:db8:bb; do sleep 0.02; done"
    done = on_a_host(
        BEGIN,
        "ip netns add far; ip netns exec far sysctl -qw net.ipv6.conf.default.accept_dad=0;"
        "ip link set far1 netns far; ip -n far link set far1 up;"
        "sysctl -qw net.ipv6.conf.eth1.accept_ra=2 net.ipv6.conf.eth1.use_tempaddr=2;"
        "sysctl -qw net.ipv6.conf.eth1.accept_ra_rt_info_max_plen=64;" + hear,
        show,
        links("eth1"),
        LEAVE,
        show,
        hear,
        show,
    )
    assert done[4]["left"] == []
    # The kernel would treat a restored route as one added by hand, which never expires.
    assert all("2001:db8:bb::/48" in line for line in changed(done[2], done[5]))
    assert changed(done[2], done[7]) == []
    assert done[5].count("temporary") == 0
    assert "2001:db8:bb::/48" in done[7]
    assert "expires s" in done[7]


def test_an_advertised_route_that_a_program_made_comes_back_as_it_was() -> None:
    found = differences(
        "sysctl -qw net.ipv6.conf.eth1.accept_ra=0;"
        "ip -6 route add 2001:db8:c::/48 via fe80::1 dev eth1 expires 5000 pref high proto ra",
        "eth1",
    )
    assert found == []


def test_when_the_second_of_two_interfaces_cannot_be_lent_the_first_comes_back_too() -> None:
    request = links("eth1", "eth2")
    request["namespaces"]["gateway-b"] = {"sysctl": {}, "ip": []}
    request["veth"] = [["gateway-a", "wan1", "gateway-b", "lan0"]]  # a name that is taken
    setup = "ip addr add 192.0.2.1/24 dev eth1; ip addr add 203.0.113.1/24 dev eth2"
    show = "for nic in eth1 eth2; do ip -o -4 address show dev $nic | sed 's/^[0-9]*//'; done; ip route"
    done = on_a_host(BEGIN + setup, show, request, LEAVE, show)
    assert not done[2]["ok"]
    assert "changing the namespace of eth2 failed: File exists" in done[2]["error"]
    assert done[3]["left"] == []
    assert changed(done[1], done[4]) == []


def test_an_interface_has_its_number_again_unless_another_has_it_by_now() -> None:
    request = links("eth1")
    request["namespaces"]["client"] = {"sysctl": {}, "ip": []}
    names = [f"lan{number}" for number in range(8)]
    request["veth"] = [["gateway-a", name, "client", name] for name in names]  # which take the first numbers there
    show = "cat /sys/class/net/eth1/ifindex"
    there = "ip -n gateway-a -o link show dev wan0 | cut -d : -f 1"
    done = on_a_host(BEGIN, show, request, there, LEAVE, show)
    assert (done[2]["ok"], done[4]["left"]) == (True, [])
    assert done[3] != done[1] == done[5]
    taken = f"ip link add eth9 index {done[1].strip()} type veth peer name far9"
    done = on_a_host(BEGIN, request, taken, LEAVE, show)
    assert (done[1]["ok"], done[3]["left"]) == (True, [])
    assert done[4].strip() not in taken.split()


def test_an_interface_that_stands_on_another_is_lent_and_comes_back() -> None:
    cases = {
        "macvlan": "ip link add link eth1 name top type macvlan mode bridge",
        "vlan": "ip link add link eth1 name top type vlan id 5",
    }
    begin = BEGIN + "{}; ip link set top up; ip addr add 192.0.2.1/24 dev top; ip route add 10.1.0.0/16 via 192.0.2.2"
    found = on_hosts(
        {
            kind: Case([begin.format(make), SHOW, links("top"), "ip link", LEAVE, SHOW], needs=[kind])
            for kind, make in cases.items()
        }
    )
    for done in found.values():
        assert (done[2]["ok"], "top" in done[3], done[4]["left"]) == (True, False, [])
        assert changed(done[1], done[5]) == []


def test_an_interface_whose_hardware_address_changed_meanwhile_comes_back() -> None:
    cases = {"macvlan": "type macvlan mode bridge", "vlan": "type vlan id 5"}
    found = on_hosts(
        {
            kind: Case(
                [
                    f"{BEGIN} ip link add link eth1 name top {make}; ip addr add 192.0.2.1/24 dev top",
                    links("top"),
                    "ip -n gateway-a link set wan0 address 02:00:00:00:00:77",
                    LEAVE,
                    "ip address show dev top",
                ],
                needs=[kind],
            )
            for kind, make in cases.items()
        }
    )
    for done in found.values():
        assert done[3]["left"] == []
        assert "192.0.2.1/24" in done[4]


def test_what_could_not_be_given_back_is_not_taken() -> None:
    done = on_a_host(
        BEGIN + "tc qdisc add dev eth1 clsact; tc qdisc add dev eth2 root handle 1: htb",
        links("eth1"),
        links("eth2"),
        links("eth3"),
    )
    assert (
        "eth1 cannot be used for the role gateway-a: it has classes or filters of traffic control (clsact)"
        in done[1]["error"]
    )
    assert "(htb), which could not be put back" in done[2]["error"]
    error = done[3]["error"]
    assert "eth3 cannot be used for the role gateway-a: there is no interface eth3 here; there are " in error
    assert " eth1, eth2," in error


def test_what_has_filters_of_traffic_control_is_not_taken() -> None:
    made = {"fq_codel": "; tc filter add dev eth1 parent 7: matchall flowid 7:2", "pfifo": ""}
    found = on_hosts(
        {
            kind: Case(
                [f"{BEGIN} tc qdisc add dev eth1 root handle 7: {kind}{more}", links("eth1"), LEAVE],
                needs=[f"qdisc {kind}"],
            )
            for kind, more in made.items()
        }
    )
    assert found["pfifo"][1]["ok"]
    if "fq_codel" in found:
        assert "it has classes or filters of traffic control (fq_codel), which" in found["fq_codel"][1]["error"]


def test_queueing_disciplines_come_back() -> None:
    made = {
        "pfifo": "pfifo limit 333",
        "tbf": "tbf rate 1gbit burst 100k latency 50ms",
        "fq": "fq limit 5000 flow_limit 50 maxrate 2gbit",
        "fq_codel": "fq_codel limit 500 target 3ms",
        "netem": "netem delay 10ms 1ms loss 1% rate 1gbit",
    }
    show = "tc qdisc show dev eth1"
    found = on_hosts(
        {
            kind: Case(
                [f"{BEGIN} tc qdisc add dev eth1 root handle 5: {words}", show, links("eth1"), LEAVE, show],
                needs=[f"qdisc {words}"],
            )
            for kind, words in made.items()
        }
    )
    for kind, done in found.items():
        assert (done[3]["left"], done[4]) == ([], done[1])
        assert f"qdisc {kind} 5:" in done[4]


def test_queues_with_their_own_disciplines_come_back() -> None:
    done = on_a_host(
        "ip link add eth1 numtxqueues 4 type veth peer name far1; ip link set far1 up; ip link set eth1 up;"
        "tc qdisc add dev eth1 root handle 7: mq; tc qdisc add dev eth1 parent 7:2 handle 8: pfifo limit 50",
        "tc qdisc show dev eth1 | sort",
        links("eth1"),
        LEAVE,
        "tc qdisc show dev eth1 | sort",
    )
    assert (done[3]["left"], done[4]) == ([], done[1])
