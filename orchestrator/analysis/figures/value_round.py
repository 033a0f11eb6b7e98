# SPDX-License-Identifier: Apache-2.0
"""Value against round: every trial of every cell in the order of measurement, a panel a place."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import FAINT, GREY, PAGE_IN, STYLE, look
from orchestrator.analysis.quality import column_of, quality_notes, several_modes
from orchestrator.analysis.settings import of_first_setting
from orchestrator.spec import Cell
from orchestrator.stats.modes import Modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "value-against-round"
TITLE = "Every trial, round by round"
_ACROSS = 4
_MOST_PANELS = 60  # more make a figure that nobody reads


@of_first_setting
def value_against_round(run: Run) -> Drawing:
    """The trials of all cells against their round, boots side by side; invalid attempts are hollow."""
    column, unit, _ = column_of(run)
    tried = run.attempts[(run.attempts["kind"] == "measure") & run.attempts[column].notna()]
    rows = tried[tried["status"].isin(["ok", "invalid"])]
    invalid = rows[rows["status"] == "invalid"]
    lost = captions.loss_note(run.planned, invalid)
    if rows.empty:
        return parts.nothing(run, NAME, TITLE, "no trial gave a value.", [lost])
    records: list[dict[Any, Any]] = rows.to_dict("records")
    of_rows = [Cell.of(record).place for record in records]
    places = sorted(set(of_rows))
    modes = several_modes(run)
    face = [lost, *captions.context_notes(run)]
    notes = ["A panel for each number of cores and tunnels; a grey line parts two boots."]
    notes += ["Horizontal lines: the modes of cells that have several."] if modes else []
    if len(places) > _MOST_PANELS:
        notes.append(f"Of {len(places)} panels the first {_MOST_PANELS}.")
        places = places[:_MOST_PANELS]
    notes += [*quality_notes(run), *face]
    height = math.ceil(len(places) / _ACROSS)
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, PAGE_IN, 0.35 + 1.3 * height, face)
        grid = list(figure.subplots(height, _ACROSS, squeeze=False).ravel())
        for axes in grid[len(places) :]:
            axes.set_visible(False)
        for number, (axes, place) in enumerate(zip(grid, places, strict=False)):
            mine = rows[[one == place for one in of_rows]]
            _draw(axes, run, mine, modes)
            key = Cell.of(mine.iloc[0].to_dict())
            axes.set_title(str(key.place), fontsize=6.5)
            if number + _ACROSS >= len(places):
                axes.set_xlabel("Round")
            if number % _ACROSS == 0:
                axes.set_ylabel(run.in_its_time(unit))
        handles = parts.variant_handles(run, set(rows["variant"]))
        if len(invalid):
            hollow: Any = {"marker": "o", "markersize": 3.2, "markerfacecolor": "none", "markeredgecolor": GREY}
            handles.append(Line2D([], [], linestyle="none", markeredgewidth=0.7, label="invalid attempt", **hollow))
        parts.legend(figure, handles)
    return Drawing(NAME, TITLE, figure, [note for note in notes if note])


def _draw(axes: "Axes", run: Run, rows: pd.DataFrame, modes: Mapping[Cell, Modes]) -> None:
    """One place: boots one after another along the x axis, each with its rounds."""
    column, unit, scale = column_of(run)
    boots = sorted({(int(block), str(testbed)) for block, testbed in zip(rows["block"], rows["testbed"], strict=True)})
    starts, ends = {}, 0
    for boot in boots:
        mine = rows[(rows["block"] == boot[0]) & (rows["testbed"] == boot[1])]
        starts[boot] = ends
        ends += int(mine["round"].max())
        if boot != boots[-1]:
            axes.axvline(ends + 0.5, color=FAINT, linewidth=0.8, zorder=1)
    many = parts.are_many(rows)
    for name, (colour, marker, line) in look(run.variants).items():
        mine = rows[rows["variant"] == name].sort_values(["block", "round", "attempt"])
        if mine.empty:
            continue
        for status, face, edge, order in (("ok", colour, colour, 4), ("invalid", "none", GREY, 3)):
            part = mine[mine["status"] == status]
            x = [starts[int(row["block"]), str(row["testbed"])] + int(row["round"]) for row in _records(part)]
            style: dict[str, Any] = {"s": 8, "marker": marker, "facecolors": face, "edgecolors": edge, "zorder": order}
            width = 0.0 if status == "ok" else 0.7
            drawn = axes.scatter(x, part[column] / scale, linewidths=width, rasterized=many, **style)
            numbers.carry(drawn, [_text(row, column, unit, scale) for row in _records(part)])
        good = mine[mine["status"] == "ok"]
        for boot, start in starts.items():
            here = good[(good["block"] == boot[0]) & (good["testbed"] == boot[1])]
            axes.plot(
                here["round"] + start, here[column] / scale, color=colour, linestyle=line, linewidth=0.6, zorder=2
            )
        found = modes.get(Cell.of(mine.iloc[0].to_dict()))
        for mode in (found.lower, found.upper) if found else ():
            axes.axhline(mode.median / scale, color=colour, linestyle=":", linewidth=0.7, zorder=1)
    axes.set_ylim(0, float(rows[column].max()) / scale * 1.1)
    axes.set_xlim(0.5, ends + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _records(rows: pd.DataFrame) -> Sequence[Mapping[Any, Any]]:
    found: list[dict[Any, Any]] = rows.to_dict("records")
    return found


def _text(row: Mapping[Any, Any], column: str, unit: str, scale: float) -> str:
    """What a mark says under the pointer."""
    about = "" if row["status"] == "ok" else f"\ninvalid: {row['reasons']}"
    where = f"block {row['block']}, round {row['round']}, trial {row['trial_id']}"
    return f"{Cell.of(row)}\n{row[column] / scale:.3g} {unit}\n{where}{about}"
