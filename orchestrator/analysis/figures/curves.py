# SPDX-License-Identifier: Apache-2.0
"""Curves that the figures share: lines of medians with every trial, their names, the baseline, and limits of axes."""

import functools
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers
from orchestrator.analysis.figures.style import BLACK, GREY, look
from orchestrator.analysis.quantity import THROUGHPUT, Quantity
from orchestrator.spec import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

_AFTER_LAYOUT = 0.65  # approximate height of axes after the layout, relative to that before
_MANY_POINTS = 2000  # from this number on, points are drawn as pixels, so that vector files stay small
# What the mark of a trial shows besides its cell and value, and what groups trials. Selecting rows from a frame with
# only these columns takes a third of the time.
OF_A_TRIAL = ("status", "reasons", "block", "round", "trial_id", "testbed")


def shift(index: int, count: int, gap: float) -> float:
    """Return the offset of a variant's marks from their place on the x axis, so that variants do not hide one
    another."""
    return (index - (count - 1) / 2) * slot(count) * gap


def slot(count: int) -> float:
    """Return the width that one of ``count`` variants takes at a place on the x axis, as a share of the gap."""
    return min(0.15, 0.6 / max(1, count))


def are_many(rows: pd.DataFrame) -> bool:
    """Return whether there are so many points that they are drawn as pixels."""
    return len(rows) > _MANY_POINTS


def jitter(rows: pd.DataFrame) -> pd.Series:
    """Return offsets from -0.5 to 0.5 by a trial's round within its block, so that the trials of a cell lie side by
    side."""
    turns = rows["round"].astype("float64")
    across = float(turns.max() - turns.min()) if len(turns) else 0.0
    return (turns - turns.min()) / across - 0.5 if across else turns * 0.0


def draw_variants(
    axes: "Axes",
    run: Run,
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    invalid: pd.DataFrame,
    places: Mapping[int, float],
    column: str,
    gap: float,
) -> None:
    """Draw one line per variant through the medians, with whiskers, and every trial.

    ``places`` gives the place on the x axis of a level of ``column``; ``gap`` is the smallest distance between two
    places, of which each variant takes a small part, so that variants do not hide one another.
    """
    names, quantity = run.variants, run.quantity
    of, scale = quantity.of, quantity.scale
    told = [*dict.fromkeys([*run.levels, column, quantity.column, *OF_A_TRIAL])]
    trials, invalid = trials[told], invalid[told]
    rasterized = are_many(trials)
    for index, (name, (colour, marker, line)) in enumerate(look(names).items()):
        aside = shift(index, len(names), gap)
        planned = cells[cells["variant"] == name].sort_values(column)
        mine = planned[planned["n"] > 0]
        points, broken = trials[trials["variant"] == name], invalid[invalid["variant"] == name]
        for rows, face, edge, order in ((points, colour, colour, 4), (broken, "none", GREY, 2)):
            beside = jitter(rows) * 0.7 * slot(len(names)) * gap
            drawn = axes.scatter(
                rows[column].map(places).astype("float64") + aside + beside,
                rows[quantity.column] / scale,
                s=9,
                marker=marker,
                facecolors=face,
                edgecolors=edge,
                linewidths=0.0 if face == colour else 0.7,
                alpha=0.55 if face == colour else 1.0,
                zorder=order,
                rasterized=rasterized,
            )
            numbers.carry_rows(drawn, rows, functools.partial(trial_text, quantity=quantity))
        if mine.empty:
            continue
        # A line has a gap at a cell without a valid trial or with several modes: nothing was measured along it there.
        along = [places[int(level)] + aside for level in planned[column]]
        medians = planned[of("median")].where(planned["modes"] == "") / scale
        testbeds = testbeds_of(points, column)
        line_x, line_y = joined(along, medians, [testbeds.get(int(level)) for level in planned[column]])
        axes.plot(line_x, line_y, color=colour, linestyle=line, zorder=3, label=name)
        several = mine[mine["modes"] != ""]
        draw_modes(axes, several, [places[int(n)] + aside for n in several[column]], quantity)
        mine = mine[mine["modes"] == ""]
        x = [places[int(level)] + aside for level in mine[column]]
        y = mine[of("median")] / scale
        dashes = draw_medians(axes, x, y, mine[of("low")] / scale, mine[of("high")] / scale)
        numbers.carry_rows(dashes, mine, functools.partial(cell_text, quantity=quantity))
        for place, top, bound in zip(x, mine[of("high")] / scale, mine["generator_bound"], strict=True):
            if bound:
                axes.annotate("†", (place, top), (0, 2), textcoords="offset points", ha="center", color=colour)


