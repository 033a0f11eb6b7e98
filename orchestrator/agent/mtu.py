# SPDX-License-Identifier: Apache-2.0
"""The MTU of the roles' links, raised for tunnels whose packets do not fit into the usual one, and of paths."""

import errno
import struct

from orchestrator.agent.host import AgentError, call, inside, write_text
from orchestrator.agent.interfaces import IFLA_MTU, change_link, links_of
from orchestrator.agent.messages import Nothing
from orchestrator.agent.mtu_messages import ForgetPathsRequest, NarrowLinksRequest, WidenLinksRequest
from orchestrator.agent.netlink import NETLINK_ROUTE, Netlink, NetlinkError, attribute

FORMER = {}  # type: dict[tuple[str, str], int]  # (role, device): MTU


def widen_links(request: WidenLinksRequest) -> Nothing:
    """Raise the MTU of each role's links that is smaller than requested. Raises AgentError if a link cannot have it."""
    for role, wanted in request.roles.items():
        with inside(role), Netlink(NETLINK_ROUTE) as netlink:
            now = {link.name: link.mtu for link in links_of(netlink).values()}
            for name in wanted["devices"]:
                if now.get(name, 0) >= wanted["mtu"]:
                    continue
                try:
                    set_mtu(netlink, name, wanted["mtu"])
                except NetlinkError as error:
                    if error.number != errno.EINVAL:
                        raise
                    raise AgentError(
                        "%s of %s cannot have an MTU of %d bytes: leave the larger ones out of tunnel.mtu."
                        % (name, role, wanted["mtu"])
                    ) from error
                FORMER[role, name] = now[name]
    return {}


def narrow_links(request: NarrowLinksRequest) -> Nothing:
    """Set each MTU that was raised back to what it was."""
    del request
    while FORMER:
        (role, name), mtu = FORMER.popitem()
        with inside(role), Netlink(NETLINK_ROUTE) as netlink:
            set_mtu(netlink, name, mtu)
    return {}


def set_mtu(netlink, name, mtu):
    change_link(netlink, name, "setting the MTU", attribute(IFLA_MTU, struct.pack("=I", mtu)))


def forget_paths(request: ForgetPathsRequest) -> Nothing:
    """Make roles forget the MTUs of paths that they have discovered, which they remember for ten minutes (ip-sysctl,
    mtu_expires): the packets of a trial would be as small as those of the tunnels before."""
    for role in request.roles:
        with inside(role):
            write_text("/proc/sys/net/ipv4/route/flush", "1")
        if request.ipv6:
            call(["ip", "-n", role, "-6", "route", "flush", "cache"])
    return {}
