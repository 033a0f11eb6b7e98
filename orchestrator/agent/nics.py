# SPDX-License-Identifier: Apache-2.0
"""Interfaces of the host that are lent to roles, and restored afterwards."""

import contextlib
import errno
import json
import os

from orchestrator.agent.host import NAMESPACES, RUNTIME, AgentError, inside, write_record
from orchestrator.agent.interfaces import PAIRS, links_of, move, rename, set_up
from orchestrator.agent.netlink import NETLINK_ROUTE, Netlink, NetlinkError
from orchestrator.agent.rtnetlink import IFA_F_MCAUTOJOIN, aged, identity, remove
from orchestrator.agent.snapshot import restore, snapshot
from orchestrator.agent.way import nic_troubles

# Interfaces of the host that are in a role's namespace, or that are not fully restored: {name: {"role", "device": its
# name there, and the parts of its snapshot()}}. The file is for an agent that follows one that was killed; its folder
# does not survive a reboot, nor does what it describes.
TAKEN_FILE = RUNTIME + "/nics.json"


class InterfaceGone(AgentError):
    """An interface does not exist on this host any more."""


def taken_nics():
    try:
        with open(TAKEN_FILE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def write_taken(nics):
    if not nics:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(TAKEN_FILE)
        return
    write_record(TAKEN_FILE, json.dumps(nics))


def nic_trouble(nic):
    """Return why an interface cannot be used for a trial; None if it can."""
    troubles = nic_troubles()
    if nic not in troubles:
        return "there is no interface %s here; there are %s" % (nic, ", ".join(sorted(troubles)))
    return troubles[nic]


def take_nics(wanted):
    """Lend interfaces to roles: [{"nic", "role", "device": its name there}].

    All are checked and recorded before the first is moved, since they may share routes. Raises AgentError.
    """
    for lent in wanted:
        trouble = nic_trouble(lent["nic"])
        if trouble:
            raise AgentError("%s cannot be used for the role %s: %s." % (lent["nic"], lent["role"], trouble))
    taken = taken_nics()
    for lent in wanted:
        was = with_what_is_owed(snapshot(lent["nic"]), taken.get(lent["nic"]))
        taken[lent["nic"]] = {**was, "role": lent["role"], "device": lent["device"]}
    write_taken(taken)
    for lent in wanted:
        there = os.open(os.path.join(NAMESPACES, lent["role"]), os.O_RDONLY)
        try:
            with Netlink(NETLINK_ROUTE) as netlink:
                leave_groups(netlink, taken[lent["nic"]]["entries"])
                set_up(netlink, lent["nic"], False)
                move(netlink, lent["nic"], there, lent["device"])
        finally:
            os.close(there)


def leave_groups(netlink, entries):
    """Remove the addresses with which the kernel joins multicast groups (autojoin).

    If their interface moves away with them, the kernel stays in the groups, and cannot join them again.
    """
    numbers = {link.name: link.number for link in links_of(netlink).values()}
    for entry in entries:
        if entry["kind"] == "address" and entry["flags"] & IFA_F_MCAUTOJOIN:
            with contextlib.suppress(AgentError):  # it has just expired
                remove(netlink, entry, numbers)


def with_what_is_owed(now, owed):
    """Return a snapshot with what could not be restored after an earlier one, to be tried again with it."""
    if owed is None:
        return now
    known = {identity(entry) for entry in now["entries"]}
    older = [aged(entry, now["at_s"] - owed["at_s"]) for entry in owed["entries"] if identity(entry) not in known]
    return {
        **now,
        "entries": [*now["entries"], *older],
        "sysctls": {**now["sysctls"], **owed["sysctls"]},
        "link": owed["link"] or now["link"],
    }


def give_nics_back():
    """Move the interfaces home and restore them; return sentences on what could not be done.

    Failures stay recorded, for the next time. An interface that is still in a role's namespace keeps its role there.
    """
    taken = taken_nics()
    if not taken:
        return []
    said, home, left = [], {}, {}
    for nic, was in taken.items():
        try:
            bring_home(nic, was)
            home[nic] = was
        except (AgentError, OSError) as error:
            said.append("%s is not back: %s" % (nic, error))
            left[nic] = {**was, "role": None} if isinstance(error, InterfaceGone) else was
    for nic, rest in restore(home).items():
        if rest is not None:
            said += ["%s is not as it was: %s" % (nic, why) for why in rest["why"]]
            left[nic] = {**rest, "role": None, "device": taken[nic]["device"]}
    write_taken(left)
    return said


def lent_to():
    """Return the roles in whose namespaces interfaces of the host still are."""
    return {was["role"] for was in taken_nics().values()} - {None}


def name_away(nic, was):
    """Return the name of an interface in its role's namespace; None if it is not there.

    A failed move may have left it there under its name on the host. A link inside the host may have that name too, so
    the hardware address must match if the interface is of such a kind. The address of any other kind may have changed
    meanwhile: a VLAN's follows its bond's.
    """
    if was["role"] is None or not os.path.exists(os.path.join(NAMESPACES, was["role"])):
        return None
    with inside(was["role"]), Netlink(NETLINK_ROUTE) as netlink:
        links = links_of(netlink)
    address = was["link"]["address"]
    for name in (was["device"], nic):
        if name in links and (links[name].address == address or links[name].kind not in PAIRS):
            return name
    return None


@contextlib.contextmanager
def where_it_is(nic):
    """Context manager that enters the network namespace of an interface of the host and gives its name there.

    The interface may be lent to a role.
    """
    was = taken_nics().get(nic)
    device = None if was is None else name_away(nic, was)
    if was is None or device is None:
        yield nic
        return
    with inside(was["role"]):
        yield device


def bring_home(nic, was):
    """Move an interface from its role's namespace to this one, under its own name. Raises AgentError, OSError."""
    device = name_away(nic, was)
    if device is not None:
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            with inside(was["role"]), Netlink(NETLINK_ROUTE) as netlink:
                set_up(netlink, device, False)
                try:  # nftables and others know interfaces by their numbers
                    move(netlink, device, home, nic, was.get("number", 0))
                except NetlinkError as error:
                    if error.number not in (errno.EBUSY, errno.EEXIST):
                        raise
                    move(netlink, device, home, nic)  # another interface has its number
        finally:
            os.close(home)
    with Netlink(NETLINK_ROUTE) as netlink:
        links = links_of(netlink)
        if nic not in links and was["device"] in links:  # its namespace is gone, and the kernel moved it here
            set_up(netlink, was["device"], False)
            rename(netlink, was["device"], nic)
        elif nic not in links:
            raise InterfaceGone("there is no interface %s on this host any more." % nic)
