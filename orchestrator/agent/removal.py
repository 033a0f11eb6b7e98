# SPDX-License-Identifier: Apache-2.0
"""Removal of the tunnels of every system, which ends while the next trial is being prepared."""

import concurrent.futures
import os
import struct
import time

from orchestrator.agent.cpus import acting_as
from orchestrator.agent.host import number_in, short_grace_periods, sysfs_of
from orchestrator.agent.ipsec import flush_ipsec, has_ipsec
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import (
    DEVICE_GROUPS,
    IFLA_GROUP,
    NETLINK_ROUTE,
    RTM_DELLINK,
    Netlink,
    attribute,
    link_message,
)
from orchestrator.agent.network_messages import RemoveTunnelsRequest

REMOVAL = {}  # type: dict[str, concurrent.futures.Future[None]]
LOOK_S = 0.002


def remove_tunnels(request: RemoveTunnelsRequest) -> Nothing:
    """Remove all devices that trials made in some roles, and return once the roles have none any more.

    By then their sockets are closed and their names are free. The kernel goes on until `finish_removal` with what is
    left of them, which mostly waits for grace periods.
    """
    finish_removal()
    for role in request.roles:
        if has_ipsec(role):
            flush_ipsec(role)
    parts = [(role, group) for role in request.roles for group in groups_in(role)]
    if parts:
        pool = concurrent.futures.ThreadPoolExecutor(1)
        REMOVAL["under way"] = pool.submit(remove_groups, parts)
        pool.shutdown(wait=False)
        while any(groups_in(role) for role in request.roles):
            if REMOVAL["under way"].done():
                finish_removal()
                break
            time.sleep(LOOK_S)
    return {}


def finish_removal():
    """Wait until the kernel has nothing left of removed devices. Raises AgentError if one could not be removed."""
    if "under way" in REMOVAL:
        REMOVAL.pop("under way").result()


def groups_in(role):
    """Return the groups of which a role has devices."""
    base = sysfs_of(role) + "/class/net/"
    # bonding_masters is not a device, and some devices are just being removed
    found = {number_in(base + name + "/netdev_group") for name in os.listdir(base)}
    return sorted(found & set(DEVICE_GROUPS))


def remove_groups(parts):
    """Remove devices by role and group: [(role, group)].

    Removing a device mostly waits for grace periods; in parallel threads, they pass for all devices at once.
    """
    with short_grace_periods(), concurrent.futures.ThreadPoolExecutor(len(parts)) as pool:
        list(pool.map(lambda part: remove_group(*part), parts))


def remove_group(role, group):
    message = link_message(attribute(IFLA_GROUP, struct.pack("=I", group)))
    with acting_as(role), Netlink(NETLINK_ROUTE) as link:
        link.ask(RTM_DELLINK, 0, message, "removing the tunnels on %s" % role)
