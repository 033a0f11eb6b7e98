# SPDX-License-Identifier: Apache-2.0
"""Sentences for captions: the origin of a figure's numbers, how many there are, and what is left out."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.spec.factors import Level, factor_of
from orchestrator.stats import FEWEST_FOR_INTERVAL
from orchestrator.store.clock import links_note


def context_notes(run: Run) -> list[str]:
    """Return sentences on the origin of the numbers: virtual time, topology, testbed, priority, and what the setting
    cannot show."""
    testbed = run.testbed
    label = testbed.get("label") or "placement not recorded"
    where = f"{run.topology} on {testbed.get('name', 'an unnamed testbed')} ({label}); {realtime_note(run.trials)}."
    notes = [run.note] if run.note else []
    notes += run.virtual_time.notes if run.virtual_time else []
    notes += ["Emulated: no real hardware behind these numbers."] if testbed.get("emulated") else []
    notes.append(where[0].upper() + where[1:])
    if testbed.get("provider") == "uml":
        notes.append(links_note(testbed))
    return notes


def level_in_words(path: str, level: Level) -> str:
    """Return a level of a further factor as text; bit rates, which may be computed, have three digits."""
    factor = factor_of(path)
    return factor.show(float(f"{level:.3g}") if factor.unit == "bit/s" and not isinstance(level, str) else level)


def realtime_note(trials: pd.DataFrame) -> str:
    """Return a sentence on whether the lab had real-time priority while trials ran."""
    known = trials["realtime"].dropna().astype(bool)
    if known.empty:
        return "real-time priority not recorded"
    on = int(known.sum())
    if 0 < on < len(known):
        return f"real-time priority on in {on} of {len(known)} trials"
    return f"real-time priority {'on' if on else 'off'}"


def sample_note(cells: pd.DataFrame, *, explained: bool = True) -> str:
    """Return what marks and whiskers mean, for rows of cells with ``n`` and ``interval``; in short, the number of
    trials."""
    shown = cells[cells["n"] > 0]
    found = sorted({int(n) for n in shown["n"]})
    if not found:
        return "No cell has a valid trial."
    if found == [1]:
        return "One trial per cell (n = 1): no spread is known."
    n = sizes_in_words(found)
    span = whiskers(shown.loc[shown["n"] > 1, "interval"])
    if not explained:
        return f"Medians of {n} trials; whiskers: {span}."
    return f"Marks: every trial. Dashes: medians, {n} trials per cell. Whiskers: {span}."


def sizes_in_words(sizes: Iterable[int]) -> str:
    """Return sample sizes as text: n = 6, or n = 2 to 6."""
    found = sorted(set(sizes))
    return f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"


def whiskers(names: Iterable[str]) -> str:
    """Return the meaning of a figure's whiskers, given the names of its intervals (`stats.Interval.name`)."""
    found = sorted({name for name in names if name}, key=lambda name: (name.startswith("range"), name))
    if not found:
        return "none"
    some = found[-1].startswith("range") and not found[0].startswith("range")
    few = f", where fewer than {FEWEST_FOR_INTERVAL} give no interval" if some else ""
    return f"{' or '.join(found)}{few}"


def pool_note(trials: pd.DataFrame) -> str:
    """Return a sentence for trials of several testbeds; empty for one."""
    return "Several testbeds: each line joins results of one testbed only." if trials["testbed"].nunique() > 1 else ""


def loss_note(trials: pd.DataFrame, invalid: pd.DataFrame, *, drawn: bool = True) -> str:
    """Return a sentence on the planned trials that are not in the medians; empty if all are.

    ``drawn``: whether the figure shows the invalid attempts.
    """
    statuses = trials["status"].value_counts()
    parts = []
    if len(invalid):
        how = "hollow, not in the medians" if drawn else "not counted"
        parts.append(f"{count(len(invalid), 'invalid attempt')} ({how})")
    for status in ("invalid", "failed", "missing"):
        if number := int(statuses.get(status, 0)):
            ended = {"invalid": "stayed invalid", "failed": "failed", "missing": "not measured"}[status]
            parts.append(f"{number} of {len(trials)} trials {ended}")
    return f"{'; '.join(parts)}." if parts else ""


def unpaired_note(ratios: pd.DataFrame) -> str:
    """Return a sentence on valid trials without a counterpart in their round; empty if there are none."""
    number = int(ratios["unpaired"].sum())
    return f"{count(number, 'valid trial')} without a counterpart in its round: in no pair." if number else ""


def bound_note(cells: pd.DataFrame) -> str:
    """Return a sentence on cells close to their baseline; empty if there are none."""
    if not bool(cells["generator_bound"].any()):
        return ""
    return "†: close to the baseline, so the generator may be the limit."


def modes_note(cells: pd.DataFrame, marks: str = "Two dashes and a gap in the line") -> str:
    """Return a sentence on cells with several modes, which have a mark for each mode; empty if there are none."""
    if not bool((cells["modes"] != "").any()):
        return ""
    surely = "" if bool((cells["modes"] == "certain").any()) else "probably "
    return f"{marks}: {surely}two modes, a median for each."


def count(number: int, noun: str) -> str:
    """Return a number with its noun: 1 core, 2 cores."""
    return f"{number} {noun}{'s' * (number != 1)}"


def spread_text(row: Mapping[str, Any], scale: float = 1.0) -> str:
    """Return the spread of a row with ``low``, ``high`` (in units of ``scale``), ``interval`` and ``n``, in words."""
    if row["n"] == 1:
        return "one trial: no spread is known"
    return f"{row['interval']} {row['low'] / scale:.3g} to {row['high'] / scale:.3g}, n = {row['n']}"
