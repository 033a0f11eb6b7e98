# SPDX-License-Identifier: Apache-2.0
"""The kernel's counters at every hop: packets that passed, and packets that were dropped, by the counter's name.

Also the sink: packets that arrive at a receiver are counted by tunnel and then dropped, so that nothing answers.
"""

import json
import socket
import struct

from orchestrator.agent.host import AgentError, call, inside, read_text
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import NETLINK_ROUTE, NLM_F_DUMP, Netlink, attributes
from orchestrator.agent.packet_messages import HopsAnswer, HopsRequest, RemoveSinkRequest, SinkRequest

SINK = "orch-sink"  # the nftables table; its counters are called tunnel-N
NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES, NFPROTO_IPV4 = 12, 10, 2
NFT_MSG_GETTABLE, NFT_MSG_GETOBJ, NFTA_TABLE_NAME, NFTA_OBJ_TABLE, NFTA_OBJ_NAME, NFTA_OBJ_DATA = 1, 19, 1, 1, 2, 4
NFTA_COUNTER_BYTES, NFTA_COUNTER_PACKETS = 1, 2
RTM_GETQDISC, TCA_KIND, TCA_STATS2, TCA_STATS_QUEUE = 38, 1, 7, 3
TC_H_ROOT, TC_H_INGRESS = 0xFFFFFFFF, 0xFFFFFFF1  # their counts include the other queueing disciplines of a device
# Columns of /proc/net/dev, after the device's name.
DEVICE_COLUMNS = (
    ("rx_packets", 1),
    ("rx_errors", 2),
    ("rx_dropped", 3),
    ("rx_fifo", 4),
    ("rx_frame", 5),
    ("tx_packets", 9),
    ("tx_errors", 10),
    ("tx_dropped", 11),
    ("tx_fifo", 12),
)
# Counters of /proc/net/snmp and netstat for packets that were forwarded, delivered or dropped.
PROTOCOL_COUNTERS = {
    "Ip": ("ForwDatagrams", "InHdrErrors", "InAddrErrors", "InDiscards", "OutDiscards", "OutNoRoutes", "FragFails"),
    "IpExt": ("InNoRoutes", "InTruncatedPkts"),
    "TcpExt": ("IPReversePathFilter",),
    "Udp": ("InDatagrams", "NoPorts", "InErrors"),  # InErrors: full receive buffers, bad checksums, too little memory
}


def sink(request: SinkRequest) -> Nothing:
    """Make a role count what arrives for each tunnel's subnet, and drop it before anything answers.

    An existing sink continues counting. ``subnets`` has networks of 24 bits.
    """
    with inside(request.role), Netlink(NETLINK_NETFILTER) as netfilter:
        if SINK in tables_of(netfilter) and set(arrivals(netfilter)) == set(request.subnets):
            return {}
    counters = ["add counter ip %s tunnel-%s" % (SINK, tunnel) for tunnel in request.subnets]
    elements = ", ".join('%s : "tunnel-%s"' % (subnet, tunnel) for tunnel, subnet in request.subnets.items())
    count = "counter name ip daddr & 255.255.255.0 map { %s }" % elements
    lines = [
        "add table ip " + SINK,
        "delete table ip " + SINK,
        "add table ip " + SINK,
        *counters,
        # After other filters, and before address translation and routing.
        "add chain ip %s arrived { type filter hook prerouting priority -110 ; }" % SINK,
        "add rule ip %s arrived meta l4proto udp %s drop" % (SINK, count),
    ]
    with inside(request.role):
        try:
            call(["nft", "-f", "-"], "".join(line + "\n" for line in lines))
        except FileNotFoundError as error:
            raise AgentError("nft is missing, which counts arriving packets: install the package nftables.") from error
    return {}


def remove_sink(request: RemoveSinkRequest) -> Nothing:
    """Remove a role's sink, so that packets reach their recipients again."""
    with inside(request.role):
        call(["nft", "-f", "-"], "add table ip %s\ndelete table ip %s\n" % (SINK, SINK))
    return {}


def hops(request: HopsRequest) -> HopsAnswer:
    """Return the counters of roles so far; see `HopCounters`.

    ``backlog_dropped`` counts packets of the whole host; they are among those that the devices dropped.
    """
    found = {role: of_role(role) for role in request.roles}
    dropped = sum(int(line.split()[1], 16) for line in read_text("/proc/net/softnet_stat").splitlines())
    return {"hops": found, "backlog_dropped": dropped}


def of_role(role):
    with inside(role):
        with Netlink(NETLINK_NETFILTER) as netfilter:
            tables = tables_of(netfilter)
            arrived = arrivals(netfilter) if SINK in tables else {}
        with Netlink(NETLINK_ROUTE) as link:
            dropped = qdisc_drops(link)
        return {
            "devices": devices(read_text("/proc/thread-self/net/dev")),
            "protocols": {
                **protocols(read_text("/proc/thread-self/net/snmp")),
                **protocols(read_text("/proc/thread-self/net/netstat")),
            },
            "qdiscs": dropped,
            "rules": dropping_rules(json.loads(call(["nft", "--json", "list", "ruleset"]))) if tables - {SINK} else [],
            "sink": arrived,
        }


