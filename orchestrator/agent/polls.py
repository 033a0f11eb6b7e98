# SPDX-License-Identifier: Apache-2.0
"""The CPUs on which NAPI polls run: the kernel's tracepoint napi:napi_poll, counted by CPU, device and time.

It uses its own instance of tracefs (Documentation/trace/ftrace.rst): other tracing on the host is not affected.
"""

import contextlib
import glob
import os
import re

from orchestrator.agent.host import AgentError, call, read_text, set_and_check, write_text

TRACING = "/sys/kernel/tracing"
INSTANCE = TRACING + "/instances/orch-polls"
BIN_S = 0.1
BUFFER_KB = 65536  # of all CPUs together
LEAST_KB, MOST_KB = 1024, 32768  # per CPU; a poll takes about 50 bytes
LINE = re.compile(r" (\d+\.\d+): napi_poll: napi poll on napi struct (\S+) for device (\S+) work (-?\d+) ")


def mount_tracing():
    """Mount tracefs at its usual place, if it is not there and the kernel has it."""
    if not os.path.exists(TRACING + "/trace"):
        with contextlib.suppress(AgentError):
            call(["mount", "-t", "tracefs", "tracefs", TRACING])


class PollTrace:
    """Records polls from ``start`` to ``stop``; a full buffer keeps the earliest ones."""

    def __enter__(self):
        mount_tracing()
        if not os.path.isdir(TRACING + "/events/napi/napi_poll"):
            raise AgentError("this kernel does not offer the tracepoint napi:napi_poll, so polls can't be traced.")
        remove()
        os.mkdir(INSTANCE)
        set_and_check(INSTANCE + "/tracing_on", "0")
        share = BUFFER_KB // max(1, os.cpu_count() or 1)
        write_text(INSTANCE + "/buffer_size_kb", str(min(MOST_KB, max(LEAST_KB, share))))
        write_text(INSTANCE + "/trace_clock", "mono")
        set_and_check(INSTANCE + "/options/overwrite", "0")
        if os.path.exists(INSTANCE + "/options/hash-ptr"):  # polls are distinguished by their address
            set_and_check(INSTANCE + "/options/hash-ptr", "0")
        event = INSTANCE + "/events/napi/napi_poll"
        write_text(event + "/filter", 'dev_name ~ "wg*"')  # other polls would fill the buffer
        set_and_check(event + "/enable", "1")
        return self

    def __exit__(self, *exception):
        remove()

    def start(self):
        write_text(INSTANCE + "/tracing_on", "1")

    def stop(self):
        write_text(INSTANCE + "/tracing_on", "0")

    def result(self):
        """Return what was recorded until a CPU's buffer was full, times in bins of BIN_S from the first poll on.

        {"bin_s", "lost": polls that found the buffer full, "rows": [[bin, cpu, poll, device, times, packets, empty]]};
        ``poll`` numbers the NAPI instances, since devices of several roles may share a name; ``empty``: the polls that
        delivered no packet. If polls were lost, only whole bins are returned.
        """
        folders = sorted(glob.glob(INSTANCE + "/per_cpu/cpu[0-9]*"))
        began = min((at for at in map(first_of, folders) if at is not None), default=0.0)
        found = {}  # type: dict[tuple[int, int, str, str], list[int]]
        lost, until = 0, float("inf")
        for folder in folders:
            last = counted(folder, began, found)
            missed = lost_of(folder)
            if missed:  # after this time one CPU would be missing
                lost += missed
                until = min(until, int((last - began) / BIN_S))
        addresses = {}  # type: dict[str, int]
        rows = [
            [at, cpu, addresses.setdefault(address, len(addresses)), device, *counts]
            for (at, cpu, address, device), counts in found.items()
            if at < until
        ]
        return {"bin_s": BIN_S, "lost": lost, "rows": sorted(rows)}


def recorded(folder):
    """Yield (seconds, address, device, packets) of a CPU's polls, in order."""
    with open(folder + "/trace", encoding="ascii", errors="replace") as lines:
        for match in map(LINE.search, lines):
            if match:
                at, address, device, work = match.groups()
                yield float(at), address, device, int(work)


def first_of(folder):
    """Return when a CPU's first poll was, or None."""
    return next((at for at, _, _, _ in recorded(folder)), None)


def counted(folder, began, found):
    """Add a CPU's polls to ``found``, {(bin, cpu, address, device): [times, packets, empty]}; return the last's time.

    A second of traffic has a hundred thousand polls, so they are counted while they are read.
    """
    cpu = int(os.path.basename(folder)[len("cpu") :])
    at = began
    for at, address, device, work in recorded(folder):
        counts = found.setdefault((int((at - began) / BIN_S), cpu, address, device), [0, 0, 0])
        counts[0] += 1
        if work > 0:
            counts[1] += work
        else:
            counts[2] += 1
    return at


def lost_of(folder):
    """Return how many events found no room in a CPU's buffer."""
    lines = [line.partition(":") for line in read_text(folder + "/stats").splitlines()]
    return sum(int(value) for name, _, value in lines if name in ("overrun", "dropped events"))


def remove():
    """Remove this program's instance, also one that a killed agent left."""
    if os.path.isdir(INSTANCE):
        write_text(INSTANCE + "/tracing_on", "0")
        os.rmdir(INSTANCE)
