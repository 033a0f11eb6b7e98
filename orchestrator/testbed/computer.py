# SPDX-License-Identifier: Apache-2.0
"""This computer as the home of a lab: what it is, how busy it is, and this process's own priority."""

import contextlib
import glob
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_of_computer() -> str:
    """What tells this computer from all others, and this boot from earlier ones: a random number of its kernel. Raises
    OSError where there is none."""
    return BOOT_ID.read_text().strip()


@dataclass(frozen=True, slots=True)
class Computer:
    """Processor time of the whole computer so far, in seconds over all CPUs (proc_stat(5)), and of this process.

    ``throttled``: how often CPUs were slowed down because of heat; ``frequency_khz``: the mean of all CPUs now. None
    where the computer does not say.
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
        """What happened between two readings; ``lab_s`` is what the lab used of it."""
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
    """Wait until other programs and a hypervisor use less than ``share`` of a core; False after ``most_s`` seconds.

    For moments at which the lab itself does nothing.
    """
    deadline = time.monotonic() + most_s
    while True:
        before = Computer.now()
        time.sleep(step_s)
        found = Computer.now().since(before, 0.0)
        if ((found["other_s"] or 0.0) + (found["steal_s"] or 0.0)) / step_s < share:
            return True
        if time.monotonic() > deadline:
            return False


def _of_cpus(name: str) -> list[int]:
    """The numbers in a file that CPUs have, of those that are on line now: another's is gone, or cannot be read."""
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


def for_the_kernel(line: str) -> str:
    """What a kernel command line says to the kernel: what follows a lone -- goes to the first program, whose arguments
    change no result and may name where a computer stands."""
    return f" {line} ".partition(" -- ")[0].strip()


def describe() -> dict[str, Any]:
    """What this computer is, as far as it can change a result; unreadable things are null."""
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
