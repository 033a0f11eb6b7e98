# SPDX-License-Identifier: Apache-2.0
"""The processor time that other programs use on this host."""

import os
import time

from orchestrator.agent.host import read_bytes
from orchestrator.agent.host_messages import BusyAnswer, BusyRequest

PF_KTHREAD = 0x200000  # include/linux/sched.h; proc_pid_stat(5), flags


def process_seconds(own=()):
    """Return {pid: (name, processor seconds)} of all processes except the kernel's, this agent and ``own``."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and int(name) not in own:
            text = read_bytes("/proc/%s/stat" % name).decode(errors="replace")
            if ")" in text:
                fields = text.rsplit(")", 1)[1].split()
                if int(fields[6]) & PF_KTHREAD == 0:
                    command = text[text.index("(") + 1 : text.rindex(")")]
                    found[int(name)] = (command, (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"))
    return found


def used_between(before, after, elapsed_s) -> BusyAnswer:
    """Return {"cores": cores that others used between two readings, "names": of the busiest}."""
    used = [(name, seconds - before.get(pid, (name, 0.0))[1]) for pid, (name, seconds) in after.items()]
    busiest = sorted(used, key=lambda item: -item[1])[:3]
    return {
        "cores": round(sum(seconds for _, seconds in used) / elapsed_s, 3),
        "names": [name for name, seconds in busiest if seconds > 0],
    }


def busy(request: BusyRequest) -> BusyAnswer:
    """Measure how much other processes use this host."""
    return busy_processes(request.window_s)


def busy_processes(window_s) -> BusyAnswer:
    before, began = process_seconds(), time.monotonic()
    time.sleep(window_s)
    return used_between(before, process_seconds(), time.monotonic() - began)
