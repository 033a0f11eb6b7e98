# SPDX-License-Identifier: Apache-2.0
"""Addresses, routes, next hops, neighbours and queueing disciplines of a network namespace as data.

An entry is one of them as the kernel reports it (rtnetlink(7)), so that everything is kept: metrics and their locks,
encapsulation, weights, labels. It has interface names instead of numbers, and no mere state, so that it can be stored
as JSON, compared, and given to the kernel again:

``kind``; ``head``: the numbers of its message's head; ``device``: its interface, or null; ``attributes``: {number:
hex}; ``hops`` of a route with several: [{"device", "flags", "weight", "attributes"}]; ``lives_s``: remaining seconds,
of an address [preferred, valid], of a route [until it expires]; null is for ever.
"""

import math
import os
import socket
import struct
import typing

from orchestrator.agent.host import AgentError, unpacked
from orchestrator.agent.netlink import NLM_F_CREATE, NLM_F_DUMP, attribute, attributes, nested


class Kind(typing.NamedTuple):
    """Its message types, their head, and the attributes kept unchanged; other attributes are state, or kept otherwise.

    linux/rtnetlink.h, if_addr.h, neighbour.h, nexthop.h, pkt_sched.h
    """

    new: int
    delete: int
    get: int
    head: str
    kept: typing.Tuple[int, ...]


KINDS = {
    "address": Kind(20, 21, 22, "=BBBBI", (1, 2, 3, 4, 9, 11)),
    "nexthop": Kind(104, 105, 106, "=BBBBI", (1, 2, 3, 4, 6, 7, 8, 11, 12)),
    "route": Kind(24, 25, 26, "=BBBBBBBBI", (1, 2, 5, 6, 7, 8, 11, 15, 18, 19, 20, 21, 22, 26, 30)),
    "neighbour": Kind(28, 29, 30, "=BBHiHBB", (1, 2, 5, 12, 15)),
    "qdisc": Kind(36, 37, 38, "=BBHiIII", (1, 2, 13, 14)),
}
NUMBERED = {"address": 4, "neighbour": 3, "qdisc": 3}  # the position of the interface's number in a head
IFA_ADDRESS, IFA_LOCAL, IFA_CACHEINFO, IFA_FLAGS = 1, 2, 6, 8
# Flags of an address that can be set: nodad, home, mngtmpaddr, noprefixroute, autojoin. The others are states.
IFA_F_KEPT, IFA_F_MCAUTOJOIN = 0x02 | 0x10 | 0x100 | 0x200 | 0x400, 0x400
IFA_F_TEMPORARY, IFA_F_DADFAILED, IFA_F_TENTATIVE = 0x01, 0x08, 0x40
FOREVER = 0xFFFFFFFF
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_PREFSRC, RTA_MULTIPATH, RTA_CACHEINFO = 1, 4, 5, 6, 7, 9, 12
RTA_TABLE, RTA_VIA, RTA_ENCAP_TYPE, RTA_ENCAP, RTA_EXPIRES, RTA_NH_ID = 15, 18, 21, 22, 23, 30
RTNH_F_KEPT, RTM_F_CLONED = 0x02 | 0x04, 0x200  # pervasive, onlink
RTPROT_REDIRECT, RTPROT_KERNEL, RTPROT_RA = 1, 2, 9
RT_TABLE_LOCAL, RT_TABLE_MAIN, RTN_UNICAST = 255, 254, 1
NHA_ID, NHA_GROUP, NHA_OIF, NHA_RES_GROUP, NHA_RES_GROUP_UNBALANCED_TIME = 1, 2, 5, 12, 4
NDA_LLADDR, NUD_NOARP, NUD_PERMANENT, NTF_PROXY = 2, 0x40, 0x80, 0x08
TCA_KIND, TC_H_ROOT, AF_MPLS = 1, 0xFFFFFFFF, 28
FAMILIES = {int(socket.AF_INET): 32, int(socket.AF_INET6): 128, AF_MPLS: 20}  # bits of a destination
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def entries(link, kind, names, proxies=False):
    """Return all entries of a kind that can be recreated. ``names``: {number: name} of the interfaces."""
    payload = bytearray(struct.calcsize(KINDS[kind].head))
    if proxies:
        payload[10] = NTF_PROXY
    found = (
        entry_of(kind, answer, names)
        for answer in link.ask(KINDS[kind].get, NLM_F_DUMP, bytes(payload), "reading each %s" % kind)
    )
    return [entry for entry in found if entry is not None]


def entry_of(kind, body, names):
    """Return an entry from the kernel's message; None if it cannot, or need not, be recreated."""
    size = struct.calcsize(KINDS[kind].head)
    head, parts = list(struct.unpack_from(KINDS[kind].head, body)), attributes(body[size:])
    entry = {"kind": kind, "head": head, "device": None}
    if kind in NUMBERED:
        entry["device"] = names.get(head[NUMBERED[kind]])
        head[NUMBERED[kind]] = 0
    if not READERS[kind](entry, head, parts, names):
        return None
    entry["attributes"] = hexadecimal(parts, KINDS[kind].kept)
    return entry


