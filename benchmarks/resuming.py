# SPDX-License-Identifier: Apache-2.0
"""Time to resume a run, to load it, and to archive it, by its number of trials.

A run of synthetic attempts is written first, in the form of real ones. Then, each in a separate process: opening the
run to resume it (reading run.json and every attempt, to find the first missing trial), making the tables, and loading
them as notebooks do. Then an archive is written, as by `orch export`, and loaded. Goals for 10,000 trials: 2 s each,
and 30 s each for writing and loading an archive. Growth is the ratio to the previous size.

    python benchmarks/resuming.py
"""

import json
import sys
import tempfile
from pathlib import Path

from measuring import CHECKOUT, measure

SIZES = (100, 1_000, 10_000)
GOAL_S = 2.0
ARCHIVE_GOAL_S = 30.0
CELLS = 3 * 4  # variants, tunnels; on two cores

_STEPS = {
    "resume": """
from orchestrator.plan import Plan
from orchestrator.run.ledger import Ledger
from orchestrator.store import RunDirectory
folder, attempts = RunDirectory.reopen(path)
plan, ledger = Plan.from_json(folder.description["plan"]), Ledger(attempts)
missing = next((t for t in plan.iterate() if not ledger.is_ok(t.trial_id)), None)
folder.close()
""",
    "tables": "from orchestrator.store import write_tables; write_tables(path)",
    "load": "from orchestrator.analysis.dataset import load; run = load(path); assert len(run.trials) > 90",
    "export": "from orchestrator.publish import export_run; export_run(path, path.parent / 'a.zip')",
    "archive": "from orchestrator.analysis.dataset import load; assert len(load(path.parent / 'a.zip').trials) > 90",
}
_PRELUDE = "import sys, time; from pathlib import Path; path = Path(sys.argv[1])\n"


def write_run(folder: Path, trials: int) -> Path:
    """Write a finished run with about ``trials`` trials, and return its folder."""
    from tests.unit.synthetic_run import write_run as write

    rounds = trials // CELLS
    return write(folder, variants=("vanilla", "threaded", "inline"), cores=(2,), tunnels=(1, 2, 4, 8), rounds=rounds)


def main() -> None:
    sys.path.insert(0, str(CHECKOUT))
    print(f"{'trials':>8} {'step':>8} {'time s':>8} {'memory MB':>10} {'time grows':>12} {'memory':>8}")
    before: dict[str, tuple[float, float]] = {}
    met = True
    for size in SIZES:
        met = True
        with tempfile.TemporaryDirectory() as folder:
            run = write_run(Path(folder), size)
            trials = sum(len(block["trials"]) for block in json.loads((run / "run.json").read_text())["plan"]["blocks"])
            for step in _STEPS:
                command = [sys.executable, "-c", _PRELUDE + _STEPS[step], str(run)]
                seconds, _, megabytes = min(measure(command) for _ in range(3))
                old_s, old_mb = before.get(step, (seconds, megabytes))
                before[step] = seconds, megabytes
                row = f"{trials:8} {step:>8} {seconds:8.2f} {megabytes:10.0f}"
                print(f"{row} {seconds / old_s:12.2f} {megabytes / old_mb:8.2f}", flush=True)
                met = met and seconds < (ARCHIVE_GOAL_S if step in ("export", "archive") else GOAL_S)
    print(f"Goals for {SIZES[-1]:,} trials: {'met' if met else 'not met'} (best of 3).")


if __name__ == "__main__":
    main()
