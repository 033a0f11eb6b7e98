# SPDX-License-Identifier: Apache-2.0
"""Several runs in one frame: the rows of one run below those of another, with a column that names the run."""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path

import pandas as pd

from orchestrator.analysis.dataset import Run, load
from orchestrator.errors import UserError
from orchestrator.store.reading import is_run, runs_below


@dataclass(frozen=True)
class Runs:
    """Several runs.

    Each frame has the columns ``run`` (the run's id) and ``experiment``, then those of the same frame of one `Run`.
    Columns that a run does not have are missing in its rows.
    """

    runs: tuple[Run, ...]

    @property
    def trials(self) -> pd.DataFrame:
        """Return `Run.trials` of all runs."""
        return self.combined(lambda run: run.trials)

    @property
    def attempts(self) -> pd.DataFrame:
        """Return `Run.attempts` of all runs."""
        return self.combined(lambda run: run.attempts)

    @property
    def measured(self) -> pd.DataFrame:
        """Return `Run.measured` of all runs."""
        return self.combined(lambda run: run.measured)

    def cells(self) -> pd.DataFrame:
        """Return `Run.cells` of all runs."""
        return self.combined(lambda run: run.cells())

    def ratios(self) -> pd.DataFrame:
        """Return `Run.ratios` of all runs, each against its own reference variant."""
        return self.combined(lambda run: run.ratios())

    def limits(self) -> pd.DataFrame:
        """Return `Run.limits` of all runs."""
        return self.combined(lambda run: run.limits())

    def combined(self, frame_of: Callable[[Run], pd.DataFrame]) -> pd.DataFrame:
        """Return any frame of all runs, for instance ``runs.combined(lambda run: run.softirqs)``."""
        parts = []
        for run in self.runs:
            frame = frame_of(run).reset_index(drop=True)
            frame.insert(0, "run", run.run_id)
            frame.insert(1, "experiment", str(run.meta.get("experiment")))
            parts.append(frame)
        full = [part for part in parts if not part.empty]
        return pd.concat(full, ignore_index=True) if full else parts[0]

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        return f"<{len(self)} runs: {', '.join(run.run_id for run in self.runs)}>"

    def _repr_html_(self) -> str:
        lines = "".join(f"<li><b>{escape(run.run_id)}</b>: {escape(run.title)}</li>" for run in self.runs)
        return f"<p>{len(self)} runs</p><ul>{lines}</ul>"


def load_all(*paths: Path | str) -> Runs:
    """Return the runs in ``paths``, the earliest first. A run that is named twice is loaded once.

    Each path is a run's folder, an archive of a run, or a folder of runs (`results/scaling`), of which all are loaded.
    Raises UserError if a path holds no run, or if no path is given.
    """
    if not paths:
        raise UserError("load_all needs a run: its folder, an archive, or a folder of runs.")
    found = [load(one) for one in dict.fromkeys(one for path in paths for one in _runs_of(path))]
    return Runs(tuple(sorted(found, key=lambda run: (str(run.meta.get("started_at") or ""), run.run_id))))


def _runs_of(path: Path | str) -> Iterable[Path]:
    place = Path(os.path.expanduser(path))
    below = runs_below(place) if place.is_dir() and not is_run(place) else []
    return [one.resolve() for one in below] or [place.resolve()]
