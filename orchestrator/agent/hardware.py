# SPDX-License-Identifier: Apache-2.0
"""Hardware counters, if a host lets them be read: energy by RAPL, and the cycles of each CPU.

Energy is read from the powercap files of the kernel (Documentation/power/powercap/powercap.rst), which Intel and AMD
processors have and guests mostly lack. Cycles are those of perf_event_open(2), of a CPU that is not idle.
"""

import contextlib
import ctypes
import glob
import os
import platform
import struct

from orchestrator.agent.host import LIBC, read_text

POWERCAP = "/sys/class/powercap"
ENERGY_FILES = {"uj": "energy_uj", "range_uj": "max_energy_range_uj"}
SYSCALL_OF = {"x86_64": 298, "aarch64": 241}  # perf_event_open
HARDWARE, CPU_CYCLES = 0, 0
ATTRIBUTES_BYTES = 64  # PERF_ATTR_SIZE_VER0
TIME_ENABLED, TIME_RUNNING = 1, 2  # flags of a counter's read format
CLOSE_ON_EXEC = 8


def energy():
    """Return the energy counters of this host: {zone, such as intel-rapl:0: {"name", "uj", "range_uj"}}.

    ``uj``: microjoules, which wrap to 0 after ``range_uj``. Zones are processor packages and their memory. Empty if
    none can be read.
    """
    found = {}
    for folder in sorted(glob.glob(POWERCAP + "/*:*")):
        with contextlib.suppress(OSError, ValueError):
            name = read_text(folder + "/name").strip()
            if name.startswith("package") or name == "dram":
                counts = {key: int(read_text("%s/%s" % (folder, file))) for key, file in ENERGY_FILES.items()}
                found[os.path.basename(folder)] = {"name": name, **counts}
    return found


class Cycles:
    """Context manager that counts the cycles of each CPU of this host; without any counters if one is unavailable."""

    def __init__(self, cpus):
        self.cpus = cpus
        self.counters = {}  # type: dict[str, int]

    def __enter__(self):
        for cpu in self.cpus:
            descriptor = open_counter(int(cpu))
            if descriptor is None:  # no counter, not allowed, or all in use: counting only some CPUs is of no use
                self.__exit__()
                break
            self.counters[cpu] = descriptor
        return self

    def __exit__(self, *exception):
        for descriptor in self.counters.values():
            os.close(descriptor)
        self.counters = {}

    def read(self):
        """Return the cycles of each CPU since the context was entered: {cpu: number}; empty without counters.

        A counter that shares its hardware with others counts only part of the time: its number is scaled up.
        """
        found = {}
        for cpu, descriptor in self.counters.items():
            value, enabled, running = struct.unpack("=QQQ", os.read(descriptor, 24))
            found[cpu] = value * enabled // running if running else 0
        return found


def open_counter(cpu, kind=HARDWARE, event=CPU_CYCLES):
    """Return a descriptor of a CPU's counter of an event (cycles), whatever runs on it; None if there is none."""
    number = SYSCALL_OF.get(platform.machine())
    if number is None:
        return None
    attributes = struct.pack("=IIQQQQ", kind, ATTRIBUTES_BYTES, event, 0, 0, TIME_ENABLED | TIME_RUNNING)
    buffer = ctypes.create_string_buffer(attributes.ljust(ATTRIBUTES_BYTES, b"\0"), ATTRIBUTES_BYTES)
    everyone, no_group = ctypes.c_long(-1), ctypes.c_long(-1)
    descriptor = LIBC.syscall(
        ctypes.c_long(number), buffer, everyone, ctypes.c_long(cpu), no_group, ctypes.c_ulong(CLOSE_ON_EXEC)
    )
    return None if descriptor < 0 else descriptor
