# SPDX-License-Identifier: Apache-2.0
"""This computer as the home of a lab: what it is, how busy it is, and this process's own priority."""

import contextlib
import os
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Computer:
    """Processor time of the whole computer so far, in seconds over all CPUs (proc_stat(5)), and of this process."""

    busy_s: float
    idle_s: float
    steal_s: float
    own_s: float

    @classmethod
    def now(cls) -> "Computer":
        fields = [int(value) / _TICKS for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        user, nice, system, idle, iowait, irq, softirq, steal = fields
        times = os.times()
        return cls(user + nice + system + irq + softirq, idle + iowait, steal, times.user + times.system)

    def since(self, before: "Computer", lab_s: float) -> dict[str, float]:
        """What happened between two readings; ``lab_s`` is what the lab used of it."""
        busy, own = self.busy_s - before.busy_s, self.own_s - before.own_s
        return {
            "busy_s": round(busy, 3),
            "idle_s": round(self.idle_s - before.idle_s, 3),
            "steal_s": round(self.steal_s - before.steal_s, 3),
            "lab_s": round(lab_s, 3),
            "controller_s": round(own, 3),
            "other_s": round(max(0.0, busy - lab_s - own), 3),
        }


@contextlib.contextmanager
def own_realtime(priority: int) -> Iterator[bool]:
    """Run this process's threads at SCHED_FIFO; yields whether that is allowed. Children do not inherit it."""
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


def describe() -> dict[str, Any]:
    """What this computer is, as far as it can change a result; unreadable things are null."""
    cpuinfo = Path("/proc/cpuinfo").read_text(errors="replace")
    models = sorted({line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("model name")})
    microcode = sorted({line.split(":", 1)[1].strip() for line in cpuinfo.splitlines() if line.startswith("microcode")})
    vulnerabilities = Path("/sys/devices/system/cpu/vulnerabilities")
    return {
        "kernel_release": platform.release(),
        "kernel_command_line": _first_line("/proc/cmdline"),
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
