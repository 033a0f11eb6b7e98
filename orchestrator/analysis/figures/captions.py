# SPDX-License-Identifier: Apache-2.0
"""The sentences about a figure: where its numbers come from, how many they are, what is not among them."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.stats import FEWEST_FOR_INTERVAL
from orchestrator.store.clock import links_note


def context_notes(run: Run) -> list[str]:
    """Where the numbers come from: virtual time, topology, testbed, priority, what the setting cannot show."""
    testbed = run.testbed
    label = testbed.get("label") or "placement not recorded"
    where = f"{run.topology} on {testbed.get('name', 'an unnamed testbed')} ({label}); {realtime_note(run.trials)}."
    notes = list(run.virtual_time.notes) if run.virtual_time else []
    notes += ["Emulated: no real hardware behind these numbers."] if testbed.get("emulated") else []
    notes.append(where[0].upper() + where[1:])
    if testbed.get("provider") == "uml":
        notes.append(links_note(testbed))
    return notes


def realtime_note(trials: pd.DataFrame) -> str:
    """Whether the lab had real-time priority while trials ran."""
    known = trials["realtime"].dropna().astype(bool)
    if known.empty:
        return "real-time priority not recorded"
    on = int(known.sum())
    if 0 < on < len(known):
        return f"real-time priority on in {on} of {len(known)} trials"
    return f"real-time priority {'on' if on else 'off'}"


def sample_note(sizes: Iterable[int], *, explained: bool = True) -> str:
    """What marks and whiskers are, for cells with these numbers of trials; in short, how many trials there are."""
    found = sorted(set(sizes))
    if not found:
        return "No cell has a valid trial."
    n = f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"
    if found == [1]:
        return "One trial a cell (n = 1): no spread is known."
    below, above = found[0] < FEWEST_FOR_INTERVAL, found[-1] >= FEWEST_FOR_INTERVAL
    if not explained:
        short = (
            "range"
            if not above
            else f"95 % interval, range below n = {FEWEST_FOR_INTERVAL}"
            if below
            else "95 % interval"
        )
        return f"Medians of {n} trials; whiskers: {short}."
    span = f"the range (too few trials for a 95 % interval, which takes {FEWEST_FOR_INTERVAL})"
    if above:
        span = "the order-statistic interval of the median, 95 % or more"
        span += f", and the range where n is below {FEWEST_FOR_INTERVAL}" if below else ""
    return f"Marks: every trial. Dashes: medians, {n} trials a cell. Whiskers: {span}."


def loss_note(trials: pd.DataFrame, invalid: pd.DataFrame, *, drawn: bool = True) -> str:
    """What is not in the medians, of these planned trials; empty if nothing is missing.

    ``drawn``: whether the figure shows the invalid attempts.
    """
    statuses = trials["status"].value_counts()
    parts = []
    if len(invalid):
        how = "hollow grey, not in the medians" if drawn else "not counted"
        parts.append(f"{count(len(invalid), 'invalid attempt')} ({how})")
    for status in ("invalid", "failed", "missing"):
        if number := int(statuses.get(status, 0)):
            ended = {"invalid": "stayed invalid", "failed": "failed", "missing": "not measured"}[status]
            parts.append(f"{number} of {len(trials)} trials {ended}")
    return f"{'; '.join(parts)}." if parts else ""


def unpaired_note(ratios: pd.DataFrame) -> str:
    """The sentence for valid trials that have no counterpart in their round; empty if there is none."""
    number = int(ratios["unpaired"].sum())
    return f"{count(number, 'valid trial')} without a counterpart in its round: in no pair." if number else ""


def bound_note(cells: pd.DataFrame) -> str:
    """The sentence for cells close to their baseline; empty if there is none."""
    if not bool(cells["generator_bound"].any()):
        return ""
    return "†: close to the baseline, so the generator may be the limit."


def modes_note(cells: pd.DataFrame) -> str:
    """The sentence for cells in several modes, which have a dash for each mode; empty if there is none."""
    if not bool((cells["modes"] != "").any()):
        return ""
    surely = "" if bool((cells["modes"] == "certain").any()) else "probably "
    return f"Two dashes and a gap in the line: {surely}two modes, a median for each."


def count(number: int, noun: str) -> str:
    """1 core, 2 cores."""
    return f"{number} {noun}{'s' * (number != 1)}"


def spread_text(row: Mapping[str, Any], scale: float = 1.0) -> str:
    """The spread of a row with ``low``, ``high`` (in units of ``scale``), ``interval`` and ``n``, in words."""
    if row["n"] == 1:
        return "one trial: no spread is known"
    return f"{row['interval']} {row['low'] / scale:.3g} to {row['high'] / scale:.3g}, n = {row['n']}"
