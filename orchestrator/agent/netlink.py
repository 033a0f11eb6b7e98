# SPDX-License-Identifier: Apache-2.0
"""Netlink, the kernel's interface to devices, routes and tunnels."""

import contextlib
import os
import socket
import struct

from orchestrator.agent.host import AgentError, family_of, packed

# The groups of a trial's devices: each group can be removed by one request, and all groups in parallel. The first
# devices are in the first few groups.
DEVICE_GROUPS = range(51820, 51820 + 48)
FIRST_GROUPS, FIRST_DEVICES = 8, 64
NETLINK_ROUTE, NETLINK_GENERIC = 0, 16
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x1, 0x4, 0x300, 0x10
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLMSG_ERROR, NLMSG_DONE = 2, 3
SOL_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, NLM_F_ACK_TLVS, NLMSGERR_ATTR_MSG = 270, 10, 11, 0x200, 1
NLA_F_NESTED, NLA_TYPE = 0x8000, 0x3FFF
RTM_NEWLINK, RTM_DELLINK, RTM_NEWROUTE = 16, 17, 24
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_GROUP, IFLA_INFO_KIND, IFLA_INFO_DATA = 3, 4, 18, 27, 1, 2
IFF_UP = 1
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PREFSRC, RTA_MULTIPATH = 1, 4, 5, 7, 9
RT_TABLE_MAIN, RTPROT_BOOT, RTN_UNICAST, SCOPE_UNIVERSE, SCOPE_LINK = 254, 3, 1, 0, 253
GENL_ID_CTRL, CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 16, 3, 1, 2
WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE = 0, 1
WGDEVICE_IFNAME, WGDEVICE_PRIVATE_KEY, WGDEVICE_PUBLIC_KEY, WGDEVICE_LISTEN_PORT, WGDEVICE_PEERS = 2, 3, 4, 6, 8
WGPEER_PUBLIC_KEY, WGPEER_ENDPOINT, WGPEER_LAST_HANDSHAKE, WGPEER_ALLOWEDIPS = 1, 4, 6, 9
WGPEER_RX_BYTES, WGPEER_TX_BYTES = 7, 8
WGALLOWEDIP_FAMILY, WGALLOWEDIP_IPADDR, WGALLOWEDIP_CIDR_MASK = 1, 2, 3


def attribute(kind, data):
    """Return one netlink attribute, padded."""
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + bytes(-length % 4)


def nested(kind, *parts):
    return attribute(kind | NLA_F_NESTED, b"".join(parts))


def attribute_list(data):
    """Yield (kind, content) of each attribute in a sequence."""
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        yield kind & NLA_TYPE, data[4:length]
        data = data[length + -length % 4 :]


def attributes(data):
    return dict(attribute_list(data))


class NetlinkError(AgentError):
    """A request that the kernel refused.

    ``number`` as in errno(3); ``words``: the message of strerror(3) and the kernel.
    """

    def __init__(self, what, number, said=""):
        self.number = number
        self.words = os.strerror(number) + (" (%s)" % said.strip().rstrip(".") if said else "")
        super().__init__("%s failed: %s." % (what, self.words))


class Netlink:
    """A netlink socket of the network namespace in which it is created."""

    def __init__(self, protocol):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.bind((0, 0))
        self.socket.settimeout(30)
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):  # messages with an error's number; Linux 4.12 or later
            with contextlib.suppress(OSError):
                self.socket.setsockopt(SOL_NETLINK, option, 1)
        self.sequence = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def ask(self, kind, flags, payload, what, attempts=5):
        """Send a request and return the payloads of its answers; a NetlinkError says that ``what`` failed.

        A list that changed while it was read is requested again, up to ``attempts`` times in all.
        """
        self.sequence += 1
        flags |= NLM_F_REQUEST | (0 if flags & NLM_F_DUMP == NLM_F_DUMP else NLM_F_ACK)
        self.socket.send(struct.pack("=IHHII", 16 + len(payload), kind, flags, self.sequence, 0) + payload)
        answers, changed = [], False  # type: tuple[list[bytes], bool]
        while True:
            data = self.socket.recv(1 << 17)
            while data:
                length, answer, told, sequence, _ = struct.unpack_from("=IHHII", data)
                body, data = data[16:length], data[length + -length % 4 :]
                if sequence != self.sequence:
                    continue
                changed = changed or bool(told & NLM_F_DUMP_INTR)
                if answer in (NLMSG_DONE, NLMSG_ERROR):
                    number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                    if number > 0:
                        said = attributes(body[20 if answer == NLMSG_ERROR else 4 :]) if told & NLM_F_ACK_TLVS else {}
                        words = said.get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode(errors="replace")
                        raise NetlinkError(what, number, words)
                    # If the list changed meanwhile, something may be missing.
                    again = changed and attempts > 1
                    return self.ask(kind, flags, payload, what, attempts - 1) if again else answers
                answers.append(body)


