# SPDX-License-Identifier: Apache-2.0
"""Statistics on a run's virtual time: its dilation against real time, and the corrections that the lab kernel made."""

import math
from dataclasses import dataclass

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.errors import UserError
from orchestrator.store.reading import JOURNAL, read_journal
from orchestrator.store.shape import PREPARED, misfit


@dataclass(frozen=True, slots=True)
class Range:
    """The median, the smallest and the largest value of a column."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class VirtualTimeSummary:
    """The virtual time of the attempts of a run that recorded it.

    ``attempts``: how many there are; ``dilation``: wall seconds per virtual second; ``lent_share``: virtual time lent
    beyond the quantum, as a share of the time in which virtual CPUs were busy, per attempt; ``forced``: how often, in
    all attempts, a virtual CPU lost its slot while it held a lock; ``skew_s``: the largest difference between the
    clocks of two busy virtual CPUs. A value that no attempt recorded is None.
    """

    attempts: int
    dilation: Range | None
    lent_share: Range | None
    forced: int | None
    skew_s: float | None


def summary(run: Run) -> VirtualTimeSummary | None:
    """Return the virtual time that a run's attempts recorded; None for a run in real time."""
    if run.virtual_time is None:
        return None
    rows = run.attempts[run.attempts["dilation"].notna()]
    forced, skew_s = rows["forced"].dropna(), rows["skew_s"].dropna()
    return VirtualTimeSummary(
        attempts=len(rows),
        dilation=_range(rows["dilation"]),
        lent_share=_range(rows["lent_share"]),
        forced=int(forced.sum()) if len(forced) else None,
        skew_s=float(skew_s.max()) if len(skew_s) else None,
    )


def controls(run: Run) -> pd.DataFrame:
    """Return the controls of a run in virtual time: one row for each start of a block's machine, in order.

    Compute-only loops, one per virtual CPU (of gateway-a, if roles have their own), must together do as many times the
    work of one as there are loops (`orchestrator.measure.control`). Columns: block, testbed, cpus (how many loops),
    times_one (how many times the work of one they did), off (the share by which that exceeds cpus; negative if it is
    less), core_alone (how many times the work of one was done by a loop that had the computer to itself; NaN in runs
    that did not record it), measured_in. Empty if the run's journal has none.
    """
    rows = []
    for event in read_journal(run.path):
        if event.get("event") == "prepared":
            if wrong := misfit(event, PREPARED):
                file = run.path / JOURNAL
                raise UserError(f"{file}: of an event `prepared`, {wrong}. Restore it from a copy of the run.")
            for host in (event.get("hosts") or {}).values():
                if found := host.get("control"):
                    cpus, times_one = int(found["cpus"]), float(found["times_one"])
                    alone = float(math.nan if found.get("core_alone") is None else found["core_alone"])
                    rows.append(
                        [event.get("block"), event.get("testbed"), cpus, times_one, times_one / cpus - 1, alone]
                    )
    columns = ["block", "testbed", "cpus", "times_one", "off", "core_alone"]
    return pd.DataFrame(rows, columns=columns).assign(measured_in=run.measured_in)


def _range(values: "pd.Series[float]") -> Range | None:
    known = values.dropna()
    return Range(float(known.median()), float(known.min()), float(known.max())) if len(known) else None
