# SPDX-License-Identifier: Apache-2.0
"""Time and memory of planning: `orch plan SPEC --json` for 1e3 to 1e5 trials of five factors.

Each size is planned in a separate process, whose elapsed time, processor time (the difference is other load on the
computer) and peak memory are measured. Goals for 100,000 trials: under 2 s and under 300 MB. Growth is the ratio to the
previous size.

    python benchmarks/planning.py
"""

import sys
import tempfile
from pathlib import Path

from measuring import measure

SIZES = (1_000, 10_000, 100_000)
CELLS = 2 * 5 * 5 * 2  # variants, tunnels, streams, MTU; on one core, so that every computer plans all of them
GOAL_S, GOAL_MB = 2.0, 300.0

_SPEC = """
experiment: planning
factors:
  variant: [vanilla, threaded]
  cores: [1]
  tunnels: [1, 2, 4, 8, 16]
  traffic.streams: [1, 2, 4, 8, 16]
  tunnel.mtu: [1280 B, 1420 B]
traffic: {{duration: 3s}}
repetitions: {repetitions}
"""


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
