# SPDX-License-Identifier: Apache-2.0
"""The state of an interface as data, and its restoration after a stay in another network namespace.

A move takes from an interface its addresses, routes, next hops, neighbours, queueing disciplines and sysctls, and with
them what other interfaces have that depends on those. Routing rules refer to interfaces by name, and stay. What the
kernel creates comes back by itself: local routes, temporary addresses, learned neighbours.
"""

import contextlib
import errno
import socket
import time

from orchestrator.agent import rtnetlink
from orchestrator.agent.host import AgentError
from orchestrator.agent.interfaces import link_state, links_of, put_link_back
from orchestrator.agent.netlink import NETLINK_ROUTE, NLM_F_REPLACE, SCOPE_LINK, Netlink, NetlinkError
from orchestrator.agent.sysctls import sysctl, sysctls_of, write_sysctls

NLM_F_APPEND, RTA_SRC = 0x800, 2
KEYED = ("route", "nexthop")  # kinds that may have several entries with one key
TENTATIVE_S, POLL_S = 3.0, 0.02  # how long duplicate address detection may take, and how often to look


def now_s():
    """Return the seconds since the boot, including those in which the host was suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def snapshot(nic):
    """Return what a move to another namespace takes: {"number", "link", "sysctls", "entries", "at_s"}.

    ``number``: the interface's; ``entries`` as in rtnetlink.py; ``at_s`` from `now_s`. Raises AgentError if there is no
    such interface.
    """
    with Netlink(NETLINK_ROUTE) as netlink:
        links = links_of(netlink)
        if nic not in links:
            raise AgentError("there is no interface %s; there are %s." % (nic, ", ".join(sorted(links))))
        entries = taken_by_a_move(nic, {kind: told(netlink, kind, links) for kind in rtnetlink.KINDS})
        return {
            "number": links[nic].number,
            "link": link_state(links[nic]),
            "sysctls": sysctls_of(nic),
            "entries": entries,
            "at_s": now_s(),
        }


def told(netlink, kind, links):
    """Return all entries of a kind; empty if the kernel does not support it."""
    names = {link.number: link.name for link in links.values()}
    try:
        found = rtnetlink.entries(netlink, kind, names)
        return found + (rtnetlink.entries(netlink, kind, names, proxies=True) if kind == "neighbour" else [])
    except NetlinkError as error:
        if error.number in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOENT):
            return []
        raise


def taken_by_a_move(nic, entries):
    """Return the entries that go with an interface, each after those it needs. ``entries``: {kind: all its entries}."""
    addresses = [entry for entry in entries["address"] if entry["device"] == nic]
    hops = [entry for entry in entries["nexthop"] if entry["device"] == nic]
    gone = {rtnetlink.number_of(entry, rtnetlink.NHA_ID) for entry in hops}
    hops += [entry for entry in entries["nexthop"] if rtnetlink.members_of(entry) & gone]
    gone |= {rtnetlink.number_of(entry, rtnetlink.NHA_ID) for entry in hops}
    # An IPv4 route vanishes with its source address, whatever interface it is on.
    sources = {rtnetlink.bytes_of(e, rtnetlink.IFA_LOCAL) for e in addresses if e["head"][0] == socket.AF_INET}
    routes = [
        route
        for route in entries["route"]
        if not made_by_the_kernel(route)
        and (
            nic in devices_of(route)
            or rtnetlink.number_of(route, rtnetlink.RTA_NH_ID) in gone
            or rtnetlink.bytes_of(route, rtnetlink.RTA_PREFSRC) in sources
        )
    ]
    # The kernel lists IPv6 addresses newest first, and prefers the first as a source.
    addresses = [e for e in addresses if e["head"][0] == socket.AF_INET] + [
        e for e in reversed(addresses) if e["head"][0] == socket.AF_INET6
    ]
    others = [entry for kind in ("neighbour", "qdisc") for entry in entries[kind] if entry["device"] == nic]
    return [*addresses, *hops, *routes, *others]


def made_by_the_kernel(route):
    """Return True if a route comes and goes with an address: it says that the address is this host's."""
    return rtnetlink.table_of(route) == rtnetlink.RT_TABLE_LOCAL and route["head"][5] == rtnetlink.RTPROT_KERNEL


def devices_of(route):
    return {route["device"], *(hop["device"] for hop in route.get("hops", ()))} - {None}


