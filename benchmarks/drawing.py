# SPDX-License-Identifier: Apache-2.0
"""Time to load and draw a run of 10,000 trials: every figure, as PDF, PNG and SVG, and the report's page.

The run is a synthetic one from the tests, with an attempt's file for each trial; writing it and deriving its tables are
not counted. The work is done in a separate process, whose elapsed and processor time are measured (the difference is
other load on the computer). Goal: under 20 s on two cores.

    python benchmarks/drawing.py
"""

import sys
import tempfile
from pathlib import Path

from measuring import CHECKOUT, measure

GOAL_S = 20.0
CORES, TUNNELS, VARIANTS, ROUNDS = (1, 2, 4, 8), (1, 2, 4, 0), ("vanilla", "threaded", "inline"), 260

_WORK = """
import sys, time
from orchestrator.analysis import figures
from orchestrator.analysis.dataset import load
from orchestrator.analysis.page import render
from pathlib import Path

began = time.perf_counter()

def lap(what):
    global began
    print(f"{what:32} {time.perf_counter() - began:6.2f} s", file=sys.stderr, flush=True)
    began = time.perf_counter()

run = load(sys.argv[1])
lap(f"load {len(run.trials)} trials")
for name in figures.__all__:
    if name != "Drawing":
        drawing = getattr(figures, name)(run)
        drawing.save(sys.argv[2])
        lap(name)
page = render(run, Path(sys.argv[2]), run.verify())
lap(f"page of {len(page) / 1e6:.1f} MB")
"""


def main() -> None:
    sys.path.insert(0, str(CHECKOUT))
    from orchestrator.store import write_tables
    from tests.unit.synthetic_run import write_run

    with tempfile.TemporaryDirectory() as folder:
        run = write_run(Path(folder), variants=VARIANTS, cores=CORES, tunnels=TUNNELS, rounds=ROUNDS)
        write_tables(run)
        cost = measure([sys.executable, "-c", _WORK, str(run), folder])
    print(f"{cost.seconds:.1f} s, {cost.busy_s:.1f} s of processor time, {cost.megabytes:.0f} MB")
    print(f"Goal, {GOAL_S:g} s: {'met' if cost.seconds < GOAL_S else 'not met'}.")


if __name__ == "__main__":
    main()
