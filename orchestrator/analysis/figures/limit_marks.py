# SPDX-License-Identifier: Apache-2.0
"""The limit of each cell as letters above the axes of a figure: one row per variant, in its colour."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import numbers
from orchestrator.analysis.figures.style import look
from orchestrator.analysis.limits import LETTERS, Limit, limit_of
from orchestrator.spec import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE_PT, _ROW_PT, _CLEAR_PT = 5.4, 6.4, 2.0


def limits_of(run: Run, cells: pd.DataFrame) -> dict[Cell, Limit]:
    """Return the limits of those cells that have a valid trial with sampled CPUs."""
    shown = {Cell.of(row) for row in cells[cells["n"] > 0].to_dict("records")}
    return {load.key: limit_of(load) for load in run.loads if load.key in shown}


def note(found: Mapping[Cell, Limit]) -> str:
    """Return the meaning of the letters in a figure; empty if it has none."""
    if not found:
        return ""
    letters = dict.fromkeys(limit.what for limit in found.values())
    meant = ", ".join(f"{LETTERS[what][0]} {LETTERS[what][1]}" for what in LETTERS if what in letters)
    probable = "; ?: probable" if any(limit.letter.endswith("?") for limit in found.values()) else ""
    return f"Letters above: what limits each cell ({meant}{probable})."


def height_pt(run: Run, found: Mapping[Cell, Limit]) -> float:
    """Return the height of the letters above the axes, in points."""
    return _ROW_PT * len(_variants(run, found)) + _CLEAR_PT if found else 0.0


def draw(axes: "Axes", run: Run, found: Mapping[Cell, Limit], places: Mapping[Any, float], column: str) -> None:
    """Draw the letters of the cells whose level of ``column`` has a place on the x axis.

    The rows are in the order of variants, from the top. Each letter carries the limit and the evidence.
    """
    names = _variants(run, found)
    for key, limit in found.items():
        level = key[column]
        if level not in places or key.variant not in names:
            continue
        up = _CLEAR_PT + (len(names) - 1 - names.index(key.variant)) * _ROW_PT
        style: Any = {"fontsize": _SIZE_PT, "ha": "center", "va": "bottom", "color": look(run.variants)[key.variant][0]}
        letter = axes.annotate(
            limit.letter,
            (places[level], 1.0),
            (0, up),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            annotation_clip=False,
            **style,
        )
        numbers.carry(letter, [f"{key}\nlimit: {limit.label}\n{' '.join(limit.why)}"])


def _variants(run: Run, found: Mapping[Cell, Limit]) -> list[str]:
    drawn = {key.variant for key in found}
    return [name for name in run.variants if name in drawn]