def restore(snapshots):
    """Restore interfaces that are back home: {name: see snapshot} -> {name: what is left}.

    What is left, null for nothing: the part of the snapshot that could not be restored, and ``why``, a sentence for
    each. Everything is tried, whatever fails.
    """
    failed, left = {}, {}
    for nic, was in snapshots.items():
        try:
            failed[nic] = put_addresses_back(nic, was)
        except Exception as error:  # whatever it is, restore the others
            failed[nic] = {"link": [in_words(error)]}
    for nic, was in snapshots.items():
        try:
            left[nic] = connect(nic, was, failed[nic])
        except Exception as error:
            left[nic] = {**was, "why": [in_words(error)]}
    return left


def in_words(error):
    return str(error) if isinstance(error, (AgentError, OSError)) else "%s: %s" % (type(error).__name__, error)


def put_addresses_back(nic, was):
    """Restore the state of an interface, its sysctls and addresses; return {part: what failed}."""
    failed = {}
    accept_dad = "ipv6/conf/%s/accept_dad" % nic
    with Netlink(NETLINK_ROUTE) as netlink:
        if was["link"]:
            failed["link"] = put_link_back(netlink, nic, {**was["link"], "up": None, "token": None})
        write_sysctls(was["sysctls"])  # some depend on others: they are written again below
        # These addresses were this host's: skip duplicate address detection, so that routes can use them at once.
        if was["sysctls"].get(accept_dad, "0") != "0":
            write_sysctls({accept_dad: "0"})
        if was["link"]:
            failed["link"] += put_link_back(netlink, nic, {"up": was["link"]["up"], "token": was["link"]["token"]})
        addresses = [entry for entry in was["entries"] if entry["kind"] == "address"]
        sure = [entry for entry in addresses if not entry["state"] & rtnetlink.IFA_F_DADFAILED]
        make_missing(netlink, sure, now_s() - was["at_s"])
        wait_until_used(netlink, nic)  # the kernel processes each address a little later
        failed["sysctls"] = write_sysctls(was["sysctls"])
    return failed


def connect(nic, was, failed):
    """Restore the rest, and return what is left; see restore."""
    passed_s = now_s() - was["at_s"]
    with Netlink(NETLINK_ROUTE) as netlink:
        if was["link"] and was["link"]["up"] and "why" not in was:  # a full snapshot, not the rest of an earlier one
            remove_unasked(netlink, nic, was["entries"])
        wanted = [entry for entry in was["entries"] if not comes_by_itself(entry, nic)]
        words = make_missing(netlink, wanted, passed_s)
    left = [entry for entry in was["entries"] if rtnetlink.identity(entry) in words]
    sysctls = {name: was["sysctls"][name] for name in failed.get("sysctls", ())}
    link = was["link"] if failed.get("link") else None
    if not (left or sysctls or link):
        return None
    why = [*failed.get("link", ()), *failed.get("sysctls", {}).values(), *words.values()]
    return {"link": link, "sysctls": sysctls, "entries": left, "at_s": was["at_s"], "why": why}


def wait_until_used(netlink, nic):
    """Wait, up to `TENTATIVE_S`, until no address of an interface is tentative (duplicate address detection)."""
    deadline = time.monotonic() + TENTATIVE_S
    while time.monotonic() < deadline:
        addresses = told(netlink, "address", links_of(netlink))
        if not any(entry["device"] == nic and entry["state"] & rtnetlink.IFA_F_TENTATIVE for entry in addresses):
            return
        time.sleep(POLL_S)


def make_missing(netlink, wanted, passed_s):
    """Create the entries that are missing, in as many rounds as help, since one may need another.

    Returns {identity: a sentence with the kernel's words} of those that should be there in the end, and are not.
    """
    wanted = [entry for entry in wanted if not expired(entry, passed_s)]
    alike = by_key(wanted)
    wanted = {rtnetlink.identity(entry): entry for entry in wanted if not has_more(entry, alike)}
    words = {}
    before = None
    while True:
        links = links_of(netlink)
        numbers = {link.name: link.number for link in links.values()}
        kinds = {entry["kind"] for entry in wanted.values()}
        found = [entry for kind in kinds for entry in told(netlink, kind, links)]
        there, alike = {rtnetlink.identity(entry) for entry in found}, by_key(found)
        missing = {i: entry for i, entry in wanted.items() if i not in there and not has_more(entry, alike)}
        if not missing or missing.keys() == before:
            break
        before = missing.keys()
        for identity, entry in missing.items():
            words[identity] = "%s could not be restored, although the kernel accepted it." % rtnetlink.described(entry)
            try:
                rtnetlink.make(netlink, entry, numbers, passed_s, way_to_make(entry, alike))
            except AgentError as error:
                words[identity] = str(error)
                usable = with_usable_hops(entry, links)
                if usable is not None and rtnetlink.identity(usable) not in there:
                    with contextlib.suppress(AgentError):
                        rtnetlink.make(netlink, usable, numbers, passed_s, way_to_make(usable, alike))
    return {identity: words[identity] for identity in missing}