def hexadecimal(parts, kept):
    return {str(number): parts[number].hex() for number in sorted(parts) if number in kept}


def read_address(entry, head, parts, names):
    flags = struct.unpack("=I", parts[IFA_FLAGS])[0] if IFA_FLAGS in parts else head[2]
    if head[0] not in FAMILIES or (head[0] == socket.AF_INET6 and flags & IFA_F_TEMPORARY):
        return False  # the kernel chooses temporary addresses itself; it will create another
    entry["flags"], entry["state"] = flags & IFA_F_KEPT, flags & (IFA_F_DADFAILED | IFA_F_TENTATIVE)
    head[2] = flags & IFA_F_KEPT & 0xFF
    if IFA_CACHEINFO in parts:
        lives = struct.unpack_from("=II", parts[IFA_CACHEINFO])
        entry["lives_s"] = [None if left == FOREVER else left for left in lives]
    return True


def read_route(entry, head, parts, names):
    if head[0] not in FAMILIES or head[8] & RTM_F_CLONED or head[5] == RTPROT_REDIRECT:
        return False
    head[8] &= RTNH_F_KEPT
    if RTA_CACHEINFO in parts:
        ticks = struct.unpack_from("=i", parts[RTA_CACHEINFO], 8)[0]
        entry["lives_s"] = [ticks / TICKS_PER_S if ticks else None]
    if RTA_NH_ID in parts:  # the kernel also reports the next hop's attributes, but does not accept both
        for number in (RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_VIA, RTA_ENCAP_TYPE, RTA_ENCAP):
            parts.pop(number, None)
        head[8] = 0
    entry["device"] = device_in(parts, RTA_OIF, names)
    if RTA_MULTIPATH in parts:
        entry["hops"] = list(hops_in(parts[RTA_MULTIPATH], names))
    return True


def hops_in(data, names):
    """Yield the hops of a route, each from a struct rtnexthop."""
    while len(data) >= 8:
        length, flags, weight, index = struct.unpack_from("=HBBi", data)
        yield {
            "device": names.get(index),
            "flags": flags & RTNH_F_KEPT,
            "weight": weight,
            "attributes": hexadecimal(attributes(data[8:length]), KINDS["route"].kept),
        }
        data = data[length + -length % 4 :]


def read_nexthop(entry, head, parts, names):
    entry["device"] = device_in(parts, NHA_OIF, names)
    head[1], head[4] = 0, head[4] & RTNH_F_KEPT
    if NHA_RES_GROUP in parts:
        kept = attributes(parts[NHA_RES_GROUP])
        kept.pop(NHA_RES_GROUP_UNBALANCED_TIME, None)
        parts[NHA_RES_GROUP] = b"".join(attribute(number, value) for number, value in kept.items())
    return True


def read_neighbour(entry, head, parts, names):
    """Return True for a neighbour made by hand; others are learned, or made by the kernel (multicast, broadcast)."""
    group = parts.get(NDA_LLADDR, b"\1")[:1] or b"\1"
    by_hand = head[4] & NUD_PERMANENT or (head[4] & NUD_NOARP and not group[0] & 1) or head[5] & NTF_PROXY
    return head[0] in FAMILIES and bool(by_hand)


def read_qdisc(entry, head, parts, names):
    """Return True for a queueing discipline made by hand: the kernel's own have no handle."""
    head[6] = 0
    return bool(head[4])


READERS = {
    "address": read_address,
    "nexthop": read_nexthop,
    "route": read_route,
    "neighbour": read_neighbour,
    "qdisc": read_qdisc,
}


def device_in(parts, number, names):
    return names.get(struct.unpack("=i", parts[number])[0]) if number in parts else None


def identity(entry):
    """Return what entries with the same effect share; whether they live for ever is part of it, for how long is not.

    Nor are the options of a queueing discipline, since the kernel rounds some of them whenever they are set.
    """
    lives = [left is None for left in entry.get("lives_s", ())]
    rest = [entry.get(name) for name in ("kind", "head", "device", "hops", "flags")]
    qdisc = entry["kind"] == "qdisc"
    return repr([*rest, entry["attributes"].get(str(TCA_KIND)) if qdisc else entry["attributes"], lives])


def aged(entry, passed_s):
    """Return an entry whose remaining lifetimes are ``passed_s`` seconds shorter."""
    lives = [None if left is None else max(0.0, left - passed_s) for left in entry.get("lives_s", ())]
    return {**entry, "lives_s": lives} if lives else entry


def number_of(entry, attribute_number, default=0):
    """Return an attribute that is a 32-bit number."""
    value = entry["attributes"].get(str(attribute_number))
    return struct.unpack("=I", bytes.fromhex(value))[0] if value else default


def bytes_of(entry, attribute_number):
    return bytes.fromhex(entry["attributes"].get(str(attribute_number), ""))


def table_of(route):
    return number_of(route, RTA_TABLE, route["head"][4])