def testbeds_of(trials: pd.DataFrame, column: str) -> dict[int, frozenset[str]]:
    """Return {level: the testbeds that measured it} for one variant's trials."""
    return {int(str(level)): frozenset(map(str, mine)) for level, mine in trials.groupby(column)["testbed"]}


def joined(
    x: Sequence[float], y: Iterable[float], testbeds: Sequence[frozenset[str] | None]
) -> tuple[list[float], list[float]]:
    """Return the points of a line with a gap (NaN) wherever the testbeds of a pool change, since a line there would
    show a change of hardware."""
    found: list[tuple[float, float]] = []
    before: frozenset[str] | None = None
    for place, value, mine in zip(x, y, testbeds, strict=True):
        if before is not None and mine is not None and mine != before:
            found.append((math.nan, math.nan))
        found.append((place, value))
        before = before if mine is None else mine
    return [place for place, _ in found], [value for _, value in found]


def smallest_gap(places: Iterable[float]) -> float:
    """Return the smallest distance between two places on an axis; 1 for a single one."""
    return min((b - a for a, b in itertools.pairwise(sorted(places))), default=1.0)


def limits(places: Sequence[float], gap: float) -> tuple[float, float]:
    """Return the ends of an axis with these places, in order."""
    margin = max(0.5 * gap, 0.06 * (places[-1] - places[0]))
    return places[0] - margin, places[-1] + margin


def draw_modes(axes: "Axes", cells: pd.DataFrame, x: Sequence[float], quantity: Quantity = THROUGHPUT) -> None:
    """Draw a dash for each mode of cells with several modes, instead of a median that may lie between them."""
    for side in ("lower", "upper"):
        y = cells[quantity.of(f"{side}_mode")] / quantity.scale
        dashes = axes.scatter(x, y, s=34, marker="_", color=BLACK, linewidths=1.2, zorder=6)
        numbers.carry_rows(dashes, cells, functools.partial(mode_text, quantity=quantity))


def mode_text(row: Mapping[str, Any], quantity: Quantity = THROUGHPUT) -> str:
    """Return the text of a mode's mark under the pointer."""
    medians = {side: row[quantity.of(f"{side}_mode")] for side in ("lower", "upper")}
    sides = [f"{quantity.text(median)} ({row[f'{side}_mode_n']} trials)" for side, median in medians.items()]
    return f"{Cell.of(row)}\n{row['modes']}: two modes\n{' or '.join(sides)}"


def draw_medians(axes: "Axes", x: Any, median: pd.Series, low: pd.Series, high: pd.Series) -> "PathCollection":
    """Draw medians as dashes with whiskers, black on any colour below, and return the dashes."""
    axes.errorbar(x, median, yerr=[median - low, high - median], fmt="none", ecolor=BLACK, elinewidth=0.7, zorder=5)
    return axes.scatter(x, median, s=34, marker="_", color=BLACK, linewidths=1.2, zorder=6)


def trial_text(row: Mapping[str, Any], quantity: Quantity = THROUGHPUT) -> str:
    """Return the text of a trial's mark under the pointer."""
    about = "" if row["status"] == "ok" else f"\n{row['status']}: {row['reasons']}"
    where = f"block {row['block']}, round {row['round']}, trial {row['trial_id']}"
    return f"{Cell.of(row)}\n{quantity.text(row[quantity.column])}\n{where}{about}"


def cell_text(row: Mapping[str, Any], quantity: Quantity = THROUGHPUT) -> str:
    """Return the text of a median's mark under the pointer."""
    spread = captions.spread_text(
        {**row, "low": row[quantity.of("low")], "high": row[quantity.of("high")]}, quantity.scale
    )
    return f"{Cell.of(row)}\nmedian {quantity.text(row[quantity.of('median')])}\n{spread}"


