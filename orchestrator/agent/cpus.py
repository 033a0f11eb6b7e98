# SPDX-License-Identifier: Apache-2.0
"""Keeping what belongs to trials to some of this host's CPUs, while the others stay on line.

What trials start inherits the CPUs of this agent. WireGuard's own work is apart from that: threads that poll are moved,
and queued work goes where a device's attribute ``cpus`` says, which only this project's module has.
"""

import glob
import os

from orchestrator.agent.host import AgentError, read_text, set_and_check

CONFINED = {}  # type: dict[str, list[int]]


def confine(request):
    """From now on, keep to some CPUs: {"cpus": [numbers]}."""
    wanted = sorted(request["cpus"])
    os.sched_setaffinity(0, wanted)
    found = sorted(os.sched_getaffinity(0))
    if found != wanted:
        raise AgentError("the CPUs %s were asked for, and %s can be used." % (cpu_list(wanted), cpu_list(found)))
    CONFINED["cpus"] = wanted
    return {}


def cpu_list(cpus):
    """Numbers as the kernel writes a list of CPUs: 0-2,5."""
    parts = []  # type: list[list[int]]
    for cpu in sorted(cpus):
        if parts and parts[-1][1] == cpu - 1:
            parts[-1][1] = cpu
        else:
            parts.append([cpu, cpu])
    return ",".join("%d-%d" % (first, last) if last > first else str(first) for first, last in parts)


def confine_work(attribute, cpus):
    """Keep the queued work of a WireGuard device to CPUs, as the kernel writes them, by its attribute (a file)."""
    if not os.path.exists(attribute):
        raise AgentError(
            "the WireGuard in the kernel cannot keep its crypt workers to the CPUs %s; only this project's module can."
            % cpus
        )
    set_and_check(attribute, cpus)


def confine_polls():
    """Move the threads that poll WireGuard's peers, whose names begin with napi/wg, to the CPUs that trials keep to."""
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            if read_text(path).startswith("napi/wg"):
                os.sched_setaffinity(int(path.split("/")[2]), CONFINED["cpus"])
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