def members_of(nexthop):
    """Return the ids of the next hops in a group (struct nexthop_grp)."""
    group = bytes_of(nexthop, NHA_GROUP)
    return {struct.unpack_from("=I", group, at)[0] for at in range(0, len(group), 8)}


def message(entry, numbers, passed_s):
    """Return the message that creates an entry. Raises AgentError if an interface does not exist.

    ``numbers``: {name: number} of the interfaces; ``passed_s``: seconds since the entry was read.
    """
    entry = aged(entry, passed_s)
    head, device = list(entry["head"]), entry["device"]
    if entry["kind"] in NUMBERED:
        head[NUMBERED[entry["kind"]]] = known(device, numbers)
    parts = [packed_attribute(entry["kind"], number, value) for number, value in entry["attributes"].items()]
    lives = [None if left is None else math.ceil(left) for left in entry.get("lives_s", ())]
    if entry["kind"] == "address":
        parts.append(attribute(IFA_FLAGS, struct.pack("=I", entry["flags"])))
        if lives:
            told = [FOREVER if left is None else left for left in lives]
            parts.append(attribute(IFA_CACHEINFO, struct.pack("=IIII", *told, 0, 0)))
    elif device is not None and entry["kind"] == "route":
        parts.append(attribute(RTA_OIF, struct.pack("=i", known(device, numbers))))
    elif device is not None and entry["kind"] == "nexthop":
        parts.append(attribute(NHA_OIF, struct.pack("=i", known(device, numbers))))
    if "hops" in entry:
        parts.append(attribute(RTA_MULTIPATH, b"".join(packed_hop(hop, numbers) for hop in entry["hops"])))
    if entry["kind"] == "route" and lives and lives[0] is not None:
        parts.append(attribute(RTA_EXPIRES, struct.pack("=I", lives[0])))
    return struct.pack(KINDS[entry["kind"]].head, *head) + b"".join(parts)


def packed_attribute(kind, number, value):
    number, data = int(number), bytes.fromhex(value)
    return nested(number, data) if (kind, number) == ("nexthop", NHA_RES_GROUP) else attribute(number, data)


def packed_hop(hop, numbers):
    parts = b"".join(attribute(int(number), bytes.fromhex(value)) for number, value in hop["attributes"].items())
    head = struct.pack("=HBBi", 8 + len(parts), hop["flags"], hop["weight"], known(hop["device"], numbers))
    return head + parts


def known(device, numbers):
    if device not in numbers:
        raise AgentError("there is no interface %s" % device)
    return numbers[device]


def make(link, entry, numbers, passed_s, flags=0):
    """Create an entry in the kernel, with ``flags`` in addition to NLM_F_CREATE. Raises AgentError."""
    payload = message(entry, numbers, passed_s)
    link.ask(KINDS[entry["kind"]].new, NLM_F_CREATE | flags, payload, "putting back %s" % described(entry))


def remove(link, entry, numbers):
    link.ask(KINDS[entry["kind"]].delete, 0, message(entry, numbers, 0), "removing %s" % described(entry))


def described(entry):
    """Return an entry in a few words, in the form of ip(8)."""
    head, kind = entry["head"], entry["kind"]
    where = " dev %s" % entry["device"] if entry["device"] else ""
    if kind == "address":
        local = bytes_of(entry, IFA_LOCAL) or bytes_of(entry, IFA_ADDRESS)
        return "the address %s/%d%s" % (unpacked(local), head[1], where)
    if kind == "route":
        return "the route %s%s" % (route_text(entry), where)
    if kind == "nexthop":
        return "the next hop %d%s" % (number_of(entry, NHA_ID), where)
    if kind == "neighbour":
        return "the neighbour %s%s" % (unpacked(bytes_of(entry, 1)), where)
    return "the queueing discipline %s%s" % (bytes_of(entry, TCA_KIND).rstrip(b"\0").decode(errors="replace"), where)


def prefix_of(route):
    """Return the destination of a route, as text."""
    family, length = route["head"][:2]
    if family not in (socket.AF_INET, socket.AF_INET6):
        return "of the family %d, 0x%s" % (family, route["attributes"].get(str(RTA_DST), ""))
    address = bytes_of(route, RTA_DST) or bytes(FAMILIES[family] // 8)
    return "%s/%d" % (unpacked(address), length)


def route_text(route):
    said = [prefix_of(route)]
    if str(RTA_GATEWAY) in route["attributes"]:
        said.append("via " + unpacked(bytes_of(route, RTA_GATEWAY)))
    if "hops" in route:
        said.append("over %s" % ", ".join(str(hop["device"]) for hop in route["hops"]))
    if str(RTA_NH_ID) in route["attributes"]:
        said.append("nhid %d" % number_of(route, RTA_NH_ID))
    if table_of(route) != RT_TABLE_MAIN:
        said.append("table %d" % table_of(route))
    if number_of(route, RTA_PRIORITY):
        said.append("metric %d" % number_of(route, RTA_PRIORITY))
    return " ".join(said)
