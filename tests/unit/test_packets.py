# SPDX-License-Identifier: Apache-2.0
"""Loads of packets: the spread of flows, the output of pktgen and the counters, and where losses are looked for."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent import hops, pktgen
from orchestrator.agent.host import AgentError
from orchestrator.agent.packet_messages import PktgenDevice, PktgenRequest
from orchestrator.spec import LINKS
from orchestrator.tools.pktgen.loads import IMIX_SIZES, paces, senders
from orchestrator.tools.pktgen.losses import growth, lost

# In the form of pktgen_if_show() and show_results() of Linux 6.1 to 7.2.
DEVICE = """\
Params: count 50000  min_pkt_size: 78  max_pkt_size: 78
     frags: 0  delay: 20000ns  clone_skb: 0  ifname: lan0@0
     flows: 0 flowlen: 0
     src_min: 10.64.1.1  src_max: 10.64.1.1
     Flags: SHARED
Current:
     pkts-sofar: 49990  errors: 10
{imix}     started: 1500000us  stopped: 2500010us idle: 7us
     seq_num: 49991  cur_dst_mac_offset: 0  cur_src_mac_offset: 0
     cur_saddr: 10.64.1.1  cur_daddr: 10.128.1.1
     flows: 0
Result: OK: 1000010(c1000003+d7) usec, 49990 (78byte,0frags)
  49989pps 31Mb/sec (31193136bps) errors: 10
