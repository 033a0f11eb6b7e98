# SPDX-License-Identifier: Apache-2.0
"""This computer as the host of a lab: its description, its load, and the priority of this process."""

import contextlib
import glob
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.testbed.quiet import wait_until_below

_TICKS = os.sysconf("SC_CLK_TCK")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_of_computer() -> str:
    """Return the kernel's random boot id, which identifies this computer and this boot. Raises OSError if there is
    none."""
    return BOOT_ID.read_text().strip()


@dataclass(frozen=True, slots=True)
class Computer:
    """Processor time used so far by the whole computer, in seconds summed over all CPUs (proc_stat(5)), and by this
    process.

    ``throttled``: how often CPUs were slowed down because of heat; ``frequency_khz``: the current mean of all CPUs.
    Both are None if the computer does not report them.
    """

    busy_s: float
    idle_s: float
    steal_s: float
    own_s: float
    at_s: float
    throttled: int | None
    frequency_khz: float | None

    @classmethod
    def now(cls) -> "Computer":
        fields = [int(value) / _TICKS for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, idle, iowait, irq, softirq, steal = fields
        times = os.times()
        busy, own = user + nice + system + irq + softirq, times.user + times.system
        return cls(busy, idle + iowait, steal, own, time.monotonic(), _throttled(), _frequency_khz())

    def since(self, before: "Computer", lab_s: float) -> dict[str, float | None]:
        """Return what happened since an earlier reading. ``lab_s``: the CPU seconds that the lab used in that time."""
        busy, own = self.busy_s - before.busy_s, self.own_s - before.own_s
        counts = self.throttled is not None and before.throttled is not None
        return {
            "elapsed_s": round(self.at_s - before.at_s, 3),
            "busy_s": round(busy, 3),
            "idle_s": round(self.idle_s - before.idle_s, 3),
            "steal_s": round(self.steal_s - before.steal_s, 3),
            "lab_s": round(lab_s, 3),
            "controller_s": round(own, 3),
            "other_s": round(max(0.0, busy - lab_s - own), 3),
            "frequency_khz_before": before.frequency_khz,
            "frequency_khz_after": self.frequency_khz,
            "throttled": (self.throttled or 0) - (before.throttled or 0) if counts else None,
        }


def wait_until_quiet(share: float, most_s: float, step_s: float = 0.5) -> bool:
    """Wait until other programs and the hypervisor use less than ``share`` of a core. Return False if they still use
    more after ``most_s`` seconds.

    Call it only while the lab itself is idle.
    """

    def others() -> float:
        before = Computer.now()
        time.sleep(step_s)
        found = Computer.now().since(before, 0.0)
        return ((found["other_s"] or 0.0) + (found["steal_s"] or 0.0)) / step_s

    return wait_until_below(others, share, most_s)


def _of_cpus(name: str) -> list[int]:
    """Return the numbers in a per-CPU file in /sys, for the CPUs that are online now."""
    numbers = []
    for path in glob.glob(f"/sys/devices/system/cpu/cpu[0-9]*/{name}"):
        with contextlib.suppress(OSError, ValueError):
            numbers.append(int(Path(path).read_text()))
    return numbers


def _frequency_khz() -> float | None:
    values = _of_cpus("cpufreq/scaling_cur_freq")
    return sum(values) / len(values) if values else None


def _throttled() -> int | None:
    counts = _of_cpus("thermal_throttle/core_throttle_count")
    return sum(counts) if counts else None


@contextlib.contextmanager
def own_realtime(priority: int) -> Iterator[bool]:
    """Run this process's threads at SCHED_FIFO, and yield whether that is allowed. Children do not inherit the
    priority."""
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    policy = os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    try:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(thread, policy, os.sched_param(priority))
    except (PermissionError, OSError):
        yield False
        return
    try:
        yield True
    finally:
        for thread in threads:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def _first_line(path: str) -> str | None:
    try:
        return Path(path).read_text(errors="replace").strip().split("\n")[0]
    except OSError:
        return None


def for_the_kernel(line: str) -> str:
    """Return the part of a kernel command line that is for the kernel.

    The part after a lone -- goes to the init program: it does not affect results and may reveal where the computer is.
    """
    return f" {line} ".partition(" -- ")[0].strip()


def describe() -> dict[str, Any]:
    """Return the properties of this computer that can change a result. Properties that cannot be read are None."""
    cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace")
    models = sorted({line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")})
    microcode = sorted({line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("microcode")})
    vulnerabilities = Path("/sys/devices/system/cpu/vulnerabilities")
    return {
        "kernel_release": platform.release(),
        "kernel_command_line": for_the_kernel(_first_line("/proc/cmdline") or ""),
        "cpus": len(os.sched_getaffinity(0)),
        "cpu_models": models,
        "microcode": microcode,
        "memory_kib": int(Path("/proc/meminfo").read_text().split(":", 1)[1].split()[0]),
        "governor": _first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "no_turbo": _first_line("/sys/devices/system/cpu/intel_pstate/no_turbo"),
        "boost": _first_line("/sys/devices/system/cpu/cpufreq/boost"),
        "smt": _first_line("/sys/devices/system/cpu/smt/control"),
        "hypervisor": "hypervisor" in cpuinfo,
        "mitigations": {path.name: _first_line(str(path)) for path in sorted(vulnerabilities.glob("*"))},
    }