def device_counts(text: str) -> "dict[str, list[int]]":
    """Return the numbers of /proc/net/dev by device."""
    found = {}
    for line in text.splitlines()[2:]:
        name, _, counts = line.partition(":")
        found[name.strip()] = [int(number) for number in counts.split()]
    return found


def devices(text):
    """Return the counters of /proc/net/dev by device."""
    return {
        name: {column: numbers[place] for column, place in DEVICE_COLUMNS}
        for name, numbers in device_counts(text).items()
    }


def protocols(text):
    """Return the `PROTOCOL_COUNTERS` of /proc/net/snmp or netstat, whose lines are pairs of names and numbers."""
    found = {}
    lines = [line.split() for line in text.splitlines()]
    for i in range(0, len(lines) - 1, 2):
        name, counts = lines[i][0].rstrip(":"), {lines[i][j]: int(lines[i + 1][j]) for j in range(1, len(lines[i]))}
        if name in PROTOCOL_COUNTERS:
            found[name] = {counter: counts.get(counter, 0) for counter in PROTOCOL_COUNTERS[name]}
    return found


def of_nftables(kind):
    """Return the type and the head of a request to nftables, over IPv4."""
    return NFNL_SUBSYS_NFTABLES << 8 | kind, struct.pack("=BBH", NFPROTO_IPV4, 0, 0)


def text_of(data):
    return data.rstrip(b"\0").decode(errors="replace")


def tables_of(netfilter):
    """Return the names of the tables of all families."""
    kind, _ = of_nftables(NFT_MSG_GETTABLE)
    of_all = struct.pack("=BBH", socket.AF_UNSPEC, 0, 0)
    answers = netfilter.ask(kind, NLM_F_DUMP, of_all, "reading the nftables tables")
    return {text_of(attributes(answer[4:])[NFTA_TABLE_NAME]) for answer in answers}


def arrivals(netfilter):
    """Return {tunnel: [packets, bytes]} of the sink's counters."""
    found = {}
    kind, head = of_nftables(NFT_MSG_GETOBJ)
    for answer in netfilter.ask(kind, NLM_F_DUMP, head, "reading the nftables counters"):
        parts = attributes(answer[4:])
        if text_of(parts[NFTA_OBJ_TABLE]) == SINK:
            counts = attributes(parts[NFTA_OBJ_DATA])
            found[text_of(parts[NFTA_OBJ_NAME]).rpartition("-")[2]] = [
                struct.unpack(">Q", counts[column])[0] for column in (NFTA_COUNTER_PACKETS, NFTA_COUNTER_BYTES)
            ]
    return found


def qdisc_drops(link):
    """Return {device: [kind, packets dropped]} of the queueing disciplines that have dropped something."""
    names = dict(socket.if_nameindex())
    found = {}  # type: dict[str, tuple[str, int]]
    for answer in link.ask(RTM_GETQDISC, NLM_F_DUMP, bytes(20), "reading the queueing disciplines"):
        _, index, _, parent, _ = struct.unpack_from("=B3xiIII", answer)
        parts = attributes(answer[20:])
        if parent in (TC_H_ROOT, TC_H_INGRESS) and TCA_STATS2 in parts:
            queue = attributes(parts[TCA_STATS2]).get(TCA_STATS_QUEUE)
            dropped = struct.unpack_from("=III", queue)[2] if queue else 0  # qlen, backlog, drops; tc(8) -s
            if dropped and index in names:
                kind, so_far = found.get(names[index], (text_of(parts[TCA_KIND]), 0))
                found[names[index]] = (kind, so_far + dropped)
    return found


def dropping_rules(ruleset):
    """Return [[name, hook, packets]] of the rules that count and drop, from what `nft --json list ruleset` prints.

    A rule is named by its comment, or by its table and handle; ``hook`` is "" for a chain that others jump to.
    """
    entries = ruleset["nftables"]
    chains = [entry["chain"] for entry in entries if "chain" in entry]
    hooks = {(chain["family"], chain["table"], chain["name"]): chain.get("hook", "") for chain in chains}
    named = {(c["family"], c["table"], c["name"]): c for c in (e["counter"] for e in entries if "counter" in e)}
    found = []
    for rule in (entry["rule"] for entry in entries if "rule" in entry):
        place = (rule["family"], rule["table"])
        counters = [part["counter"] for part in rule["expr"] if "counter" in part]
        drops = any("drop" in part for part in rule["expr"])
        if rule["table"] == SINK or not drops or not counters:
            continue
        counter = counters[0] if isinstance(counters[0], dict) else named[(*place, counters[0])]
        name = rule.get("comment", "%s rule %d" % (rule["table"], rule["handle"]))
        found.append([name, hooks[(*place, rule["chain"])], counter["packets"]])
    return found
