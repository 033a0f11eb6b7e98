# SPDX-License-Identifier: Apache-2.0
"""Every trial of every cell against its round, the time, and its place in the round; one panel per number of cores and
tunnels."""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import FAINT, GREY, PAGE_IN, STYLE, look
from orchestrator.analysis.quality import column_of, place_notes, places_in_rounds, quality_notes, several_modes
from orchestrator.analysis.settings import of_first_setting
from orchestrator.spec import Cell
from orchestrator.stats.modes import Modes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "value-against-round"
TITLE = "Every trial, round by round"
_MOST_ACROSS = 4
_MOST_PANELS = 60  # a figure with more is unreadable

_Placed = tuple["pd.Series[float]", Sequence[float]]


@dataclass(frozen=True, slots=True)
class _Axis:
    """An x axis.

    ``of``: returns the positions of one panel's attempts, and of the boundaries between boots; ``joined``: whether
    lines join the trials of a variant; ``whole``: whether only whole numbers have ticks.
    """

    name: str
    title: str
    label: str
    note: str
    of: Callable[[Run, pd.DataFrame], _Placed]
    notes: Callable[[Run], list[str]]
    joined: bool = True
    whole: bool = True


@of_first_setting
def value_against_round(run: Run) -> Drawing:
    """Return the trials of all cells against their round, boots side by side; invalid attempts are hollow."""
    note = "One panel per number of cores and tunnels; a grey line separates two boots."
    return _drawn(run, _Axis(NAME, TITLE, "Round", note, _rounds, quality_notes))


@of_first_setting
def value_against_time(run: Run) -> Drawing:
    """Return the trials of all cells against the time at which they began; invalid attempts are hollow."""
    note = "Time since the run's first attempt, by the clock of the computer that measured; grey lines separate boots."
    name, title = "value-against-time", "Every trial against time"
    return _drawn(run, _Axis(name, title, "Minutes", note, _minutes, quality_notes, whole=False))


@of_first_setting
def value_against_order(run: Run) -> Drawing:
    """Return the trials of all cells against their place in their round; invalid attempts are hollow."""
    note = "The place of a trial among those of its block and round, in the order of the plan, over all panels."
    name, title = "value-against-order", "Every trial against its place in the round"
    return _drawn(run, _Axis(name, title, "Place in the round", note, _places, place_notes, joined=False))


def _drawn(run: Run, axis: _Axis) -> Drawing:
    column, unit, _ = column_of(run)
    tried = run.attempts[(run.attempts["kind"] == "measure") & run.attempts[column].notna()]
    rows = tried[tried["status"].isin(["ok", "invalid"])]
    invalid = rows[rows["status"] == "invalid"]
    lost = captions.loss_note(run.planned, invalid)
    if rows.empty:
        return parts.nothing(run, axis.name, axis.title, "no trial gave a value.", [lost])
    rows = rows[[*run.levels, column, *curves.OF_A_TRIAL, "attempt", "started_at"]]
    of_rows = [Cell.of(record).place for record in numbers.records(rows)]
    places = sorted(set(of_rows))
    modes = several_modes(run)
    face = [lost, *captions.context_notes(run)]
    notes = [axis.note]
    notes += ["Horizontal lines: the modes of cells that have several."] if modes else []
    if len(places) > _MOST_PANELS:
        notes.append(f"Only the first {_MOST_PANELS} of {len(places)} panels are shown.")
        places = places[:_MOST_PANELS]
    notes += [*axis.notes(run), *face]
    height = math.ceil(len(places) / _MOST_ACROSS)
    across = max(2, math.ceil(len(places) / height))
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, PAGE_IN, 0.35 + 1.3 * height, face)
        grid = list(figure.subplots(height, across, squeeze=False).ravel())
        for axes in grid[len(places) :]:
            axes.set_visible(False)
        for number, (axes, place) in enumerate(zip(grid, places, strict=False)):
            mine = rows[[one == place for one in of_rows]]
            _draw(axes, run, mine, modes, axis)
            key = Cell.of(mine.iloc[0].to_dict())
            axes.set_title(str(key.place), fontsize=6.5)
            if number + across >= len(places):
                axes.set_xlabel(axis.label)
            if number % across == 0:
                axes.set_ylabel(run.in_its_time(unit))
        handles = parts.variant_handles(run, set(rows["variant"]))
        if len(invalid):
            hollow: Any = {"marker": "o", "markersize": 3.2, "markerfacecolor": "none", "markeredgecolor": GREY}
            handles.append(Line2D([], [], linestyle="none", markeredgewidth=0.7, label="invalid attempt", **hollow))
        parts.legend(figure, handles)
    return Drawing(axis.name, axis.title, figure, [note for note in notes if note])


