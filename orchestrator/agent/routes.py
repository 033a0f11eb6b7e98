# SPDX-License-Identifier: Apache-2.0
"""Routes in the roles' namespaces, over one device or several."""

import struct

from orchestrator.agent.host import family_of, inside, packed, read_text, sysfs_of
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_REPLACE,
    RT_TABLE_MAIN,
    RTA_DST,
    RTA_GATEWAY,
    RTA_MULTIPATH,
    RTA_OIF,
    RTA_PREFSRC,
    RTM_NEWROUTE,
    RTN_UNICAST,
    RTPROT_BOOT,
    SCOPE_LINK,
    SCOPE_UNIVERSE,
    Netlink,
    attribute,
)
from orchestrator.agent.network_messages import RoutesRequest


def set_routes(role, wanted):
    """Set routes in a role; see `Route`.

    A route over several devices is a multipath route with equal weights. ip-route(8), rtnetlink(7)
    """
    folder = sysfs_of(role) + "/class/net/"
    with inside(role), Netlink(NETLINK_ROUTE) as link:
        for route in wanted:
            network, length = route["to"].split("/")
            scope = SCOPE_LINK if route["via"] is None else SCOPE_UNIVERSE
            head = (family_of(network), int(length), 0, 0, RT_TABLE_MAIN, RTPROT_BOOT, scope, RTN_UNICAST, 0)
            parts = [attribute(RTA_DST, packed(network))]
            indices = [int(read_text(folder + device + "/ifindex")) for device in route["devices"]]
            via = b"" if route["via"] is None else attribute(RTA_GATEWAY, packed(route["via"]))
            if len(indices) == 1:
                parts += [attribute(RTA_OIF, struct.pack("=I", indices[0])), via]
            else:
                hops = [struct.pack("=HBBi", 8 + len(via), 0, 0, index) + via for index in indices]
                parts.append(attribute(RTA_MULTIPATH, b"".join(hops)))
            if route["source"] is not None:
                parts.append(attribute(RTA_PREFSRC, packed(route["source"])))
            payload = struct.pack("=BBBBBBBBI", *head) + b"".join(parts)
            what = "setting the route to %s on %s" % (route["to"], role)
            link.ask(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, payload, what)


def routes(request: RoutesRequest) -> Nothing:
    """Set routes in roles."""
    for role, wanted in request.roles.items():
        set_routes(role, wanted)
    return {}