"""


@pytest.mark.parametrize("imix", ["", "     imix_size_counts: 78,29000 590,16500 1434,4490 \n"])
def test_a_result_of_pktgen_is_read(imix: str) -> None:
    found = pktgen.result_of("lan0@0", DEVICE.format(imix=imix))
    assert found == {"sent": 49990, "errors": 10, "started_s": 1.5, "stopped_s": 2.50001}


def test_a_device_of_pktgen_without_a_result_says_why() -> None:
    text = DEVICE.format(imix="").split("Result:")[0]
    for result, says in (("Result: Idle\n", "no result: Idle"), ("Result: No memory\n", "No memory"), ("", "nothing")):
        with pytest.raises(AgentError, match=says):
            pktgen.result_of("lan0@0", text + result)


def test_a_device_is_told_sizes_of_frames_and_the_ports_of_its_flows() -> None:
    device = PktgenDevice(name="lan0@0", cpu=0, source="10.64.1.1", destination="10.128.1.1", ports=[1024, 4])
    request = PktgenRequest("client", "lan0", "10.0.0.1", [[64, 1]], clone=0, burst=1, devices=[device])
    said = [command for command, _ in pktgen.settings(request, device, "02:00:00:00:00:01")]
    assert "pkt_size 78" in said
    assert {"udp_src_min 1024", "udp_src_max 1028"} <= set(said)  # the last one is lower
    said = [command for command, _ in pktgen.settings(replace(request, sizes=IMIX_SIZES, burst=8), device, "x")]
    assert "imix_weights 78,7 590,4 1434,1" in said
    assert "burst 8" in said


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 70))
def test_every_flow_has_one_cpu_and_tunnels_share_alike(cpus: int, tunnels: int, flows: int) -> None:
    found = senders("lan0", range(cpus), tunnels, flows)
    assert len({sender.name for sender in found}) == len(found)
    ports = [(s.tunnel, p) for s in found for p in range(s.port, s.port + s.flows)]
    assert len(set(ports)) == len(ports) == tunnels * flows
    of_cpu = [sum(s.flows for s in found if s.cpu == cpu) for cpu in range(cpus)]
    if tunnels % cpus == 0 or flows % cpus == 0:
        assert len(set(of_cpu)) == 1
    if flows == 1 and tunnels >= cpus:
        assert {s.cpu for s in found} == set(range(cpus))


@given(st.integers(1, 8), st.integers(1, 8), st.integers(1, 20), st.integers(10, 10**7), st.integers(1, 5))
def test_a_rate_is_shared_by_flows_and_no_packet_is_missing(
    cpus: int, tunnels: int, flows: int, rate: int, seconds: int
) -> None:
    found = senders("lan0", range(cpus), tunnels, flows)
    each = paces(found, rate, seconds, 1)
    assert abs(sum(packets for packets, _ in each.values()) - rate * seconds) <= len(found)
    assert all(packets > 0 and gap > 0 for packets, gap in each.values())
    assert paces(found, None, seconds, 1) == {sender.name: (0, 1) for sender in found}


def test_protocol_counters_are_read_by_name_whatever_else_there_is() -> None:
    text = "Ip: Forwarding InReceives InDiscards\nIp: 1 7 3\nIcmp: A\nIcmp: 1\nUdp: InDatagrams NoPorts\nUdp: 5 1\n"
    found = hops.protocols(text)
    assert found["Ip"]["InDiscards"] == 3
    assert found["Ip"]["ForwDatagrams"] == 0
    assert found["Udp"] == {"InDatagrams": 5, "NoPorts": 1, "InErrors": 0}
    assert set(found) == {"Ip", "Udp"}


def test_rules_that_count_and_drop_are_found_with_their_hook() -> None:
    def rule(table: str, handle: int, *expr: dict[str, Any], **more: str) -> dict[str, Any]:
        return {"rule": {"family": "ip", "table": table, "chain": "c", "handle": handle, "expr": list(expr), **more}}

    count, drop = {"counter": {"packets": 5, "bytes": 1}}, {"drop": None}
    ruleset: list[dict[str, Any]] = [{"metainfo": {}}]
    ruleset += [{"chain": {"family": "ip", "table": table, "name": "c", "hook": "forward"}} for table in ("mine", "t")]
    ruleset += [
        {"counter": {"family": "ip", "table": "t", "name": "n", "packets": 9}},
        rule("mine", 3, count, drop),
        rule("mine", 4, count, {"accept": None}),
        rule("mine", 5, drop),
        rule("t", 6, {"counter": "n"}, drop, comment="by name"),
        rule(hops.SINK, 7, count, drop),
    ]
    ruleset.append({"chain": {"family": "ip", "table": hops.SINK, "name": "c"}})
    assert hops.dropping_rules({"nftables": ruleset}) == [["mine rule 3", "forward", 5], ["by name", "forward", 9]]


ROLES = ("client", "gateway-a", "gateway-b", "server")
A, B = "gateway-a", "gateway-b"


class Counted:
    """The increase of every role's counters while packets cross the path; each method is an event on it."""

    def __init__(self, packets: int, wireguard: bool = True) -> None:
        self.sent = self.left = packets
        self.wireguard = wireguard
        self.grown: dict[str, Any] = {
            role: {"devices": {}, "protocols": {"Ip": {}, "Udp": {}}, "qdiscs": {}, "rules": [], "sink": {}}
            for role in ROLES
        }

    def count(self, role: str, device: str, column: str, packets: int) -> None:
        counts = self.grown[role]["devices"].setdefault(device, {})
        counts[column] = counts.get(column, 0) + packets

    def pass_on(self, role: str, *counters: str) -> None:
        """Packets that are left are counted as passed: DEVICE COLUMN, or a counter of a protocol."""
        for counter in counters:
            name, _, column = counter.partition(" ")
            if column:
                self.count(role, name, column, self.left)
            else:
                self.grown[role]["protocols"]["Udp" if name == "InDatagrams" else "Ip"][name] = self.left

    def full_backlog(self, sender: str, out: str, receiver: str, into: str, packets: int, tunnel: bool = False) -> None:
        self.left -= packets
        self.count(sender, out, "tx_dropped", packets)
        self.count(receiver, into, "rx_dropped", packets)
        if tunnel:
            self.count(sender, "wg1", "tx_dropped", packets)

    def rule(self, role: str, hook: str, packets: int, tunnel: bool = False) -> None:
        self.left -= packets
        self.grown[role]["rules"].append([f"rule {hook}", hook, packets])
        if tunnel:
            self.count(role, "wg1", "tx_dropped", packets)

    def vanish(self, packets: int) -> None:
        self.left -= packets

    def unexplained(self, drops: dict[str, int]) -> int:
        return self.sent - self.left - sum(drops.values())


LOSS = st.integers(0, 100)


