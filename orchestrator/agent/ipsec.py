# SPDX-License-Identifier: Apache-2.0
"""IPsec tunnels between the gateways: the kernel's ESP in tunnel mode with static keys, by XFRM's netlink interface.

A tunnel is an XFRM interface, a pair of security associations (SAs), and policies that have the interface's id, so that
routes choose a tunnel as they do with WireGuard's devices. Each tunnel has its own outer addresses at both ends, since
many NICs hash ESP packets on addresses only. Structures are those of linux/xfrm.h on 64-bit machines.
"""

import errno
import hashlib
import hmac
import os
import socket
import struct

from orchestrator.agent.cpus import acting_as
from orchestrator.agent.host import AgentError, inside, packed, read_text, sysfs_of
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import (
    IFLA_GROUP,
    IFLA_IFNAME,
    IFLA_INFO_DATA,
    IFLA_INFO_KIND,
    IFLA_LINKINFO,
    IFLA_MTU,
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_EXCL,
    RTM_NEWLINK,
    Netlink,
    NetlinkError,
    attribute,
    device_group,
    link_message,
    name_attribute,
    nested,
)
from orchestrator.agent.network_messages import AssociationsAnswer, AssociationsRequest, IpsecRequest
from orchestrator.agent.roles import ip_batch
from orchestrator.agent.routes import set_routes

NETLINK_XFRM = 6
XFRM_MSG_NEWSA, XFRM_MSG_GETSA, XFRM_MSG_NEWPOLICY = 0x10, 0x12, 0x13
XFRM_MSG_FLUSHSA, XFRM_MSG_FLUSHPOLICY = 0x1C, 0x1D
XFRMA_TMPL, XFRMA_ALG_AEAD, XFRMA_REPLAY_ESN_VAL, XFRMA_IF_ID = 5, 18, 23, 31
IFLA_XFRM_LINK, IFLA_XFRM_IF_ID = 1, 2
XFRM_MODE_TUNNEL, XFRM_STATE_AF_UNSPEC, XFRM_STATE_ESN = 1, 32, 128
POLICY_IN, POLICY_OUT, POLICY_FORWARD = 0, 1, 2
LIFETIME = struct.pack("=8Q", *[2**64 - 1] * 4, 0, 0, 0, 0)  # no limit by bytes, packets or time
CURRENT = bytes(32)  # struct xfrm_lifetime_cur
ANY = bytes(16)
FLUSH_ESP = bytes([socket.IPPROTO_ESP])  # struct xfrm_usersa_flush
ICV_BITS = 128
SPI_BASE = 0x10000  # an SPI is this plus the number of the tunnel


def key_of(secret, sender, number, length):
    """Return the key, with its salt, of one tunnel's SA in one direction: HMAC-SHA-512 of the trial's secret."""
    return hmac.new(secret, b"%s %d" % (sender.encode(), number), hashlib.sha512).digest()[:length]


def address(text):
    """Return an address as an xfrm_address_t."""
    return packed(text).ljust(16, b"\0")


def selector(family):
    """Return a struct xfrm_selector that matches every packet of an address family."""
    return struct.pack("=16s16sHHHHHBBB3xiI", ANY, ANY, 0, 0, 0, 0, family, 0, 0, 0, 0, 0)


def identity(destination, spi):
    """Return a struct xfrm_id."""
    return address(destination) + struct.pack(">I", spi) + bytes([socket.IPPROTO_ESP, 0, 0, 0])


def association(source, destination, number, algorithm, key, window):
    """Return the message that creates an SA.

    It uses ESP in tunnel mode, extended sequence numbers, and a replay window of ``window`` packets.
    """
    head = selector(socket.AF_UNSPEC) + identity(destination, SPI_BASE + number) + address(source)
    head += LIFETIME + CURRENT + bytes(12)
    flags = XFRM_STATE_AF_UNSPEC | XFRM_STATE_ESN  # inner packets of both families
    head += struct.pack("=IIHBBB7x", 0, number, socket.AF_INET, XFRM_MODE_TUNNEL, 0, flags)
    words = (window + 31) // 32
    aead = struct.pack("=64sII", algorithm.encode(), 8 * len(key), ICV_BITS) + key
    return head + b"".join(
        (
            attribute(XFRMA_ALG_AEAD, aead),
            attribute(XFRMA_REPLAY_ESN_VAL, struct.pack("=6I", words, 0, 0, 0, 0, window) + bytes(4 * words)),
            attribute(XFRMA_IF_ID, struct.pack("=I", number)),
        )
    )


def policy(direction, family, source, destination, number):
    """Return the message that creates the policy of a tunnel in one direction for an address family."""
    spi = SPI_BASE + number if direction == POLICY_OUT else 0
    head = selector(family) + LIFETIME + CURRENT + struct.pack("=IIBBBB4x", 0, 0, direction, 0, 0, 0)
    template = identity(destination, spi) + struct.pack("=H2x", socket.AF_INET) + address(source)
    template += struct.pack("=IBBBxIII", number, XFRM_MODE_TUNNEL, 0, 0, *[2**32 - 1] * 3)
    return head + attribute(XFRMA_TMPL, template) + attribute(XFRMA_IF_ID, struct.pack("=I", number))


