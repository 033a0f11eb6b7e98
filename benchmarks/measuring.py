# SPDX-License-Identifier: Apache-2.0
"""The cost of a process from start to end, and a run of `orch` for the benchmarks that read its results."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from orchestrator import load
from orchestrator.analysis.dataset import Run

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


def measured_run(spec: str, testbed: str, results: Path, *further: str) -> Run:
    """The run of a spec on a testbed, without its report. ``further``: arguments of `orch run`. What it printed is
    shown where not all of its trials were ok."""
    orch = str(Path(sys.executable).with_name("orch"))
    command = [orch, "run", spec, "--testbed", testbed, "--no-report", "--results", str(results), *further]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return load(results)
