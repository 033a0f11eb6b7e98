# SPDX-License-Identifier: Apache-2.0
"""What a process costs, from its start to its end."""

import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent


class Cost(NamedTuple):
    """Seconds from start to end, processor seconds, and peak memory in MB."""

    seconds: float
    busy_s: float
    megabytes: float


def measure(command: list[str]) -> Cost:
    """The cost of a command that must succeed; what it prints is thrown away."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)
