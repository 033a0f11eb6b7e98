# SPDX-License-Identifier: Apache-2.0
"""Frames for readers: rounded, with units in the heads, and without columns and rows that carry no information."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.run_data import LEVELS
from orchestrator.spec import factors

_UNITS = {
    **{"bps": ("Gbit/s", 1e9), "pps": ("kpps", 1e3), "mib": ("MiB", 1.0)},
    **{unit: (unit, 1.0) for unit in ("s", "ms", "us", "ns")},
}
_SAID_ONCE = ("interval", "reference", "reference_cores", "topology", "measured_in")
_OF_RUN = ("lower", "upper")  # columns without a suffix, in the unit of the run's quantity
_MOST_ROWS = 200


@dataclass(frozen=True)
class Readable:
    """A table for readers. ``frame``: its cells as text; ``notes``: sentences with the information that the cells leave
    out."""

    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        if self.frame.empty:
            return "<p>Nothing to show: no row has a value.</p>"
        table = self.frame.to_html(index=False, border=0, max_rows=_MOST_ROWS)
        return f'<div style="overflow-x:auto">{table}</div><p><small>{" ".join(self.notes)}</small></p>'

    def __repr__(self) -> str:
        if self.frame.empty:
            return "Nothing to show: no row has a value."
        return "\n".join([self.frame.to_string(index=False, max_rows=_MOST_ROWS), *self.notes])


def readable(run: Run, frame: pd.DataFrame) -> Readable:
    """Return a frame of a run for readers: numbers with three significant digits, in the units of the figures.

    Left out, and named in the notes if that is information: columns without any value, counts that are 0 and flags that
    are false in every row, and rows without any number. A value that is the same in every row becomes a note.
    """
    levels = [name for name in frame.columns if name in LEVELS or factors.is_path(str(name))]
    numbers = [name for name in frame.columns if pd.api.types.is_float_dtype(frame[name]) and name not in levels]
    kept = frame[frame[numbers].notna().any(axis=1)] if numbers else frame
    if "n" in kept:
        kept = kept[kept["n"] > 0]
    notes, none = [], []
    if left_out := len(frame) - len(kept):
        notes.append(
            f"{left_out} row{'s' * (left_out != 1)} without a value {'are' if left_out != 1 else 'is'} left out."
        )
    shown: dict[str, pd.Series[str]] = {}
    for name in map(str, kept.columns):
        values = kept[name]
        if values.map(_is_empty).all():
            continue
        if name in _SAID_ONCE and values.nunique(dropna=False) == 1:
            notes.append(f"{_words(name).capitalize()}: {values.iloc[0]}.")
            continue
        if name not in levels and _is_count(values) and not values.any():
            none += [_words(name)] if not name.endswith("_n") else []
            continue
        head, scale = _head(run, name)
        shown[head] = values.map(lambda value, name=name, scale=scale: _text(value, scale, blank=name.endswith("_n")))
    if none:
        notes.append(f"None: {', '.join(none)}.")
    return Readable(pd.DataFrame(shown), tuple(notes))


def number(value: float | None) -> str:
    """Return a number with three significant digits and never as a power of ten; a dash for a missing one."""
    if value is None or math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:.{min(digits, 6)}f}"


def _head(run: Run, name: str) -> tuple[str, float]:
    """Return the head of a column with its unit, and that unit as a multiple of the column's."""
    if factors.is_path(name):
        return name, 1.0
    if name in _OF_RUN:
        from orchestrator.analysis.quality import column_of

        _, unit, scale = column_of(run)
        return f"{name}, {unit}", scale
    stem, _, suffix = name.rpartition("_")
    if stem and suffix == "value":
        return f"{_words(stem)}, {run.quantity.unit}", run.quantity.scale
    if stem and suffix in _UNITS:
        unit, scale = _UNITS[suffix]
        return f"{_words(stem)}, {unit}", scale
    return _words(name), 1.0


def _words(name: str) -> str:
    return " ".join({"cpu": "CPU", "p": "p-value"}.get(word, word) for word in name.split("_"))


def _is_count(values: "pd.Series[Any]") -> bool:
    return pd.api.types.is_integer_dtype(values) or pd.api.types.is_bool_dtype(values)


def _is_empty(value: object) -> bool:
    return value is None or value is pd.NA or value == "" or (isinstance(value, float) and math.isnan(value))


def _text(value: Any, scale: float, *, blank: bool) -> str:
    """Return a cell as text. ``blank``: whether a count of 0 is left empty."""
    if _is_empty(value) or (blank and value == 0):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else ""
    if isinstance(value, float | np.floating):
        return number(float(value) / scale)
    return str(value)