@given(st.lists(LOSS, min_size=14, max_size=14), st.booleans(), st.booleans(), st.integers(0, 50))
def test_every_loss_on_a_way_over_tunnels_is_found_once_and_what_has_no_counter_is_unexplained(
    n: list[int], older: bool, queue_says_dropped: bool, nowhere: int
) -> None:
    way = Counted(10_000)
    way.full_backlog("client", "lan0", A, "lan0", n[0])
    way.rule(A, "prerouting", n[1])
    way.vanish(nowhere)  # before the counter of forwarded packets
    if older:  # Linux before 6.7 counts forwarded packets after that chain
        way.rule(A, "forward", n[2])
        way.pass_on(A, "ForwDatagrams")
    else:
        way.pass_on(A, "ForwDatagrams")
        way.rule(A, "forward", n[2])
    way.rule(A, "postrouting", n[3])
    way.vanish(n[4])  # a full ring of WireGuard
    way.rule(A, "output", n[5], tunnel=True)
    way.grown[A]["qdiscs"]["wan0"] = ["tbf" if queue_says_dropped else "netem", n[6]]
    if queue_says_dropped:
        way.vanish(n[6])
        way.count(A, "wg1", "tx_dropped", n[6])
    way.full_backlog(A, "wan0", B, "wan0", n[7], tunnel=True)
    way.pass_on(A, "wg1 tx_packets")
    if not queue_says_dropped:  # as netem does
        way.vanish(n[6])
    way.rule(B, "input", n[8])
    way.grown[B]["protocols"]["Udp"]["InErrors"] = n[9]
    way.vanish(n[9])
    way.pass_on(B, "InDatagrams")
    way.vanish(n[10])  # a full ring of WireGuard
    way.pass_on(B, "wg1 rx_packets")
    way.rule(B, "forward", n[11])
    way.full_backlog(B, "lan0", "server", "lan0", n[12])
    way.rule("server", "prerouting", n[13])
    found = lost(way.grown, way.sent, LINKS, tunnels=True)
    expected = {
        "client/lan0 link": n[0],
        "gateway-a/nftables rule prerouting": n[1],
        "gateway-a/nftables rule postrouting": n[3],
        "gateway-a/nftables rule output": n[5],
        f"gateway-a/wan0 queue {'tbf' if queue_says_dropped else 'netem'}": n[6],
        "gateway-a/wan0 link": n[7],
        "gateway-b/nftables rule input": n[8],
        "gateway-b/udp InErrors": n[9],
        "gateway-b/wireguard uncounted": n[10],
        "gateway-b/nftables rule forward": n[11],
        "gateway-b/lan0 link": n[12],
        "server/nftables rule prerouting": n[13],
    }
    assert {name: found.get(name, 0) for name in expected} == expected
    assert found.get("gateway-a/nftables rule forward", 0) == n[2]
    # An uncounted loss before a chain, at a point where only newer kernels count, is attributed to that chain.
    hidden = 0 if older else min(nowhere, n[2])
    assert way.unexplained(found) == nowhere - hidden
    assert found.get("gateway-a/wireguard uncounted", 0) == n[4] + hidden


@given(st.lists(LOSS, min_size=6, max_size=6), st.integers(0, 50))
def test_every_loss_on_the_plain_way_is_found_once(n: list[int], nowhere: int) -> None:
    way = Counted(10_000)
    way.full_backlog("client", "lan0", A, "lan0", n[0])
    way.pass_on(A, "ForwDatagrams")
    way.rule(A, "forward", n[1])
    way.grown[A]["qdiscs"]["wan0"] = ["netem", n[2]]
    way.vanish(n[2])
    way.full_backlog(A, "wan0", B, "wan0", n[3])
    way.vanish(nowhere)
    way.rule(B, "forward", n[4])
    way.full_backlog(B, "lan0", "server", "lan0", n[5])
    found = lost(way.grown, way.sent, LINKS, tunnels=False)
    assert sum(found.values()) == sum(n)
    assert way.unexplained(found) == nowhere


def test_on_a_link_between_hosts_both_ends_count_their_own_drops() -> None:
    way = Counted(1000, wireguard=False)
    way.count("client", "lan0", "tx_dropped", 3)
    way.count(A, "lan0", "rx_dropped", 5)
    way.count(A, "lan0", "rx_errors", 1)
    found = lost(way.grown, way.sent, ["wan", "lan-b"], tunnels=False)
    assert found == {"client/lan0 tx": 3, "gateway-a/lan0 rx": 6}


