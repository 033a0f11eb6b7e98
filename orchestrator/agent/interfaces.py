# SPDX-License-Identifier: Apache-2.0
"""The interfaces of a network namespace as the kernel reports them: their kind, state and relations."""

import os
import socket
import struct
import typing

from orchestrator.agent.host import AgentError, unpacked
from orchestrator.agent.netlink import (
    IFF_UP,
    IFLA_INFO_DATA,
    NLM_F_DUMP,
    RTM_NEWLINK,
    attribute,
    attribute_list,
    attributes,
    name_attribute,
    nested,
)

RTM_GETLINK = 18
IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU, IFLA_LINK, IFLA_MASTER, IFLA_TXQLEN, IFLA_LINKINFO = 1, 3, 4, 5, 10, 13, 18
IFLA_IFALIAS, IFLA_GROUP, IFLA_NET_NS_FD, IFLA_LINK_NETNSID, IFLA_INFO_KIND = 20, 27, 28, 37, 1
IFLA_AF_SPEC, IFLA_INET6_TOKEN, IFLA_NEW_IFINDEX, IFLA_NETNS_IMMUTABLE = 26, 7, 49, 67
IFLA_PROP_LIST, IFLA_ALT_IFNAME = 52, 53
PAIRS = {"veth", "netkit", "vxcan"}
# The attributes of a tunnel's IFLA_INFO_DATA that are the address of its far end. linux/if_link.h, if_tunnel.h
FAR_ENDS = {"vxlan": (2, 16), "geneve": (2, 7), "vti": (5,), "vti6": (5,)}
FAR_ENDS.update(dict.fromkeys(("gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan"), (7,)))
FAR_ENDS.update(dict.fromkeys(("ipip", "sit", "ip6tnl"), (3,)))
# Flags of an interface that can be set: noarp, promisc, allmulti, multicast. netdevice(7)
IFF_KEPT = 0x80 | 0x100 | 0x200 | 0x1000


class Link(typing.NamedTuple):
    """One interface.

    ``kind``: vlan, bridge, bond and the like, empty for a NIC. ``under``: the number of the interface of the same
    namespace that it is made on; ``master``: of the one whose port it is; 0 for none. ``far_ends``: the addresses to
    which a tunnel was made, as text. ``immovable``: whether it cannot leave its namespace; None if the kernel does not
    say (before Linux 6.15).
    """

    number: int
    name: str
    kind: str
    flags: int
    under: int
    master: int
    mtu: int
    queue_length: int
    group: int
    address: str
    alias: str
    token: str
    far_ends: typing.Tuple[str, ...]
    immovable: typing.Optional[bool]
    other_names: typing.Tuple[str, ...]

    @property
    def up(self):
        return bool(self.flags & IFF_UP)


def links_of(netlink):
    """Return {name: Link} of the namespace of a netlink socket."""
    found = {}
    for answer in netlink.ask(RTM_GETLINK, NLM_F_DUMP, bytes(16), "reading the interfaces"):
        _, index, flags, _ = struct.unpack_from("=BxxxiII", answer)
        parts = attributes(answer[16:])
        made = attributes(parts.get(IFLA_LINKINFO, b""))
        name, kind = text_in(parts, IFLA_IFNAME), text_in(made, IFLA_INFO_KIND)
        # Excludes those built on an interface of another namespace, and the other end of a pair.
        made_on_one = IFLA_LINK_NETNSID not in parts and kind not in PAIRS
        found[name] = Link(
            number=index,
            name=name,
            kind=kind,
            flags=flags,
            under=number_in(parts, IFLA_LINK) if made_on_one else 0,
            master=number_in(parts, IFLA_MASTER),
            mtu=number_in(parts, IFLA_MTU),
            queue_length=number_in(parts, IFLA_TXQLEN),
            group=number_in(parts, IFLA_GROUP),
            address=parts.get(IFLA_ADDRESS, b"").hex(),
            alias=text_in(parts, IFLA_IFALIAS),
            token=token_in(parts),
            far_ends=far_ends_in(kind, attributes(made.get(IFLA_INFO_DATA, b""))),
            other_names=tuple(
                text.rstrip(b"\0").decode(errors="replace")
                for number, text in attribute_list(parts.get(IFLA_PROP_LIST, b""))
                if number == IFLA_ALT_IFNAME
            ),
            immovable=any(parts[IFLA_NETNS_IMMUTABLE]) if IFLA_NETNS_IMMUTABLE in parts else None,
        )
    return found


def far_ends_in(kind, data):
    """Return the addresses in the data of a tunnel; empty if it may send to any."""
    found = [data[number] for number in FAR_ENDS.get(kind, ()) if any(data.get(number, b""))]
    return tuple(unpacked(address) for address in found)


