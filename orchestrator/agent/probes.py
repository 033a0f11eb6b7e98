# SPDX-License-Identifier: Apache-2.0
"""Samples around a trial: counters, interrupts, clocks, the kernel's log."""

import contextlib
import glob
import os
import time

from orchestrator.agent.complaints import is_complaint, records_in
from orchestrator.agent.hardware import energy
from orchestrator.agent.host import CPUS, inside, number_in, read_text, write_text
from orchestrator.agent.host_messages import (
    ClockAnswer,
    ClockRequest,
    KernelLogAnswer,
    KernelLogRequest,
    PauseRequest,
    WatchKernelLogRequest,
)
from orchestrator.agent.messages import Nothing

VIRTUAL_TIME = "/proc/virtual_time"


def clock(request: ClockRequest) -> ClockAnswer:
    """Return this host's clocks."""
    del request
    return {"clock_s": time.time(), "monotonic_s": time.monotonic()}


def pause(request: PauseRequest) -> Nothing:
    """Wait by this host's clock."""
    time.sleep(request.seconds)
    return {}


def virtual_time():
    """Return the kernel's counters of virtual time: {name: number}; None in real time.

    ``cpuN_busy_ns`` is how long virtual CPU N was busy since it booted. The other names are those of the file, see
    docs/virtual-time.md.
    """
    try:
        text = read_text(VIRTUAL_TIME)
    except FileNotFoundError:
        return None
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def forget_skew():
    """Reset the kernel's maximum of the skew between virtual CPUs; does nothing in real time."""
    if os.path.exists(VIRTUAL_TIME):
        write_text(VIRTUAL_TIME, "0")


def online_cpus():
    """Return the names of the CPUs that are on line, as /proc/stat has them: ["0", "1"]."""
    return [words[0][3:] for words in cpu_lines()]


def cpu_lines():
    """Return the lines of /proc/stat of the CPUs that are on line, each split into words."""
    lines = read_text("/proc/stat").splitlines()
    return [line.split() for line in lines if line.startswith("cpu") and line[3] != " "]


def sample(roles, cycles):
    """Return raw counters of this host now: clock ticks and softirqs of each CPU, interfaces' counters, virtual time.

    ``cycles``: the active `Cycles`.
    """
    cpus = cpu_lines()
    interfaces = interfaces_of(roles)
    return {
        "at_monotonic_s": time.monotonic(),
        "cpus": {fields[0][3:]: [int(value) for value in fields[1:9]] for fields in cpus},
        "ticks_per_s": os.sysconf("SC_CLK_TCK"),
        "softirqs": read_text("/proc/softirqs"),
        "interfaces": interfaces,
        "clock_s": time.time(),
        "virtual_time": virtual_time(),
        "energy": energy(),
        "cycles": cycles.read(),
    }


MEMORY = {"MemAvailable": "available", "Slab": "slab"}  # of /proc/meminfo, which gives KiB


def reading(roles):
    """Return what may change during a long trial: free memory, the kernel's own memory, and interfaces' counters.

    ``available`` and ``slab`` in bytes; ``interfaces``: {role: text of its /proc/net/dev}.
    """
    at_s = time.monotonic()
    lines = [line.partition(":") for line in read_text("/proc/meminfo").splitlines()]
    memory = {MEMORY[name]: int(rest.split()[0]) * 1024 for name, _, rest in lines if name in MEMORY}
    return {"at_monotonic_s": at_s, "interfaces": interfaces_of(roles), **memory}


def interfaces_of(roles):
    """Return the counters of each role's interfaces: {role: text of its /proc/net/dev}."""
    found = {}
    for role in roles:
        with inside(role):
            found[role] = read_text("/proc/thread-self/net/dev")
    return found


def of_cpus(name):
    """Return the numbers in a file of each CPU that is on line; the file of another is missing or unreadable.

    The files are looked up each time, since CPUs come and go.
    """
    numbers = [number_in(path) for path in sorted(glob.glob(CPUS + "/cpu[0-9]*/" + name))]
    return [number for number in numbers if number is not None]


