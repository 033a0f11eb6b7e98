# SPDX-License-Identifier: Apache-2.0
"""The path to this host: the interfaces that must not be touched, since a run would cut its own connection.

The kernel is asked how it answers the other end of the agent's connection, by every rule and route that it has, and
whatever the interface of that route is built on is part of the path; so is what carries a tunnel to its far end. An
interface with a default route is treated as part of it as well; if the connection is not known, or is in a tunnel whose
far end is not known, so is each that leads to a large part of all addresses.
"""

import ipaddress
import socket
import struct

from orchestrator.agent import rtnetlink
from orchestrator.agent.connection import connections_of_ssh_servers, own_connections
from orchestrator.agent.ethtool import is_netns_local
from orchestrator.agent.far_ends import TUNNELS, far_ends
from orchestrator.agent.host import family_of, packed
from orchestrator.agent.interfaces import above, below, links_of
from orchestrator.agent.netlink import NETLINK_ROUTE, NLM_F_DUMP, Netlink, NetlinkError, attribute, attributes
from orchestrator.agent.snapshot import devices_of, told

RTM_GETRULE, FRA_FWMARK, FRA_TABLE, FRA_DSCP, FR_ACT_TO_TBL = 34, 10, 15, 25, 1
RTM_GETTFILTER = 46
RTM_F_FIB_MATCH = 0x2000  # return the route itself with all its hops, not the selected hop
RTA_SRC, RTA_IP_PROTO, RTA_SPORT, RTA_DPORT = 2, 27, 28, 29
RT_TABLE_DEFAULT, IFF_LOOPBACK = 253, 8
# Prefix lengths below which a route leads to a large part of all addresses, by family: 0.0.0.0/1, 2000::/3; and if
# the other end is not known: 10.0.0.0/8, fd00::/8.
WIDE, WIDE_IF_UNKNOWN = {socket.AF_INET: 8, socket.AF_INET6: 8}, {socket.AF_INET: 16, socket.AF_INET6: 32}
MULTICAST = {socket.AF_INET: ipaddress.ip_network("224.0.0.0/4"), socket.AF_INET6: ipaddress.ip_network("ff00::/8")}
STAYS = {"bond", "bridge", "vrf", "team", "openvswitch"}  # kinds that cannot be moved to another namespace
# Queueing disciplines that are made of classes or filters.
SHAPERS = {"htb", "hfsc", "drr", "qfq", "cbq", "ingress", "clsact"}
# The second are looked at if the first are not known.
SSH_CONNECTIONS = (
    ("this very SSH connection", own_connections),
    ("an SSH connection", connections_of_ssh_servers),
)


def nic_troubles():
    """Return {interface of this host: why it cannot be used for a trial, or None}."""
    with Netlink(NETLINK_ROUTE) as netlink:
        links = links_of(netlink)
        entries = {kind: told(netlink, kind, links) for kind in ("address", "route", "nexthop", "qdisc")}
        reasons = reasons_by_device(netlink, links, entries)
        shapers = shapers_of(netlink, links, entries["qdisc"])
    return {nic: trouble_of(nic, links, reasons, shapers.get(nic, ())) for nic in links}


def shapers_of(netlink, links, qdiscs):
    """Return {interface: {kind}} of the queueing disciplines that have classes or filters of their own."""
    found = {}  # type: dict[str, set[str]]
    for qdisc in (qdisc for qdisc in qdiscs if qdisc["device"] in links):
        kind = rtnetlink.bytes_of(qdisc, rtnetlink.TCA_KIND).rstrip(b"\0").decode(errors="replace")
        if kind in SHAPERS or has_filters(netlink, links[qdisc["device"]].number, qdisc["head"][4]):
            found.setdefault(qdisc["device"], set()).add(kind)
    return found


