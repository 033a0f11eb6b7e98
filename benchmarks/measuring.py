# SPDX-License-Identifier: Apache-2.0
"""Measure the cost of a process from start to end, and make runs for the benchmarks that read results."""

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
    """The cost of a process: elapsed seconds, processor seconds, and peak memory in MB."""

    seconds: float
    busy_s: float
    megabytes: float


def measure(command: list[str]) -> Cost:
    """Return the cost of a command, which must succeed; its standard output is discarded."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6)


def measured_run(spec: str, testbed: str, results: Path, *further: str) -> Run:
    """Run a spec on a testbed without a report, and return the run. ``further``: arguments of `orch run`.

    Its output is shown if not all trials are ok.
    """
    orch = str(Path(sys.executable).with_name("orch"))
    command = [orch, "run", spec, "--testbed", testbed, "--no-report", "--results", str(results), *further]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], file=sys.stderr)
    return load(results)