def surroundings(roles):
    """Return what should be the same before and after the traffic (interrupt affinity, throttling, frequency, and how
    many times TCP of some roles has run short of memory), and the counters of the roles' interfaces.

    ``interrupts``: {number: list of CPUs} of those that have ever occurred, since reading all takes a lab machine 60
    ms; ``throttled``: events, null if the host does not count them; ``frequency_khz``: of each CPU now, empty if
    unknown. CPUs that are off line are in neither. ``tcp_pressures`` and ``tcp_pressed``: see the functions of these
    names. ``interfaces``: {role: text of its /proc/net/dev}.
    """
    interrupts = {}
    for line in read_text("/proc/interrupts").splitlines()[1:]:
        number, _, rest = line.partition(":")
        counts = [int(word) for word in rest.split() if word.isdigit()]
        if number.strip().isdigit() and any(counts):
            with contextlib.suppress(OSError):
                interrupts[number.strip()] = read_text("/proc/irq/%s/smp_affinity_list" % number.strip()).strip()
    throttled = of_cpus("thermal_throttle/core_throttle_count")
    pressures, interfaces = 0, {}
    for role in roles:
        with inside(role):
            pressures += tcp_pressures()
            interfaces[role] = read_text("/proc/thread-self/net/dev")
    return {
        "interrupts": interrupts,
        "throttled": sum(throttled) if throttled else None,
        "frequency_khz": of_cpus("cpufreq/scaling_cur_freq"),
        "tcp_pressures": pressures,
        "tcp_pressed": tcp_pressed(),
        "interfaces": interfaces,
    }


def tcp_pressures():
    """Return how many times a connection of this namespace met the host's limit on TCP's memory (net.ipv4.tcp_mem).

    TCP then keeps its windows as small as a few segments. It is TCPMemoryPressures of /proc/net/netstat, which has a
    line of names and one of values.
    """
    lines = [line.split() for line in read_text("/proc/thread-self/net/netstat").splitlines()]
    names, values = [line for line in lines if line[0] == "TcpExt:"]
    return int(values[names.index("TCPMemoryPressures")])


def tcp_pressed():
    """Return whether TCP is short of memory now; it stays so until most of it is free again (/proc/net/protocols)."""
    lines = [line.split() for line in read_text("/proc/net/protocols").splitlines()]
    place = lines[0].index("press")
    return any(line[place] == "yes" for line in lines[1:] if line[0] == "TCP")


def watch_kernel_log(request: WatchKernelLogRequest) -> Nothing:
    """Mark the beginning of a trial, from which `kernel_log` reports complaints."""
    del request
    KERNEL_LOG.watch()
    return {}


def kernel_log(request: KernelLogRequest) -> KernelLogAnswer:
    """Return complaints in the kernel's log, and which code encrypts.

    Complaints (see complaints.py) are those since `watch_kernel_log`, or else since this agent began; the code that
    encrypts is looked for in the log of the whole boot.
    """
    crypto = "orch-lab: crypto: "
    complaints = [record.text for record in KERNEL_LOG.since_watched() if is_complaint(record)]
    said = [record.text for record in KERNEL_LOG.records if crypto in record.text]
    return {
        "complaints": complaints[: request.most],
        "crypto": ", ".join(text.split(crypto, 1)[1].strip() for text in said) or None,
    }


class KernelLog:
    """The kernel's log of this boot, followed record by record, so that nothing is read twice."""

    def __init__(self):
        self.descriptor = None
        self.records = []
        self.began_us = time.monotonic() * 1e6  # used if the agent did not `watch`
        self.watched_from = None

    def read(self):
        """Read the new records."""
        if self.descriptor is None:
            self.descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        while True:
            try:
                text = os.read(self.descriptor, 8192).decode(errors="replace")
            except BlockingIOError:
                return
            except BrokenPipeError:
                continue  # records were overwritten before they were read; go on with the next existing one
            if not text:
                return
            self.records += records_in(text)

    def watch(self):
        """Watch from the next record on, by its number: the kernel's clock is not ours, and a pause may stop it."""
        self.read()
        self.watched_from = self.records[-1].sequence + 1 if self.records else 0

    def since_watched(self):
        self.read()
        if self.watched_from is None:
            return [record for record in self.records if record.at_us >= self.began_us]
        return [record for record in self.records if record.sequence >= self.watched_from]


KERNEL_LOG = KernelLog()
