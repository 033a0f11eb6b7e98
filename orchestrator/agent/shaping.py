# SPDX-License-Identifier: Apache-2.0
"""Delay, loss, reordering and rate of what a role sends over a link, by the queueing discipline netem; read back.

linux/pkt_sched.h, tc-netem(8). The shape ends with the namespace: an interface of the host that leaves it gets back its
former queueing disciplines (see nics.py).
"""

import errno
import struct

from orchestrator.agent.host import AgentError, inside
from orchestrator.agent.interfaces import links_of
from orchestrator.agent.messages import Nothing
from orchestrator.agent.netlink import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_DUMP,
    NLM_F_REPLACE,
    Netlink,
    NetlinkError,
    attribute,
    attributes,
    name_attribute,
)
from orchestrator.agent.network_messages import ShapeLinksRequest, UnshapeLinksRequest
from orchestrator.agent.rtnetlink import KINDS, TC_H_ROOT, TCA_KIND

TCA_OPTIONS = 2
NETEM_REORDER, NETEM_RATE, NETEM_RATE64, NETEM_LATENCY64 = 3, 6, 8, 10
QOPT = "=IIIIII"  # latency, limit, loss, gap, duplicate, jitter
TICK_NS = 64  # psched_ticks_per_sec
HANDLE = 0x10000
MOST = 0xFFFFFFFF


def shape_links(request: ShapeLinksRequest) -> Nothing:
    """Shape what each role sends over a link, and verify it by reading it back.

    Raises AgentError for a kernel without netem, or if another shape is read back.
    """
    for role, wanted in request.roles.items():
        with inside(role), Netlink(NETLINK_ROUTE) as link:
            device = links_of(link)[wanted["device"]]
            remove_shape(link, device)  # an existing one would be changed, and keep options not given now
            what = "shaping %s on %s" % (device.name, role)
            parts = name_attribute(TCA_KIND, "netem") + attribute(TCA_OPTIONS, netem_options(wanted))
            try:
                link.ask(KINDS["qdisc"].new, NLM_F_CREATE | NLM_F_REPLACE, head_of(device) + parts, what)
            except NetlinkError as error:
                if error.number != errno.ENOENT:
                    raise
                raise AgentError("%s It needs a kernel with sch_netem." % error) from error
            found, asked = shape_on(link, device), told(netem_options(wanted))
            if found != asked:
                raise AgentError("%s was asked for %s and reads back %s." % (what, asked, found))
    return {}


def unshape_links(request: UnshapeLinksRequest) -> Nothing:
    """Remove the shapes of links. Does nothing for one that is not shaped."""
    for role, wanted in request.roles.items():
        with inside(role), Netlink(NETLINK_ROUTE) as link:
            remove_shape(link, links_of(link)[wanted["device"]])
    return {}


def remove_shape(link, device):
    """Remove the netem at the root of an interface, if there is one."""
    if shape_on(link, device) is not None:
        link.ask(KINDS["qdisc"].delete, 0, head_of(device), "removing the shape of %s" % device.name)


def head_of(device):
    return struct.pack(KINDS["qdisc"].head, 0, 0, 0, device.number, HANDLE, TC_H_ROOT, 0)


def netem_options(wanted):
    """Return a struct tc_netem_qopt and its attributes."""
    delay_ns = round(wanted["delay_s"] * 1e9)
    reorder = probability(wanted["reorder"])
    base = (min(delay_ns // TICK_NS, MOST), wanted["queue"], probability(wanted["loss"]), 1 if reorder else 0, 0, 0)
    parts = struct.pack(QOPT, *base) + attribute(NETEM_LATENCY64, struct.pack("=q", delay_ns))
    if reorder:
        parts += attribute(NETEM_REORDER, struct.pack("=II", reorder, 0))
    if wanted["rate_bps"] is not None:
        bytes_per_s = round(wanted["rate_bps"] / 8)
        if bytes_per_s > MOST:
            parts += attribute(NETEM_RATE64, struct.pack("=Q", bytes_per_s))
        parts += attribute(NETEM_RATE, struct.pack("=IiIi", min(bytes_per_s, MOST), 0, 0, 0))
    return parts


def probability(share):
    """Return a probability (0 to 1) as the kernel represents it."""
    return round(share * MOST)


def told(options):
    """Decode netem options: {"delay_ns", "queue", "loss", "reorder", "bytes_per_s"}; probabilities are of 2^32 - 1."""
    _, queue, loss, _, _, _ = struct.unpack_from(QOPT, options)
    parts = attributes(options[struct.calcsize(QOPT) :])
    slow = struct.unpack_from("=I", parts.get(NETEM_RATE, bytes(4)))[0]
    fast = struct.unpack("=Q", parts[NETEM_RATE64])[0] if NETEM_RATE64 in parts else 0
    return {
        "delay_ns": struct.unpack("=q", parts[NETEM_LATENCY64])[0],
        "queue": queue,
        "loss": loss,
        "reorder": struct.unpack_from("=I", parts.get(NETEM_REORDER, bytes(4)))[0],
        "bytes_per_s": fast or slow,
    }


def shape_on(link, device):
    """Return the options of the netem at the root of an interface, see `told`; None if it has none."""
    size = struct.calcsize(KINDS["qdisc"].head)
    for answer in link.ask(KINDS["qdisc"].get, NLM_F_DUMP, bytes(size), "reading the queueing disciplines"):
        head, parts = struct.unpack_from(KINDS["qdisc"].head, answer), attributes(answer[size:])
        if head[3] == device.number and head[5] == TC_H_ROOT and parts[TCA_KIND].rstrip(b"\0") == b"netem":
            return told(parts[TCA_OPTIONS])
    return None