def with_usable_hops(route, links):
    """Return a route with only those of its hops whose interfaces are up; None if that is all of them or none."""
    hops = route.get("hops", ())
    up = [hop for hop in hops if hop["device"] in links and links[hop["device"]].up]
    return {**route, "hops": up} if 0 < len(up) < len(hops) else None


def has_more(entry, alike):
    """Return True if a route with more hops than this one is there. ``alike``: see by_key."""
    if entry["kind"] != "route":
        return False
    return any(hops_of(entry) < hops_of(other) for other in alike.get(key_of(entry), ()))


def expired(entry, passed_s):
    lives = entry.get("lives_s") or [None]
    return lives[-1] is not None and lives[-1] <= passed_s


def comes_by_itself(entry, nic):
    """Return True for a route that a router's next advertisement brings, requested when an interface comes up.

    The kernel would not recognize a restored one as its own, and would let it live for ever. If the kernel does not
    listen to routers, another program does, and created the route.
    """
    if entry["kind"] != "route" or entry["head"][5] != rtnetlink.RTPROT_RA:
        return False
    folder = "/proc/sys/net/ipv6/conf/%s/" % nic
    accept, forwarding = sysctl(folder + "accept_ra"), sysctl(folder + "forwarding")
    return accept == "2" or (accept == "1" and forwarding == "0")


def way_to_make(entry, alike):
    """Return the flags to create an entry with: in addition to others of its key, or replacing what is left of it."""
    others = alike.get(key_of(entry), ()) if entry["kind"] in KEYED else ()
    if entry["kind"] == "nexthop":
        shrunk = any(rtnetlink.members_of(other) < rtnetlink.members_of(entry) for other in others)
        return NLM_F_REPLACE if shrunk else 0
    if entry["kind"] == "route" and entry["head"][0] != rtnetlink.AF_MPLS:
        shrunk = any(hops_of(other) < hops_of(entry) for other in others)
        return NLM_F_REPLACE if shrunk else NLM_F_APPEND
    return NLM_F_REPLACE


def by_key(entries):
    """Return {key: [entry]} of the routes and next hops among entries; the kernel finds the first entry of a key."""
    found = {}  # type: dict[tuple[object, ...], list[dict[str, object]]]
    for entry in entries:
        if entry["kind"] in KEYED:
            found.setdefault(key_of(entry), []).append(entry)
    return found


def key_of(entry):
    if entry["kind"] != "route":
        return entry["kind"], rtnetlink.number_of(entry, rtnetlink.NHA_ID)
    keys = (rtnetlink.RTA_DST, RTA_SRC, rtnetlink.RTA_PRIORITY)
    return "route", *entry["head"][:4], rtnetlink.table_of(entry), *(entry["attributes"].get(str(key)) for key in keys)


def hops_of(route):
    """Return the hops of a route; a route with a single gateway has one."""
    alone = {"device": route["device"], "attributes": route["attributes"]}
    return {
        (
            hop["device"],
            hop["attributes"].get(str(rtnetlink.RTA_GATEWAY)),
            hop["attributes"].get(str(rtnetlink.RTA_VIA)),
        )
        for hop in route.get("hops", [alone])
    }


def remove_unasked(netlink, nic, wanted):
    """Remove what the kernel created when an interface came up, unless it was there before.

    These are routes to the networks of its addresses, and link-local addresses.
    """
    links = links_of(netlink)
    known = {rtnetlink.identity(entry) for entry in wanted}
    made = [route for route in told(netlink, "route", links) if is_to_a_network(route)]
    if any(is_link_local(entry) for entry in wanted):  # otherwise there was no carrier yet
        made += [entry for entry in told(netlink, "address", links) if is_link_local(entry)]
    for entry in made:
        if entry["device"] == nic and rtnetlink.identity(entry) not in known:
            with contextlib.suppress(AgentError):
                rtnetlink.remove(netlink, entry, {link.name: link.number for link in links.values()})


def is_link_local(entry):
    return entry["kind"] == "address" and entry["head"][0] == socket.AF_INET6 and entry["head"][3] == SCOPE_LINK


def is_to_a_network(route):
    """Return True if a route came with an address that lives for ever; False for link-local addresses."""
    of_link = rtnetlink.bytes_of(route, rtnetlink.RTA_DST)[:1] in (b"\xfe", b"\xff")
    by_kernel = route["head"][5] == rtnetlink.RTPROT_KERNEL and not made_by_the_kernel(route)
    return by_kernel and not of_link and route.get("lives_s", [None]) == [None]