def ipsec(request: IpsecRequest) -> Nothing:
    """Create IPsec tunnels, with their policies, SAs and routes.

    The keys of both directions derive from the secret, which is new for every trial and is not stored.
    """
    secret, size = bytes.fromhex(request.secret), request.key_bytes
    for role, wanted in request.gateways.items():
        flush_ipsec(role)  # left by an aborted attempt
        ip_batch(role, wanted["lines"])
        below = struct.pack("=I", int(read_text(sysfs_of(role) + "/class/net/wan0/ifindex")))
        families = [{4: socket.AF_INET, 6: socket.AF_INET6}[version] for version in wanted["families"]]
        with acting_as(role), Netlink(NETLINK_ROUTE) as link, Netlink(NETLINK_XFRM) as xfrm:
            for tunnel in wanted["tunnels"]:
                number, here, there = tunnel["number"], tunnel["here"], tunnel["there"]
                what = "making the IPsec tunnel %d on %s" % (number, role)
                for sender, source, destination in ((role, here, there), (wanted["far"], there, here)):
                    key = key_of(secret, sender, number, size)
                    message = association(source, destination, number, request.algorithm, key, request.window)
                    xfrm.ask(XFRM_MSG_NEWSA, NLM_F_CREATE | NLM_F_EXCL, message, what)
                ways = ((POLICY_OUT, here, there), (POLICY_IN, there, here), (POLICY_FORWARD, there, here))
                for family in families:
                    for direction, source, destination in ways:
                        message = policy(direction, family, source, destination, number)
                        xfrm.ask(XFRM_MSG_NEWPOLICY, NLM_F_CREATE | NLM_F_EXCL, message, what)
                data = attribute(IFLA_XFRM_LINK, below), attribute(IFLA_XFRM_IF_ID, struct.pack("=I", number))
                message = link_message(
                    name_attribute(IFLA_IFNAME, tunnel["device"]),
                    attribute(IFLA_MTU, struct.pack("=I", tunnel["mtu"])),
                    attribute(IFLA_GROUP, struct.pack("=I", device_group(number))),
                    nested(IFLA_LINKINFO, attribute(IFLA_INFO_KIND, b"xfrm"), nested(IFLA_INFO_DATA, *data)),
                    up=True,
                )
                link.ask(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, message, what)
        set_routes(role, wanted["routes"])
    return {}


def has_ipsec(role):
    """Return True if a role has devices of IPsec tunnels."""
    return any(name.startswith("esp") for name in os.listdir(sysfs_of(role) + "/class/net"))


def flush_ipsec(role):
    """Remove all policies and SAs of a role's namespace."""
    with acting_as(role), Netlink(NETLINK_XFRM) as xfrm:
        for kind, payload, what in ((XFRM_MSG_FLUSHPOLICY, b"", "policies"), (XFRM_MSG_FLUSHSA, FLUSH_ESP, "SAs")):
            try:
                xfrm.ask(kind, 0, payload, "removing the IPsec %s on %s" % (what, role))
            except NetlinkError as error:
                if error.number != errno.ESRCH:  # there are none
                    raise


def associations(request: AssociationsRequest) -> AssociationsAnswer:
    """Return the counters of the SAs of roles, and the kernel's driver for an algorithm; see `driver_of`."""
    counted = {}
    for role in request.roles:
        with inside(role), Netlink(NETLINK_XFRM) as xfrm:
            answers = xfrm.ask(XFRM_MSG_GETSA, NLM_F_DUMP, b"", "reading the SAs on %s" % role)
        counted[role] = [counters_of(answer) for answer in answers if len(answer) >= 224]
    return {"counted": counted, "driver": driver_of(request.algorithm, read_text("/proc/crypto"))}


def counters_of(answer):
    """Return the counters of an SA from its struct xfrm_usersa_info."""
    octets, packets = struct.unpack_from("=QQ", answer, 160)
    _, replay, integrity = struct.unpack_from("=III", answer, 192)
    return {
        "tunnel": struct.unpack_from("=I", answer, 208)[0],
        "destination": socket.inet_ntoa(answer[56:60]),
        "packets": packets,
        "bytes": octets,
        "replay": replay,
        "integrity": integrity,
    }


def driver_of(algorithm, text):
    """Return the driver that the kernel prefers for an algorithm, from the text of /proc/crypto.

    Raises AgentError if it has none.
    """
    found = []
    for block in text.split("\n\n"):
        fields = {
            name.strip(): value.strip() for name, _, value in (line.partition(":") for line in block.splitlines())
        }
        if fields.get("name") == algorithm:
            found.append((int(fields.get("priority", 0)), fields.get("driver", "")))
    if not found:
        raise AgentError("the kernel has no driver for %s in /proc/crypto." % algorithm)
    return max(found)[1]