def ends_are_labelled(cells: pd.DataFrame, last: pd.DataFrame, column: str) -> bool:
    """Return whether names at the line ends of the ``last`` panel name every variant in a figure's ``cells``."""
    shown = last[last["n"] > 0]
    return set(cells.loc[cells["n"] > 0, "variant"]) == set(shown["variant"]) and shown[column].nunique() > 1


def label_lines(
    axes: "Axes", run: Run, cells: pd.DataFrame, column: str, places: Mapping[int, float], gap: float
) -> None:
    """Draw each variant's name at the right end of its line of medians. The y limits must be set before."""
    shown = cells[cells["n"] > 0].sort_values(column)
    last = {str(name): rows.iloc[-1] for name, rows in shown.groupby("variant")}
    right = max((places[int(row[column])] for row in last.values()), default=0.0)
    median, scale = run.quantity.of("median"), run.quantity.scale
    label_ends(axes, run, {name: float(row[median]) / scale for name, row in last.items()}, right, gap)


def label_ends(axes: "Axes", run: Run, ends: Mapping[str, float], right: float, gap: float) -> None:
    """Draw each variant's name to the right of its line, which ends at the height in ``ends``; names that would touch
    are moved apart."""
    is_log = axes.get_yscale() == "log"
    low, high = map(math.log, axes.get_ylim()) if is_log else axes.get_ylim()
    height = axes.get_window_extent().height / axes.figure.dpi * 72
    # The layout, which is not known yet, makes the axes lower: it adds room for a legend, titles and the footer.
    least = (high - low) * 8.5 / max(_AFTER_LAYOUT * height, 30)
    colours = {name: colour for name, (colour, _, _) in look(run.variants).items()}
    right += shift(len(run.variants) - 1, len(run.variants), gap)
    free = -least
    for y, name in sorted((math.log(y) if is_log else y, name) for name, y in ends.items()):
        free = max(y, free + least)
        axes.annotate(
            name,
            (right, math.exp(free) if is_log else free),
            (9, 0),
            textcoords="offset points",
            va="center",
            color=colours[name],
            fontsize=7,
            annotation_clip=False,
        )


def top_of(*series: pd.Series, scale: float = THROUGHPUT.scale) -> float:
    """Return the upper end of an axis from 0, in units of ``scale``, that shows all values with a margin."""
    highest = max((float(values.max()) for values in series if len(values.dropna())), default=scale)
    return highest / scale * 1.12 or 1.0


def draw_baseline(axes: "Axes", baselines: Mapping[float, float], top: float, scale: float = THROUGHPUT.scale) -> bool:
    """Draw the throughput without a tunnel as a dotted line, or as numbers with an arrow if it is above ``top``.

    ``baselines``: by the place on the x axis of the cells that are compared with it; a common one is drawn across the
    axes. Return whether a line was drawn.
    """
    shown = {place: value / scale for place, value in sorted(baselines.items()) if value / scale <= top}
    beyond = sorted(
        {f"{value / scale:.3g}": value for value in baselines.values() if value / scale > top}.items(), key=_value
    )
    if beyond:
        span = " to ".join(dict.fromkeys((beyond[0][0], beyond[-1][0])))
        axes.text(
            0.98,
            0.985,
            f"no tunnel: {span} ↑",
            transform=axes.transAxes,
            ha="right",
            va="top",
            fontsize=6.2,
            color="#555555",
        )
    line: Any = {"color": GREY, "linestyle": ":", "linewidth": 1.1, "zorder": 1}
    if len(set(shown.values())) == 1:
        axes.axhline(next(iter(shown.values())), **line)
    elif shown:
        axes.plot(list(shown), list(shown.values()), **line)
    return bool(shown)


def _value(item: tuple[str, float]) -> float:
    return item[1]


def upper_limit(values: Iterable[pd.Series], baselines: pd.Series, scale: float = THROUGHPUT.scale) -> float:
    """Return the upper end of an axis in units of ``scale``: all values, and the baseline unless it would flatten
    them."""
    top = top_of(*values, scale=scale)
    beyond = top_of(baselines, scale=scale) if len(baselines.dropna()) else top
    return max(top, beyond) if beyond <= 1.6 * top else top * 1.06
