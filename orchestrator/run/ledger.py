# SPDX-License-Identifier: Apache-2.0
"""What a run has so far: which trials are ok, what they carried, and how those stand that are not. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import takewhile
from typing import Any

from orchestrator.plan import Block, Levels, Repetitions
from orchestrator.stats import is_narrow, relative_width
from orchestrator.store import headline


class Ledger:
    """The attempts of a run by trial."""

    def __init__(self, attempts: Iterable[Mapping[str, Any]] = ()) -> None:
        self._status: dict[str, str] = {}
        self._carried: dict[str, float] = {}
        for attempt in sorted(attempts, key=lambda attempt: int(attempt["attempt"])):
            self.add(attempt)

    def add(self, attempt: Mapping[str, Any]) -> None:
        """Count a finished attempt. Once a trial is ok it stays ok."""
        trial_id = attempt["trial_id"]
        if self.is_ok(trial_id):
            return
        self._status[trial_id] = attempt["status"]
        found = headline(attempt["measurements"]) if attempt["status"] == "ok" else None
        if found is not None:
            self._carried[trial_id] = found.value

    def is_ok(self, trial_id: str) -> bool:
        """Whether a trial has an ok attempt."""
        return self._status.get(trial_id) == "ok"

    def status(self, trial_id: str) -> str:
        """ok, failed, invalid or missing."""
        return self._status.get(trial_id, "missing")

    def __contains__(self, trial_id: object) -> bool:
        return trial_id in self._status

    def baseline(self, block: Block, packet_size: int | str | None) -> float | None:
        """What a block carried without a tunnel, in packets of that size, where that was measured."""
        first = takewhile(lambda trial: trial.kind == "baseline", block.trials)  # a block begins with them
        mine = (trial.trial_id for trial in first if trial.levels.packet_size == packet_size)
        return next((self._carried[trial_id] for trial_id in mine if trial_id in self._carried), None)

    def values(self, block: Block, last_round: int) -> dict[Levels, list[float]]:
        """What each cell's ok trials carried up to a round, in the order of the rounds; all in the same unit."""
        values: dict[Levels, list[float]] = {}
        for trial in block.trials:
            if trial.kind == "measure" and trial.round <= last_round:
                mine = values.setdefault(trial.levels, [])
                if trial.trial_id in self._carried:
                    mine.append(self._carried[trial.trial_id])
        return values


def enough(ledger: Ledger, block: Block, rounds: int, rule: Repetitions) -> bool:
    """Whether a block may end after so many rounds. Whole rounds, so that drift hits all its cells alike; a cell that
    gave no value at all holds up nothing."""
    if rule.width is None or rounds < rule.min or rounds >= rule.max:
        return rounds >= rule.max
    return all(not mine or is_narrow(mine, rule.width) for mine in ledger.values(block, rounds).values())


def stopping_of(
    block: Block, values: Mapping[Levels, Sequence[float]], rounds: int, rule: Repetitions
) -> list[dict[str, Any]]:
    """Why each cell of a block has so many rounds: the block's part of stopping.json.

    ``reason``: fixed, narrow, most (``max`` rounds and not narrow) or no-value.
    """
    rows = []
    for levels, mine in values.items():
        width = relative_width(mine)
        if not mine:
            reason = "no-value"
        elif rule.width is None:
            reason = "fixed"
        else:
            reason = "narrow" if is_narrow(mine, rule.width) else "most"
        row: dict[str, Any] = {"block": block.index, **levels.to_json()}
        row |= {"rounds": rounds, "ok": len(mine), "reason": reason}
        rows.append({**row, "width": None if width is None else round(width, 4), "goal": rule.width})
    return rows