def device_group(number):
    """Return the group of a trial's device. ``number``: its place among those of its role, from 0.

    Devices of one group are closed together, and freed one after the other. So a few groups are faster up to some tens
    of devices (32 a role: 1.7 s of overhead a trial with 8 groups, 2.7 s with 32), and many groups for thousands.
    """
    groups = FIRST_GROUPS if number < FIRST_DEVICES else len(DEVICE_GROUPS)
    return DEVICE_GROUPS[number % groups]


def link_message(*parts, up=False):
    return struct.pack("=BBHiII", 0, 0, 0, 0, IFF_UP * up, IFF_UP * up) + b"".join(parts)


def name_attribute(kind, name):
    return attribute(kind, name.encode() + b"\0")


class WireGuardNetlink(Netlink):
    """The wireguard module's netlink interface."""

    def __init__(self):
        super().__init__(NETLINK_GENERIC)
        request = struct.pack("=BBH", CTRL_CMD_GETFAMILY, 1, 0) + name_attribute(CTRL_ATTR_FAMILY_NAME, "wireguard")
        (answer,) = self.ask(GENL_ID_CTRL, 0, request, "finding the wireguard module's interface")
        self.family = struct.unpack("=H", attributes(answer[4:])[CTRL_ATTR_FAMILY_ID])[0]

    def set(self, device, *parts):
        payload = struct.pack("=BBH", WG_CMD_SET_DEVICE, 1, 0) + name_attribute(WGDEVICE_IFNAME, device)
        self.ask(self.family, 0, payload + b"".join(parts), "configuring %s" % device)

    def get(self, device):
        """Return the attributes of a device, and a list of those of its peers in the order of their creation.

        A peer that does not fit into a message continues in the next one, with its key and more allowed addresses; only
        its first part is kept.
        """
        payload = struct.pack("=BBH", WG_CMD_GET_DEVICE, 1, 0) + name_attribute(WGDEVICE_IFNAME, device)
        found, found_peers = {}, []  # type: tuple[dict[int, bytes], list[dict[int, bytes]]]
        for answer in self.ask(self.family, NLM_F_DUMP, payload, "reading %s" % device):
            found.update(attributes(answer[4:]))
            for _, data in attribute_list(found.pop(WGDEVICE_PEERS, b"")):
                peer = attributes(data)
                if not found_peers or found_peers[-1][WGPEER_PUBLIC_KEY] != peer[WGPEER_PUBLIC_KEY]:
                    found_peers.append(peer)
        return found, found_peers


def allowed_ip(network):
    address, length = network.split("/")
    return nested(
        0,
        attribute(WGALLOWEDIP_FAMILY, struct.pack("=H", family_of(address))),
        attribute(WGALLOWEDIP_IPADDR, packed(address)),
        attribute(WGALLOWEDIP_CIDR_MASK, bytes([int(length)])),
    )


def endpoint(text):
    """Return an endpoint as a struct sockaddr_in."""
    address, port = text.rsplit(":", 1)
    family = struct.pack("=H", socket.AF_INET)
    return family + struct.pack(">H", int(port)) + socket.inet_aton(address) + bytes(8)
