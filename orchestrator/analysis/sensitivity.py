# SPDX-License-Identifier: Apache-2.0
"""Sensitivity of conclusions to invalid attempts: everything is computed again with these included.

In that version, each trial counts with its first attempt that gave a value, whatever limit it exceeded. A trial keeps
its place in its round, so that pairs stay pairs.
"""

from dataclasses import dataclass, replace

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.quality import column_of


@dataclass(frozen=True, slots=True)
class Included:
    """A run with its invalid attempts included.

    ``n``: how many measured trials have another value there, or have a value only there.
    """

    run: Run
    n: int

    @property
    def words(self) -> str:
        """Return how many attempts are included: the 3 invalid attempts."""
        return f"the {self.n} invalid attempts" if self.n != 1 else "the one invalid attempt"


def with_invalid(run: Run) -> Included | None:
    """Return a run with its invalid attempts included; None if no invalid attempt has a value."""
    column = column_of(run)[0]
    tried = run.attempts[run.attempts["status"].isin(["ok", "invalid"]) & run.attempts[column].notna()]
    first = tried.sort_values(["trial_id", "attempt"]).drop_duplicates("trial_id").set_index("trial_id")
    other = first[first["status"] == "invalid"]
    if other.empty:
        return None
    trials = run.trials.set_index("trial_id", drop=False)
    mine = trials.index.intersection(other.index)
    shared = [name for name in other.columns if name in trials.columns and name != "trial_id"]
    trials.loc[mine, shared] = other.loc[mine, shared]
    trials.loc[mine, "status"] = "ok"
    measured = int((trials.loc[mine, "kind"] == "measure").sum())
    return Included(replace(run, trials=trials.reset_index(drop=True)), measured) if measured else None


def sentence(included: Included, before: str, after: str) -> str:
    """Return a sentence on how a conclusion changes from ``before`` to ``after``, or a short one that it does not."""
    if before == after:
        return f"The same with {included.words} included."
    return f"With {included.words} included the conclusion changes: {after}."
