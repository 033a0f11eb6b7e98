# SPDX-License-Identifier: Apache-2.0
"""Parts that the figures share: sheets with a footer, lines of medians with every trial, names and legends.

Longer than other modules: everything that makes figures look alike is in one place.
"""

import functools
import itertools
import math
import textwrap
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, GREY, STYLE, look
from orchestrator.analysis.quantity import THROUGHPUT, Quantity
from orchestrator.spec import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection

NOTHING = "Nothing to draw:"  # first words in the notes of an empty figure
_MANY_POINTS = 2000  # from this number on, points are drawn as pixels, so that vector files stay small
# What the mark of a trial shows besides its cell and value, and what groups trials. Selecting rows from a frame with
# only these columns takes a third of the time.
OF_A_TRIAL = ("status", "reasons", "block", "round", "trial_id", "testbed")
_FOOTER_PT, _HEAD_PT = 5.6, 7.0
_HANDLE, _SPACING, _PAD = 2.4, 1.0, 0.5  # of a legend, in multiples of its font size
_LETTER = 0.58  # approximate mean width of a letter, in multiples of the font size
_BOLD = 1.15  # width of the bold font relative to the regular one


def sheet(run: Run, width: float, height: float, footer: Sequence[str]) -> Figure:
    """Return an empty figure with the sentences of ``footer`` at its foot, which axes do not overlap.

    A figure of a run in virtual time says so in bold at the head, for when it is seen without its caption. ``height``
    is that of the plot alone, in inches; head and footer are added to it.
    """
    lines = _wrapped(" ".join(filter(None, footer)), width * 72 - 8, _FOOTER_PT)
    foot = (len(lines) * _FOOTER_PT * 1.3 + 5) / 72
    label = run.virtual_time.sentence.removesuffix(".") if run.virtual_time else ""
    above = _wrapped(label, width * 72 - 8, _HEAD_PT * _BOLD)
    head = (len(above) * _HEAD_PT * 1.3 + 4) / 72 if above else 0.0
    whole = height + foot + head
    figure = Figure(figsize=(width, whole), layout="constrained")
    bottom, top = foot / whole, head / whole
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0.0, bottom, 1.0, 1.0 - bottom - top), w_pad=0.04, h_pad=0.04)
    text = "\n".join(lines)
    style: dict[str, Any] = {"fontsize": _FOOTER_PT, "color": "#444444", "va": "bottom", "gid": numbers.FOOTER}
    figure.text(4 / (72 * width), 3 / (72 * whole), text, **style)
    if above:
        style = {"fontsize": _HEAD_PT, "fontweight": "bold", "color": BLACK, "va": "top", "ha": "center"}
        figure.text(0.5, 1 - 3 / (72 * whole), "\n".join(above), gid=numbers.HEAD, **style)
    return figure


def _wrapped(text: str, width_pt: float, size_pt: float) -> list[str]:
    """Return the lines of a text, each with as many words as fit into its width."""
    font = FontProperties(family=STYLE["font.sans-serif"], size=size_pt)

    @functools.cache
    def fits(line: str) -> bool:
        return bool(text_to_path.get_text_width_height_descent(line, font, False)[0] <= width_pt)

    words = text.split()
    lines: list[str] = []
    # Measuring takes time: begin with the number of words that probably fits, then with that of the line before.
    ends = itertools.accumulate(len(word) + 1 for word in words)
    count = max(1, sum(end * _LETTER * size_pt <= width_pt for end in ends))
    while words:
        count = min(count, len(words))
        while count < len(words) and fits(" ".join(words[: count + 1])):
            count += 1
        while count > 1 and not fits(" ".join(words[:count])):
            count -= 1
        lines.append(" ".join(words[:count]))
        del words[:count]
    return lines


