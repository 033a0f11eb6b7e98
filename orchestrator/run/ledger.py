# SPDX-License-Identifier: Apache-2.0
"""The ledger of a run: the status of each trial, and what the trials that are ok carried. Pure."""

from collections.abc import Iterable, Mapping
from itertools import takewhile
from typing import Any

from orchestrator.plan import Block, nearest_baseline
from orchestrator.spec import Cell
from orchestrator.store import headline


class Ledger:
    """The status and result of each trial, from a run's attempts."""

    def __init__(self, attempts: Iterable[Mapping[str, Any]] = ()) -> None:
        self._status: dict[str, str] = {}
        self._carried: dict[str, float] = {}
        self._testbed: dict[str, str] = {}
        for attempt in sorted(attempts, key=lambda attempt: int(attempt["attempt"])):
            self.add(attempt)

    def add(self, attempt: Mapping[str, Any]) -> None:
        """Count a finished attempt. Once a trial is ok it stays ok."""
        trial_id = attempt["trial_id"]
        if self.is_ok(trial_id):
            return
        self._status[trial_id] = attempt["status"]
        self._testbed[trial_id] = attempt["testbed"]
        found = headline(attempt["measurements"]) if attempt["status"] == "ok" else None
        if found is not None:
            self._carried[trial_id] = found.value

    def is_ok(self, trial_id: str) -> bool:
        """Return whether a trial has an ok attempt."""
        return self._status.get(trial_id) == "ok"

    def status(self, trial_id: str) -> str:
        """Return a trial's status: ok, failed, invalid or missing."""
        return self._status.get(trial_id, "missing")

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._status

    def testbed_of(self, block: Block) -> str | None:
        """Return the testbed that measured the last ok trial of a block; None if no trial is ok."""
        mine = [trial.trial_id for trial in block.trials if self.is_ok(trial.trial_id)]
        return self._testbed[mine[-1]] if mine else None

    def baseline(self, block: Block, levels: Cell) -> float | None:
        """Return what a block carried without a tunnel, as the baseline that applies to a cell; None if there is none.

        See `orchestrator.plan.nearest_baseline`.
        """
        first = takewhile(lambda trial: trial.kind == "baseline", block.trials)  # a block begins with them
        carried = {trial.levels: self._carried[trial.trial_id] for trial in first if trial.trial_id in self._carried}
        found = nearest_baseline(levels, carried)
        return None if found is None else carried[found]

    def values(self, block: Block, last_round: int | None = None) -> dict[Cell, dict[int, float]]:
        """Return {cell: {round: value}}: what each cell's ok trials carried, up to ``last_round`` or in all rounds. All
        values have the same unit."""
        values: dict[Cell, dict[int, float]] = {}
        for trial in block.trials:
            if trial.kind == "measure" and (last_round is None or trial.round <= last_round):
                mine = values.setdefault(trial.levels, {})
                if trial.trial_id in self._carried:
                    mine[trial.round] = self._carried[trial.trial_id]
        return values