def has_filters(netlink, number, handle):
    """Return True if a queueing discipline of the interface with this number has filters."""
    head = struct.pack(rtnetlink.KINDS["qdisc"].head, 0, 0, 0, number, 0, handle, 0)
    try:
        return bool(netlink.ask(RTM_GETTFILTER, NLM_F_DUMP, head, "reading the filters of traffic control"))
    except NetlinkError:  # a kernel without filters
        return False


def trouble_of(nic, links, reasons, shapers):
    for device, reason in reasons.items():
        if device == nic:
            return reason % device
        if nic in below(device, links):
            return reason % ("%s, which is built on %s" % (device, nic))
    link = links[nic]
    if link.flags & IFF_LOOPBACK:
        return "it is the loopback interface"
    masters = [other.name for other in links.values() if other.number == link.master]
    if masters:
        return "it belongs to %s, and could not be put back into it" % masters[0]
    on_top = above(nic, links)
    if on_top:
        return "%s is built on it, and would be removed with it" % ", ".join(on_top)
    if link.kind in STAYS:
        return "it is a %s, which cannot be moved to a role; use a separate interface, or a VLAN" % link.kind
    if link.immovable or (link.immovable is None and is_netns_local(nic)):
        return "the kernel keeps it in its network namespace; use a separate interface, or a VLAN"
    if shapers:
        kinds = ", ".join(sorted(shapers))
        return "it has classes or filters of traffic control (%s), which could not be put back" % kinds
    return None


def reasons_by_device(netlink, links, entries):
    """Return {interface: a sentence on why it is part of the path, with %s for its name}."""
    hops = entries["nexthop"]
    reasons, known = {}, False  # type: tuple[dict[str, str], bool]
    for whose, connections in SSH_CONNECTIONS:
        for connection in () if known else connections():
            devices = devices_of_connection(netlink, connection, links, entries["address"], hops)
            carried, whole = carriers_of(netlink, devices - {"lo"}, links, hops)
            known = known or (whole and connections is own_connections)
            for device in sorted(devices):
                reasons.setdefault(device, whose + " comes in over %s")
            for device in sorted(carried):
                reasons.setdefault(device, "a tunnel of " + whose + " is carried over %s")
    tables = {rtnetlink.RT_TABLE_MAIN, RT_TABLE_DEFAULT} | tables_of_rules(netlink, known)
    for route in entries["route"]:
        if leads_away(route, tables, WIDE if known else WIDE_IF_UNKNOWN):
            for device in sorted(devices_with_nexthops(route, hops)):
                reasons.setdefault(device, why_away(route))
    reasons.pop("lo", None)
    return reasons


def carriers_of(netlink, devices, links, hops):
    """Return the interfaces that carry the tunnels of a path to their far ends, and whether the whole path is known.

    It is not if it has no interface but loopback, since a local forwarder holds the connection, or if the far end of a
    tunnel is not known.
    """
    carried, whole = set(), bool(devices)
    seen, ahead = set(), list(devices)  # type: tuple[set[str], list[str]]
    while ahead:
        for name in below(ahead.pop(), links) - seen:
            seen.add(name)
            if links[name].kind in TUNNELS:
                routes = [route_to(netlink, address, links) for address in far_ends(netlink, links[name])]
                under = {device for route in routes if route for device in devices_with_nexthops(route, hops)} - {"lo"}
                whole = whole and bool(under)
                carried |= under
                ahead += under
    return carried, whole


def why_away(route):
    prefix = rtnetlink.prefix_of(route)
    if route["head"][1] == 0:
        return "the host's default route goes over %s, so it may be the path to the host itself"
    return "the route to " + prefix + " goes over %s, so it may be the path to the host itself"


def leads_away(route, tables, wide):
    family, length, kind = route["head"][0], route["head"][1], route["head"][7]
    if kind != rtnetlink.RTN_UNICAST or length >= wide.get(family, 0) or rtnetlink.table_of(route) not in tables:
        return False
    address = rtnetlink.bytes_of(route, rtnetlink.RTA_DST)
    return not address or ipaddress.ip_address(address) not in MULTICAST[family]


