# SPDX-License-Identifier: Apache-2.0
"""The far ends of tunnels: the addresses to which a tunnel's packets leave this host, encapsulated."""

import socket
import struct

from orchestrator.agent.host import AgentError, unpacked
from orchestrator.agent.netlink import NLM_F_DUMP, WGPEER_ENDPOINT, NetlinkError, WireGuardNetlink, attributes
from orchestrator.agent.rtnetlink import KINDS

# Kinds whose traffic leaves the host by another interface, encapsulated.
TUNNELS = {"vxlan", "geneve", "gre", "gretap", "erspan", "ip6gre", "ip6gretap", "ip6erspan", "ipip", "sit", "ip6tnl"}
TUNNELS |= {"tun", "wireguard", "vti", "vti6", "xfrm", "l2tp", "ppp", "gtp", "bareudp", "amt", "ovpn"}
AF_BRIDGE, NDA_DST = 7, 1


def far_ends(netlink, link):
    """Return the addresses of a tunnel's other end, as text; empty if only a program knows them."""
    found = set(link.far_ends)
    if link.kind == "wireguard":
        found |= of_peers(link.name)
    elif link.kind == "vxlan":
        found |= of_forwarding(netlink, link)
    return sorted(found)


def of_peers(device):
    """Return the addresses of the endpoints of a WireGuard device's peers."""
    try:
        with WireGuardNetlink() as wireguard:
            _, peers = wireguard.get(device)
    except AgentError:
        return set()
    endpoints = [peer[WGPEER_ENDPOINT] for peer in peers if WGPEER_ENDPOINT in peer]
    return {unpacked(end[4:8] if family_in(end) == socket.AF_INET else end[8:24]) for end in endpoints}


def family_in(endpoint):
    """Return the address family of a struct sockaddr_in or sockaddr_in6."""
    return struct.unpack_from("=H", endpoint)[0]


def of_forwarding(netlink, link):
    """Return the addresses to which a VXLAN device forwards, from its forwarding table."""
    kind = KINDS["neighbour"]
    size = struct.calcsize(kind.head)
    try:
        answers = netlink.ask(
            kind.get, NLM_F_DUMP, bytes([AF_BRIDGE]) + bytes(size - 1), "reading the forwarding table of %s" % link.name
        )
    except NetlinkError:
        return set()
    mine = [attributes(answer[size:]) for answer in answers if struct.unpack_from(kind.head, answer)[3] == link.number]
    return {unpacked(parts[NDA_DST]) for parts in mine if any(parts.get(NDA_DST, b""))}