DRIVERS = {
    "mlx5, what the port discards": {"fifo": 40},
    "virtio, too few buffers": {"dropped": 40},
    "igb, rings and the card": {"dropped": 15, "fifo": 25},
    "e1000, everything is an error too": {"errors": 40, "dropped": 40},
    "alx, the errors are the sum": {"errors": 40, "dropped": 10, "fifo": 20, "frame": 10},
    "virtio, frames that are too short": {"frame": 40},
}


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_a_card_refuses_is_found_once_in_whichever_columns_its_driver_has_it(driver: str) -> None:
    way = Counted(1000, wireguard=False)
    way.pass_on(A, "wan0 tx_packets")
    way.vanish(40)
    for column, packets in DRIVERS[driver].items():
        way.count(B, "wan0", "rx_" + column, packets)
    way.pass_on(B, "wan0 rx_packets")
    found = lost(way.grown, way.sent, ["lan-a", "lan-b"], tunnels=False)
    assert found == {"gateway-b/wan0 rx": 40}
    assert way.unexplained(found) == 0


def test_more_than_the_columns_say_is_not_made_up_and_drops_behind_the_count_are_kept() -> None:
    way = Counted(1000, wireguard=False)
    way.pass_on(A, "wan0 tx_packets")
    way.vanish(50)  # by a switch, whose counters are not read
    way.count(B, "wan0", "rx_errors", 7)
    way.pass_on(B, "wan0 rx_packets")
    way.vanish(5)  # by the host, after its card had counted them
    way.count(B, "wan0", "rx_dropped", 5)
    found = lost(way.grown, way.sent, ["lan-a", "lan-b"], tunnels=False)
    assert found == {"gateway-b/wan0 rx": 12}
    assert way.unexplained(found) == 43


def test_a_ring_without_room_that_counts_twice_is_one_loss_where_packets_leave() -> None:
    way = Counted(1000, wireguard=False)
    way.vanish(9)
    way.count(A, "wan0", "tx_dropped", 9)
    way.count(A, "wan0", "tx_fifo", 9)
    way.pass_on(A, "wan0 tx_packets")
    way.pass_on(B, "wan0 rx_packets")
    assert lost(way.grown, way.sent, ["lan-a", "lan-b"], tunnels=False) == {"gateway-a/wan0 tx": 9}


def test_the_columns_of_a_device_are_read() -> None:
    numbers = " ".join(str(number) for number in range(101, 117))
    found = hops.devices(f"Inter-|\n face |\n  en7: {numbers}\n")["en7"]
    assert found == {
        **{"rx_packets": 102, "rx_errors": 103, "rx_dropped": 104, "rx_fifo": 105, "rx_frame": 106},
        **{"tx_packets": 110, "tx_errors": 111, "tx_dropped": 112, "tx_fifo": 113},
    }


def test_counters_grow_also_from_rules_and_devices_that_are_new() -> None:
    device = dict.fromkeys(("rx_packets", "tx_packets"), 5)
    before: dict[str, Any] = {
        "devices": {"lan0": device},
        "protocols": {"Ip": {"InDiscards": 1}},
        "qdiscs": {},
        "rules": [["one", "forward", 2]],
        "sink": {},
    }
    after = {
        "devices": {"lan0": {"rx_packets": 9, "tx_packets": 5}, "wg1": device},
        "protocols": {"Ip": {"InDiscards": 4}},
        "qdiscs": {"wan0": ["tbf", 6]},
        "rules": [["one", "forward", 3], ["two", "input", 4]],
        "sink": {"1": [7, 700]},
    }
    found = growth(before, after)
    assert found["devices"] == {"lan0": {"rx_packets": 4, "tx_packets": 0}, "wg1": device}
    assert found["protocols"] == {"Ip": {"InDiscards": 3}}
    assert found["qdiscs"] == {"wan0": ["tbf", 6]}
    assert found["rules"] == [["one", "forward", 1], ["two", "input", 4]]
    assert found["sink"] == {"1": [7, 700]}