def tables_of_rules(netlink, known):
    """Return the routing tables to which a rule leads.

    If the path is ``known``, only those of rules that depend on what is not known of its packets: their mark or their
    type of service.
    """
    found = set()  # type: set[int]
    try:
        answers = netlink.ask(RTM_GETRULE, NLM_F_DUMP, bytes(12), "reading the routing rules")
    except NetlinkError:  # a kernel without rules
        return found
    for answer in answers:
        parts = attributes(answer[12:])
        hidden = answer[3] or FRA_FWMARK in parts or FRA_DSCP in parts
        if answer[7] == FR_ACT_TO_TBL and (hidden or not known):
            found.add(struct.unpack("=I", parts[FRA_TABLE])[0] if FRA_TABLE in parts else answer[4])
    return found - {0, rtnetlink.RT_TABLE_LOCAL}


def devices_of_connection(netlink, connection, links, addresses, hops):
    """Return the interfaces of a connection: that of its zone, those of its local address and of the route back."""
    found = {connection.zone} & links.keys()
    local = packed(connection.local)
    for entry in addresses:
        own = rtnetlink.bytes_of(entry, rtnetlink.IFA_LOCAL) or rtnetlink.bytes_of(entry, rtnetlink.IFA_ADDRESS)
        if own == local and (not found or not ipaddress.ip_address(connection.local).is_link_local):
            found.add(entry["device"])
    # The routing table of a VRF has the route back from the addresses of its ports.
    domains = [link.name for link in links.values() if link.kind == "vrf" and is_port_of(found, link, links)]
    route = route_to(netlink, connection.peer, links, connection, next(iter([*domains, connection.zone]), ""))
    return found | (devices_with_nexthops(route, hops) if route else set())


def is_port_of(names, link, links):
    """Return True if one of the named interfaces is a port of another."""
    return any(links[name].master == link.number for name in names if name in links)


def devices_with_nexthops(route, hops):
    """Return the interfaces of a route, including those of the next-hop objects that it refers to."""
    wanted = {rtnetlink.number_of(route, rtnetlink.RTA_NH_ID)} - {0}
    for entry in hops:
        if rtnetlink.number_of(entry, rtnetlink.NHA_ID) in wanted:
            wanted = wanted | rtnetlink.members_of(entry)
    of_objects = {entry["device"] for entry in hops if rtnetlink.number_of(entry, rtnetlink.NHA_ID) in wanted}
    return devices_of(route) | (of_objects - {None})


def route_to(netlink, address, links, connection=None, over=""):
    """Return the route by which the kernel reaches an address, for a connection if given; None if it has none.

    ``over``: the interface to which the route is bound, or empty.
    """
    family = family_of(address)
    parts = [attribute(rtnetlink.RTA_DST, packed(address))]
    parts += [attribute(rtnetlink.RTA_OIF, struct.pack("=i", links[over].number))] if over in links else []
    bits = rtnetlink.FAMILIES[family]
    choices = [(0, [])]  # type: list[tuple[int, list[bytes]]]
    if connection is not None:
        source = [attribute(RTA_SRC, packed(connection.local))]
        ports = [
            attribute(RTA_IP_PROTO, bytes([socket.IPPROTO_TCP])),
            attribute(RTA_SPORT, struct.pack(">H", connection.local_port)),
            attribute(RTA_DPORT, struct.pack(">H", connection.peer_port)),
        ]
        # Old kernels do not accept ports here; a source address must exist on the host.
        choices = [(bits, [*source, *ports]), (bits, source), *choices]
    names = {link.number: link.name for link in links.values()}
    for source_bits, more in choices:
        head = struct.pack("=BBBBBBBBI", family, bits, source_bits, 0, 0, 0, 0, 0, RTM_F_FIB_MATCH)
        try:
            (answer,) = netlink.ask(26, 0, head + b"".join([*parts, *more]), "asking for the route to %s" % address)
        except NetlinkError:
            continue
        return rtnetlink.entry_of("route", answer, names)
    return None
