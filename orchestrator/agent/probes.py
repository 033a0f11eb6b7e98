# SPDX-License-Identifier: Apache-2.0
"""What is sampled around a trial: counters, interrupts, clocks, the kernel's log."""

import contextlib
import functools
import glob
import os
import time

from orchestrator.agent.host import inside, read_text, write_text

VIRTUAL_TIME = "/proc/virtual_time"


def clock(request):
    """This host's clock: {"clock_s": seconds of the epoch, "monotonic_s": of CLOCK_MONOTONIC}."""
    del request
    return {"clock_s": time.time(), "monotonic_s": time.monotonic()}


def pause(request):
    """Wait by this host's clock: {"seconds"}."""
    time.sleep(request["seconds"])
    return {}


def virtual_time():
    """Read the kernel's counters of virtual time: {name: number}; None where its time is real.

    ``cpuN_busy_ns`` is how long virtual CPU N was busy since it booted. The other names are those of the file, see
    docs/virtual-time.md.
    """
    try:
        text = read_text(VIRTUAL_TIME)
    except FileNotFoundError:
        return None
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


def forget_skew():
    """Have the kernel look for the largest skew between virtual CPUs from now on; nothing in real time."""
    if os.path.exists(VIRTUAL_TIME):
        write_text(VIRTUAL_TIME, "0")


def sample(roles):
    """Raw counters of this host now: clock ticks and softirqs of each CPU, counters of each interface, virtual time."""
    cpus = [line.split() for line in read_text("/proc/stat").splitlines() if line.startswith("cpu") and line[3] != " "]
    interfaces = {}
    for role in roles:
        with inside(role):
            interfaces[role] = read_text("/proc/thread-self/net/dev")
    return {
        "at_monotonic_s": time.monotonic(),
        "cpus": {fields[0][3:]: [int(value) for value in fields[1:9]] for fields in cpus},
        "ticks_per_s": os.sysconf("SC_CLK_TCK"),
        "softirqs": read_text("/proc/softirqs"),
        "interfaces": interfaces,
        "clock_s": time.time(),
        "virtual_time": virtual_time(),
    }


@functools.lru_cache(maxsize=None)
def cpu_files(name):
    """A file of every CPU; none where the host does not have it."""
    return sorted(glob.glob("/sys/devices/system/cpu/cpu[0-9]*/" + name))


def surroundings():
    """What should be the same before and after the traffic: where interrupts go, and how often a CPU was throttled.

    ``interrupts``: {number: list of CPUs} of those that have ever come, since reading all takes a lab machine 60 ms;
    ``throttled``: events, null where the host does not count them; ``frequency_khz``: of each CPU now, empty where the
    host does not say.
    """
    interrupts = {}
    for line in read_text("/proc/interrupts").splitlines()[1:]:
        number, _, rest = line.partition(":")
        counts = [int(word) for word in rest.split() if word.isdigit()]
        if number.strip().isdigit() and any(counts):
            with contextlib.suppress(OSError):
                interrupts[number.strip()] = read_text("/proc/irq/%s/smp_affinity_list" % number.strip()).strip()
    throttled = [int(read_text(path)) for path in cpu_files("thermal_throttle/core_throttle_count")]
    frequency = [int(read_text(path)) for path in cpu_files("cpufreq/scaling_cur_freq")]
    return {
        "interrupts": interrupts,
        "throttled": sum(throttled) if throttled else None,
        "frequency_khz": frequency,
    }


COMPLAINTS = ("WARNING", "BUG:", "Oops", "stall", "hung task", "general protection")


def kernel_log(request):
    """What this boot's kernel log says: ``complaints``, the last ``most`` lines that a person should see (warnings,
    bugs, stalls), and ``crypto``, which code encrypts; null where the kernel does not say."""
    crypto = "orch-lab: crypto: "
    lines = KERNEL_LOG.lines()
    return {
        "complaints": [line for line in lines if any(mark in line for mark in COMPLAINTS)][-request["most"] :],
        "crypto": ", ".join(line.split(crypto, 1)[1].strip() for line in lines if crypto in line) or None,
    }


class KernelLog:
    """The kernel's log of this boot, followed record by record: what was read once is not read again."""

    def __init__(self):
        self.descriptor = None
        self.read_so_far = []

    def lines(self):
        if self.descriptor is None:
            self.descriptor = os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK)
        while True:
            try:
                record = os.read(self.descriptor, 8192).decode(errors="replace")
            except BlockingIOError:
                return self.read_so_far
            except BrokenPipeError:
                continue  # records were overwritten before they were read; the next one there is follows
            self.read_so_far += record.partition(";")[2].splitlines()


KERNEL_LOG = KernelLog()