def token_in(parts):
    """Return the lower half of an interface's self-assigned IPv6 addresses, hex; empty if it was not chosen."""
    token = attributes(attributes(parts.get(IFLA_AF_SPEC, b"")).get(socket.AF_INET6, b"")).get(IFLA_INET6_TOKEN, b"")
    return token.hex() if any(token) else ""


def text_in(parts, number):
    return parts.get(number, b"").rstrip(b"\0").decode(errors="replace")


def number_in(parts, number):
    return struct.unpack("=I", parts[number])[0] if number in parts else 0


def change_link(netlink, name, what, *parts, flags=0, of=0):
    """Change an interface: the bits ``of`` become those of ``flags``, and the attributes ``parts`` are set.

    ``what`` begins the sentence of a NetlinkError: "putting back ... of x0". Raises AgentError if there is no such
    interface.
    """
    known = links_of(netlink)
    if name not in known:
        raise AgentError("there is no interface %s; there are %s." % (name, ", ".join(sorted(known))))
    head = struct.pack("=BxxxiII", 0, known[name].number, flags & of, of)
    netlink.ask(RTM_NEWLINK, 0, head + b"".join(parts), "%s of %s" % (what, name))


def link_state(link):
    """Return the attributes of the interface itself that can be restored."""
    return {
        "mtu": link.mtu,
        "address": link.address,
        "queue_length": link.queue_length,
        "group": link.group,
        "alias": link.alias,
        "token": link.token,
        "flags": link.flags & IFF_KEPT,
        "up": link.up,
    }


def put_link_back(netlink, name, was):
    """Restore an interface to its `link_state`, whose parts may be missing or null; return sentences on failures."""
    packed = {
        "mtu": lambda value: attribute(IFLA_MTU, struct.pack("=I", value)),
        "address": lambda value: attribute(IFLA_ADDRESS, bytes.fromhex(value)),
        "queue_length": lambda value: attribute(IFLA_TXQLEN, struct.pack("=I", value)),
        "group": lambda value: attribute(IFLA_GROUP, struct.pack("=I", value)),
        "alias": lambda value: attribute(IFLA_IFALIAS, value.encode()),
        "token": lambda value: nested(
            IFLA_AF_SPEC, nested(socket.AF_INET6, attribute(IFLA_INET6_TOKEN, bytes.fromhex(value)))
        ),
    }
    failed = []
    for what, value in was.items():
        try:
            if value is None or link_state(links_of(netlink)[name])[what] == value:
                continue
            if what == "up":
                set_up(netlink, name, value)
            elif what == "flags":
                change_link(netlink, name, "putting back the flags", flags=value, of=IFF_KEPT)
            else:
                change_link(netlink, name, "putting back the %s" % what.replace("_", " "), packed[what](value))
        except AgentError as error:
            failed.append(str(error))
    return failed


def set_up(netlink, name, up):
    change_link(netlink, name, "switching the state", flags=IFF_UP if up else 0, of=IFF_UP)


def rename(netlink, name, new):
    if name != new:
        change_link(netlink, name, "changing the name to %s" % new, name_attribute(IFLA_IFNAME, new))


def move(netlink, name, namespace, new, number=0):
    """Move an interface that is down to the namespace of a descriptor, and give it a new name there.

    ``number``: its number there, 0 for any. Linux before 5.13 chooses it itself.
    """
    to = attribute(IFLA_NET_NS_FD, struct.pack("=i", namespace)) + name_attribute(IFLA_IFNAME, new)
    if number:
        to += attribute(IFLA_NEW_IFINDEX, struct.pack("=i", number))
    change_link(netlink, name, "changing the namespace", to)


def below(name, links):
    """Return an interface and those it is built on: the parents of a VLAN or macvlan, the ports of a bond or bridge.

    ``links``: {name: Link}. Relations that the kernel shows only in sysfs (lower_*) are included.
    """
    by_number = {link.number: link.name for link in links.values()}
    found, ahead = set(), [name]  # type: tuple[set[str], list[str]]
    while ahead:
        name = ahead.pop()
        if name in links and name not in found:
            found.add(name)
            ahead += [by_number.get(links[name].under, "")]
            ahead += [link.name for link in links.values() if link.master == links[name].number]
            ahead += adjacent(name, "lower_")
    return found


def above(name, links):
    """Return the interfaces that are built on one, and would move or vanish with it."""
    made_on = {link.name for link in links.values() if link.under == links[name].number and link.name != name}
    return sorted(made_on | {other for other in adjacent(name, "upper_") if other in links})


def adjacent(name, which):
    """Return the names that an interface's folder has as ``lower_*`` or ``upper_*``."""
    folder = "/sys/class/net/" + name
    there = os.listdir(folder) if os.path.isdir(folder) else []
    return [entry[len(which) :] for entry in there if entry.startswith(which)]