def nothing(run: Run, name: str, title: str, why: str, footer: Sequence[str] = ()) -> Drawing:
    """Return a figure that says why there is nothing to draw."""
    if len(run.shared) and run.measured.empty:
        why = "every valid trial had another testbed of the run beside it on the same computer (shared_computer)."
    notes = [*filter(None, footer), *captions.context_notes(run)]
    with mpl.rc_context(STYLE):
        figure = sheet(run, COLUMN_IN, 1.1, notes)
        message = "\n".join(textwrap.wrap(f"{NOTHING} {why}", 52))
        figure.text(
            0.5,
            1 - (0.55 + 0.18 * bool(run.virtual_time)) / figure.get_size_inches()[1],
            message,
            ha="center",
            va="center",
            fontsize=8,
            color="#333333",
        )
    return Drawing(name, title, figure, [f"{NOTHING} {why}", *notes])


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
    least = (high - low) * 8.5 / max(height, 30)
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


def legend_handles(run: Run, cells: pd.DataFrame, invalid: pd.DataFrame, baseline: bool) -> list[Line2D]:
    """Return legend entries for the variants that are drawn, for the baseline's line and for invalid attempts."""
    handles = variant_handles(run, set(cells.loc[cells["n"] > 0, "variant"]))
    if baseline:
        handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label="no tunnel"))
    if len(invalid):
        hollow: Any = {"marker": "o", "markersize": 3.2, "markerfacecolor": "none", "markeredgecolor": GREY}
        handles.append(Line2D([], [], linestyle="none", markeredgewidth=0.7, label="invalid attempt", **hollow))
    return handles


def variant_handles(run: Run, drawn: Container[str]) -> list[Line2D]:
    """Return legend entries for those of a run's variants that are drawn."""
    return [
        Line2D(
            [],
            [],
            color=colour,
            linestyle=line,
            marker=marker,
            markersize=3.5,
            label=name,
        )
        for name, (colour, marker, line) in look(run.variants).items()
        if name in drawn
    ]


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """Draw a legend above the axes, in as many columns as fit into the figure's width."""
    columns = 6 if figure.get_size_inches()[0] > COLUMN_IN else 4 if len(handles) == 4 else 3
    while columns > 1 and _legend_pt(handles, columns) > figure.get_size_inches()[0] * 72:
        columns -= 1
    legend_above(figure, handles, columns, handlelength=_HANDLE, columnspacing=_SPACING, handletextpad=_PAD)


def _legend_pt(handles: Sequence[Line2D], columns: int) -> float:
    """Return the approximate width of a legend in points; its entries fill one column after the other."""
    size = float(STYLE["legend.fontsize"])
    font = FontProperties(family=STYLE["font.sans-serif"], size=size)
    names = [text_to_path.get_text_width_height_descent(str(h.get_label()), font, False)[0] for h in handles]
    rows = math.ceil(len(names) / columns)
    widest = [max(names[start : start + rows]) for start in range(0, len(names), rows)]
    return sum(widest) + len(widest) * (_HANDLE + _PAD) * size + (len(widest) + 1) * _SPACING * size


def legend_above(figure: Figure, handles: Sequence[Artist], columns: int, **style: float) -> None:
    """Draw a legend above the axes and below the sheet's head."""
    head = next((text for text in figure.texts if text.get_gid() == numbers.HEAD), None)
    lines = head.get_text().count("\n") + 1 if head else 0
    # The layout reserves no space for a legend with an anchor, so the head is part of its distance from the edge.
    away: Any = {"borderaxespad": 0.5 + (lines * _HEAD_PT * 1.3 + 1) / STYLE["legend.fontsize"]} if head else {}
    figure.legend(handles=list(handles), loc="outside upper center", ncols=columns, **away, **style)


def title_of(run: Run, title: str) -> str:
    """Return a figure's title with the name of the measured quantity instead of throughput, and which way is better."""
    if run.quantity.is_throughput:
        return title
    return f"{title.replace(THROUGHPUT.label, run.quantity.label, 1)} ({run.quantity.direction})"


def value_label(run: Run) -> str:
    """Return the axis name of a run's quantity, with which way is better if that is not obvious."""
    direction = run.quantity.direction
    return rate_label(run, run.quantity.axis) + (f"\n({direction})" if direction else "")


def rate_label(run: Run, quantity: str) -> str:
    """Return the axis name of a quantity that ends with its unit, in two lines if it mentions virtual time."""
    return run.in_its_time(quantity.replace(" in ", " in\n", 1) if run.virtual_time else quantity)
