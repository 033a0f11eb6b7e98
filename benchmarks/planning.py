# SPDX-License-Identifier: Apache-2.0
"""How long planning takes, and how much memory: `orch plan SPEC --json` for 1e3 to 1e5 trials.

Each size is a process of its own: its time is from start to end, its processor time what it used of that (the rest is
other load on the computer), its memory the peak of the whole process. Goals for 100,000 trials: under 2 s and under
300 MB. Growth is the ratio to the size before.

    python benchmarks/planning.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SIZES = (1_000, 10_000, 100_000)
CELLS = 2 * 10  # variants, tunnels; on one core, so that every computer plans all of them
GOAL_S, GOAL_MB = 2.0, 300.0

_SPEC = """
experiment: planning
factors: {{variant: [vanilla, threaded], cores: [1], tunnels: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}
traffic: {{duration: 3s}}
repetitions: {repetitions}
"""


def measure(command: list[str]) -> tuple[float, float, float]:
    """Seconds from start to end, processor seconds, and peak memory in MB, of a command that must succeed."""
    began = time.perf_counter()
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}.")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    print(f"{'trials':>8} {'time s':>8} {'processor s':>12} {'memory MB':>10} {'time grows':>13} {'memory':>10}")
    before: tuple[float, float] | None = None
    met = False
    with tempfile.TemporaryDirectory() as folder:
        for trials in SIZES:
            spec = Path(folder) / f"{trials}.yaml"
            spec.write_text(_SPEC.format(repetitions=trials // CELLS))
            code = "from orchestrator.cli.app import main; main()"
            seconds, busy, megabytes = measure([sys.executable, "-c", code, "plan", str(spec), "--json"])
            growth = (busy / before[0], megabytes / before[1]) if before else (1.0, 1.0)
            row = f"{trials:8} {seconds:8.2f} {busy:12.2f} {megabytes:10.0f} {growth[0]:13.2f} {growth[1]:10.2f}"
            print(row, flush=True)
            before = busy, megabytes
            met = seconds < GOAL_S and megabytes < GOAL_MB
    print(f"Goal for {SIZES[-1]:,} trials, {GOAL_S:g} s and {GOAL_MB:g} MB: {'met' if met else 'not met'}.")


if __name__ == "__main__":
    main()
