# SPDX-License-Identifier: Apache-2.0
"""Interfaces of the host that are lent to roles, and given back as they were."""

import contextlib
import json
import os

from orchestrator.agent.host import NAMESPACES, RUNTIME, AgentError, inside
from orchestrator.agent.interfaces import PAIRS, links_of, move, rename, set_up
from orchestrator.agent.netlink import NETLINK_ROUTE, Netlink
from orchestrator.agent.rtnetlink import aged, identity
from orchestrator.agent.snapshot import restore, snapshot
from orchestrator.agent.way import nic_troubles

# Interfaces of the host that are in a role's namespace, or that are not yet as they were: {name: {"role",
# "device": its name there, and what snapshot() says of it}}. The file is for an agent that comes after one that was
# killed; its folder is gone with the boot, as is what it describes.
TAKEN_FILE = RUNTIME + "/nics.json"


class Gone(AgentError):
    """An interface is nowhere on this host."""


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
    with open(TAKEN_FILE + ".new", "w", encoding="utf-8") as file:
        json.dump(nics, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(TAKEN_FILE + ".new", TAKEN_FILE)


def nic_trouble(nic):
    """Why an interface cannot be taken for a trial; None if it can."""
    troubles = nic_troubles()
    if nic not in troubles:
        return "there is no interface %s here; there are %s" % (nic, ", ".join(sorted(troubles)))
    return troubles[nic]


def take_nics(wanted):
    """Lend interfaces to roles: [{"nic", "role", "device": its name there}].

    All are looked at before the first is moved, since they may share routes. Raises AgentError.
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
                set_up(netlink, lent["nic"], False)
                move(netlink, lent["nic"], there, lent["device"])
        finally:
            os.close(there)


def with_what_is_owed(now, owed):
    """A snapshot, and what could not be put back after an earlier one, which is tried again with it."""
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
    """Bring the interfaces home, and make them what they were; sentences on what could not be done.

    That stays recorded, for the next time. An interface that is still in a role's namespace has its role there.
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
            left[nic] = {**was, "role": None} if isinstance(error, Gone) else was
    for nic, rest in restore(home).items():
        if rest is not None:
            said += ["%s is not as it was: %s" % (nic, why) for why in rest["why"]]
            left[nic] = {**rest, "role": None, "device": taken[nic]["device"]}
    write_taken(left)
    return said


def lent_to():
    """The roles in whose namespaces interfaces of the host still are."""
    return {was["role"] for was in taken_nics().values()} - {None}


def name_away(nic, was):
    """What an interface is called in its role's namespace; None where it is not there.

    A move that failed may have left it there under the name that it has at home. Of a link inside the host, which may
    have that name too, it is told by its hardware address. That of another kind may have changed meanwhile: a VLAN's
    goes with its bond's.
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
    """Be in the network namespace of an interface of the host, which may be lent to a role; gives its name there."""
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
                move(netlink, device, home, nic)
        finally:
            os.close(home)
    with Netlink(NETLINK_ROUTE) as netlink:
        links = links_of(netlink)
        if nic not in links and was["device"] in links:  # its namespace is gone, and it came home by itself
            set_up(netlink, was["device"], False)
            rename(netlink, was["device"], nic)
        elif nic not in links:
            raise Gone("there is no interface %s on this host any more." % nic)