def _rounds(run: Run, rows: pd.DataFrame) -> _Placed:
    """Return positions by round, with boots one after another."""
    starts, ends = {}, 0
    borders = []
    boots = _boots(rows)
    for boot in boots:
        starts[boot] = ends
        ends += int(rows.loc[_of_boot(rows, boot), "round"].max())
        borders += [ends + 0.5] if boot != boots[-1] else []
    return rows["round"].astype("float64") + [starts[boot] for boot in _keys(rows)], borders


def _minutes(run: Run, rows: pd.DataFrame) -> _Placed:
    """Return positions in minutes since the run's first attempt of any kind."""
    minutes = (rows["started_at"] - run.attempts["started_at"].min()).dt.total_seconds() / 60
    found = sorted(
        (minutes[mine].min(), minutes[mine].max()) for mine in (_of_boot(rows, boot) for boot in _boots(rows))
    )
    between = itertools.pairwise(found)
    return minutes, [(end + start) / 2 for (_, end), (start, _) in between if start > end]


def _places(run: Run, rows: pd.DataFrame) -> _Placed:
    return rows["trial_id"].map(places_in_rounds(run)).astype("float64"), ()


def _keys(rows: pd.DataFrame) -> list[tuple[int, str]]:
    return [(int(block), str(testbed)) for block, testbed in zip(rows["block"], rows["testbed"], strict=True)]


def _boots(rows: pd.DataFrame) -> list[tuple[int, str]]:
    return sorted(set(_keys(rows)))


def _of_boot(rows: pd.DataFrame, boot: tuple[int, str]) -> "pd.Series[bool]":
    return (rows["block"] == boot[0]) & (rows["testbed"] == boot[1])


def _draw(axes: "Axes", run: Run, rows: pd.DataFrame, modes: Mapping[Cell, Modes], axis: _Axis) -> None:
    """Draw one panel."""
    column, unit, scale = column_of(run)
    x, borders = axis.of(run, rows)
    rows = rows.assign(_x=x)
    for border in borders:
        axes.axvline(border, color=FAINT, linewidth=0.8, zorder=1)
    many = curves.are_many(rows)
    for name, (colour, marker, line) in look(run.variants).items():
        mine = rows[rows["variant"] == name].sort_values(["block", "round", "attempt"])
        if mine.empty:
            continue
        for status, face, edge, order in (("ok", colour, colour, 4), ("invalid", "none", GREY, 3)):
            part = mine[mine["status"] == status]
            style: dict[str, Any] = {"s": 8, "marker": marker, "facecolors": face, "edgecolors": edge, "zorder": order}
            width = 0.0 if status == "ok" else 0.7
            drawn = axes.scatter(part["_x"], part[column] / scale, linewidths=width, rasterized=many, **style)
            numbers.carry(drawn, [_text(row, column, unit, scale) for row in numbers.records(part)])
        good = mine[mine["status"] == "ok"]
        for boot in _boots(good) if axis.joined else ():
            here = good[_of_boot(good, boot)]
            axes.plot(here["_x"], here[column] / scale, color=colour, linestyle=line, linewidth=0.6, zorder=2)
        found = modes.get(Cell.of(mine.iloc[0].to_dict()))
        for mode in (found.lower, found.upper) if found else ():
            axes.axhline(mode.median / scale, color=colour, linestyle=":", linewidth=0.7, zorder=1)
    axes.set_ylim(0, float(rows[column].max()) / scale * 1.1)
    low, high = float(x.min()), float(x.max())
    if axis.whole:
        axes.set_xlim(0.5, high + 0.5)
    else:
        margin = max(0.05 * (high - low), 0.1)
        axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=axis.whole, nbins=6, steps=[1, 2, 5, 10]))


def _text(row: Mapping[Any, Any], column: str, unit: str, scale: float) -> str:
    """Return the text of a mark under the pointer."""
    about = "" if row["status"] == "ok" else f"\ninvalid: {row['reasons']}"
    where = f"block {row['block']}, round {row['round']}, trial {row['trial_id']}"
    return f"{Cell.of(row)}\n{row[column] / scale:.3g} {unit}\n{where}{about}"
