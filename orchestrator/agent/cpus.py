# SPDX-License-Identifier: Apache-2.0
"""The CPUs of this host that trials use: a subset, while the others stay on line, or separate ones for each role.

What trials start inherits the CPUs of this agent, or those of the role in which it is started. WireGuard's own work
needs more: threads that poll are moved, and queued work goes where a device's attribute ``cpus`` says, which only this
project's module has.
"""

import contextlib
import glob
import os
from collections.abc import Iterable

from orchestrator.agent.host import AgentError, inside, read_text, set_and_check, write_text
from orchestrator.agent.host_messages import ConfineRequest, PlaceRequest
from orchestrator.agent.messages import Nothing

CONFINED = {}  # type: dict[str, list[int]]
PLACED = {}  # type: dict[str, list[int]]
HOME = "client"  # the role whose CPUs run everything that belongs to no other role
WORKQUEUES = "/sys/devices/virtual/workqueue/cpumask"


def confine(request: ConfineRequest) -> Nothing:
    """Confine this agent and what it starts to some CPUs. Raises AgentError if not all of them can be used."""
    wanted = sorted(request.cpus)
    os.sched_setaffinity(0, wanted)
    found = sorted(os.sched_getaffinity(0))
    if found != wanted:
        raise AgentError("the CPUs %s were requested, but %s can be used." % (cpu_list(wanted), cpu_list(found)))
    CONFINED["cpus"] = wanted
    return {}


def place(request: PlaceRequest) -> Nothing:
    """Give each role its own CPUs.

    Everything else keeps to the client's CPUs: this agent, all that runs here by now, and work queued for any CPU. The
    kernel itself distributes WireGuard's work over a group's CPUs (its argument cpu_groups). Nothing is restored: this
    is for lab machines, which end with their block.
    """
    PLACED.clear()
    PLACED.update({role: list(cpus) for role, cpus in request.roles.items()})
    home = PLACED[HOME]
    move_everything(home)
    found = sorted(os.sched_getaffinity(0))
    if found != sorted(home):
        raise AgentError("the CPUs %s were requested, but %s can be used." % (cpu_list(home), cpu_list(found)))
    if os.path.exists(WORKQUEUES):
        set_mask(WORKQUEUES, home)
    return {}


def move_everything(cpus):
    """Move all threads of this host to some CPUs, except those bound to one CPU, which the kernel refuses."""
    for path in glob.glob("/proc/[0-9]*/task/[0-9]*"):
        with contextlib.suppress(OSError):  # refused, or it has just ended
            os.sched_setaffinity(int(path.rpartition("/")[2]), cpus)


@contextlib.contextmanager
def acting_as(role):
    """Context manager that enters a role's network namespace, and its CPUs if it has its own.

    Processes started inside stay there.
    """
    with inside(role):
        if role not in PLACED:
            yield
            return
        before = os.sched_getaffinity(0)  # of this thread
        os.sched_setaffinity(0, PLACED[role])
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def cpu_mask(cpus):
    """Return a mask of CPUs as cpumask_parse() takes it: hexadecimal, with a comma before every 32 bits."""
    bits = sum(1 << cpu for cpu in set(cpus))
    words = []  # type: list[str]
    while bits or not words:
        words.append("%08x" % (bits & 0xFFFFFFFF))
        bits >>= 32
    return ",".join(reversed(words))


def cpus_in(mask):
    """Return the CPU numbers in a mask, however many leading zeros the kernel writes."""
    bits = int(mask.strip().replace(",", ""), 16)
    return [cpu for cpu in range(bits.bit_length()) if bits >> cpu & 1]


def set_mask(path, cpus):
    """Write a mask of CPUs and verify it by reading it back. Raises AgentError."""
    write_text(path, cpu_mask(cpus))
    found = cpus_in(read_text(path))
    if found != sorted(cpus):
        raise AgentError("%s was set to the CPUs %s and reads back %s." % (path, cpu_list(cpus), cpu_list(found)))


def cpu_list(cpus: Iterable[int]) -> str:
    """Return numbers as the kernel writes a list of CPUs: 0-2,5."""
    parts = []  # type: list[list[int]]
    for cpu in sorted(cpus):
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join("%d-%d" % (first, last) if last > first else str(first) for first, last in parts)


def confine_work(attribute, cpus):
    """Confine the queued work of a WireGuard device to a list of CPUs, by its attribute (a file)."""
    if not os.path.exists(attribute):
        raise AgentError(
            "the WireGuard in the kernel cannot keep its crypt workers to the CPUs %s; only this project's module can."
            % cpus
        )
    set_and_check(attribute, cpus)


def processes():
    """Return the numbers of all current processes, including the kernel's threads."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def place_polls(role, before, fewest):
    """Move the threads that poll a role's WireGuard peers to the role's CPUs.

    Both gateways' threads have the same names, so they are distinguished by when they appeared: after ``before`` (from
    `processes`), while the role's devices got their peers and were switched to threaded polling. (The kernel's netlink
    interface to NAPI omits WireGuard's threads, since they have no NAPI id.) ``fewest``: how many there must be.
    """
    moved = 0
    for pid in processes() - before:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
            if read_text("/proc/%d/comm" % pid).startswith("napi/wg"):
                os.sched_setaffinity(pid, PLACED[role])
                moved += 1
    if moved < fewest:
        raise AgentError("%s has %d peers that are polled in threads, and only %d new threads." % (role, fewest, moved))


def confine_polls():
    """Move the threads that poll WireGuard's peers, named napi/wg..., to the CPUs that trials are confined to."""
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            if read_text(path).startswith("napi/wg"):
                os.sched_setaffinity(int(path.split("/")[2]), CONFINED["cpus"])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
