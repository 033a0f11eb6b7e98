# SPDX-License-Identifier: Apache-2.0
"""F6: packet rate against packet size, one line per variant, one column of panels per core count; below it, the rate
per core."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, limit_marks, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, GREY, PAGE_IN, STYLE, look
from orchestrator.analysis.packets import (
    CLOSED_LOOP,
    CLOSED_LOOP_NOTE,
    GENERATOR,
    GOALS,
    LOSSES,
    MIXED,
    goals,
    packet_cells,
    packet_trials,
    search_note,
)
from orchestrator.spec import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "f6-packet-rate"
TITLE = "Packet rate against packet size"
_TITLE_PAD_PT = 3.0  # between a title and what is below it
_K = 1e3  # axes are in kpps
_CLOSED = CLOSED_LOOP_NOTE[0].lower() + CLOSED_LOOP_NOTE[1:]
_WORDS = {LOSSES: "bounded by losses", GENERATOR: "bounded by the generator", MIXED: "bounded in different ways"}
_FAINT = 0.35  # opacity of rates without a loss, drawn together with those with few


def packet_rate(run: Run) -> Drawing:
    """Return F6 of a run: for each core count, the cells with one tunnel per core if there are any, or else the most
    tunnels."""
    every = packet_cells(run)
    lost = captions.loss_note(run.planned, _invalid(run), drawn=False)
    shown = every[every["n"] > 0]
    if shown.empty:
        return parts.nothing(run, NAME, TITLE, "no trial with a tunnel gave a packet rate.", [lost])
    chosen = {int(cores): _tunnels(shown[shown["cores"] == cores], int(cores)) for cores in shown["cores"].unique()}
    columns = sorted(chosen)[-4:]
    here = pd.concat([every[(every["cores"] == c) & (every["tunnels"] == chosen[c])] for c in columns])
    sizes = sorted(here["packet_size"].unique(), key=_last_if_mixed)
    places = {name: float(place) for place, name in enumerate(sizes)}
    wanted = goals(run)
    face = [
        captions.sample_note(here, explained=False),
        _meaning(wanted),
        captions.bound_note(here),
        _open_note(here),
        search_note(run),
        lost,
        captions.pool_note(run.trials),
        "Sizes are those of the IP packets in the tunnel, not to scale." + _mixture(places),
    ]
    tops = [_top(here, [1] * len(here)), _top(here, list(here["cores"]))]
    first = here[here["goal"] == wanted[0]]
    below, beyond = (_baselines(first, tops, reached=reached) for reached in (True, False))
    face += ["Dotted: the same without a tunnel." if below else ""]
    limits = limit_marks.limits_of(run, first)
    face += [f"Without a tunnel, beyond the axes: {beyond}." if beyond else "", limit_marks.note(limits)]
    face = [note for note in [*face, *captions.context_notes(run)] if note]
    width = COLUMN_IN if len(columns) < 3 else PAGE_IN
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, width, 3.6 + limit_marks.height_pt(run, limits) / 72, face)
        grid = figure.subplots(2, len(columns), squeeze=False, sharey="row", sharex=True)
        for column, cores in enumerate(columns):
            cells = here[here["cores"] == cores]
            trials = packet_trials(run)
            trials = trials[(trials["cores"] == cores) & (trials["tunnels"] == chosen[cores])]
            for axes, share, top in ((grid[0][column], 1, tops[0]), (grid[1][column], cores, tops[1])):
                _panel(axes, run, cells, trials, places, wanted, share * _K)
                _baseline(axes, cells[cells["goal"] == wanted[0]], places, share * _K, top)
            there = {key: limit for key, limit in limits.items() if key.cores == cores}
            levels = {int(size) if size.isdigit() else size: place for size, place in places.items()}
            limit_marks.draw(grid[0][column], run, there, levels, "packet_size")
            above: Any = {"pad": _TITLE_PAD_PT + limit_marks.height_pt(run, limits)}
            grid[0][column].set_title(
                f"{captions.count(cores, 'core')}, {captions.count(chosen[cores], 'tunnel')}", **above
            )
            grid[1][column].set_xticks(list(places.values()), list(places))
            grid[1][column].set_xlim(-0.5, len(places) - 0.5)
            grid[1][column].set_xlabel("Packet size (bytes)")
        shares = f"{run.in_its_time('kpps')}\nper core" if run.virtual_time else "kpps per core"
        for row, quantity in ((0, parts.rate_label(run, "Packet rate in kpps")), (1, shares)):
            grid[row][0].set_ylabel(quantity)
            grid[row][0].set_ylim(0, tops[row])
        drawn = {str(name) for name in here.loc[here["n"] > 0, "variant"]}
        handles = parts.variant_handles(run, drawn)
        if len(wanted) > 1:
            handles.append(Line2D([], [], color=GREY, alpha=_FAINT, linewidth=3, label="without a loss"))
        if CLOSED_LOOP in set(here["bounded_by"]):
            hollow: Any = {"marker": "o", "markersize": 3.5, "markerfacecolor": "none", "markeredgecolor": GREY}
            handles.append(Line2D([], [], linestyle="none", label="closed loop: another quantity", **hollow))
        if below:
            handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label="no tunnel"))
        parts.legend(figure, handles)
    return Drawing(NAME, TITLE, figure, face)


def _tunnels(cells: pd.DataFrame, cores: int) -> int:
    numbers_of = {int(tunnels) for tunnels in cells["tunnels"]}
    return cores if cores in numbers_of else max(numbers_of)


def _last_if_mixed(size: str) -> tuple[bool, int, str]:
    return not size.isdigit(), int(size) if size.isdigit() else 0, size


def _meaning(wanted: Sequence[str]) -> str:
    if wanted == ["received"]:
        return f"Rate: {GOALS['received'][2]}."
    goal = " and, faint, ".join(GOALS[goal][2] for goal in wanted)
    return f"Rate: {goal}; bars: from the lower to the upper bound of each search; dashes: medians of the lower ones."


def _mixture(places: Mapping[str, float]) -> str:
    return " imix: 7 of 64, 4 of 576 and 1 of 1420." if "imix" in places else ""


def _open_note(cells: pd.DataFrame) -> str:
    if not bool((cells["upper_pps"].isna() & (cells["n"] > 0)).any()):
        return ""
    closed = bool((cells["bounded_by"] == CLOSED_LOOP).any())
    return "↑: no upper bound, since the generator could send no more." + (f" Hollow: {_CLOSED}" if closed else "")


def _invalid(run: Run) -> pd.DataFrame:
    attempts = run.attempts
    return attempts[(attempts["kind"] == "measure") & (attempts["status"] == "invalid")]


def _panel(
    axes: "Axes",
    run: Run,
    cells: pd.DataFrame,
    trials: pd.DataFrame,
    places: Mapping[str, float],
    wanted: Sequence[str],
    unit: float,
) -> None:
    """Draw bars for every trial and a line through the medians of the lower bounds. ``unit``: packets per second per
    unit of the axis."""
    names = run.variants
    for index, (name, (colour, marker, line)) in enumerate(look(names).items()):
        aside = curves.shift(index, len(names), 1.0)
        looped = cells[(cells["variant"] == name) & (cells["bounded_by"] == CLOSED_LOOP)]
        closed_sizes = set(looped["packet_size"])
        for goal in reversed(wanted):
            faint = goal != wanted[0]
            mine = trials[(trials["variant"] == name) & (trials["goal"] == goal)]
            x = mine["packet_size"].map(places).astype("float64") + aside
            x += curves.jitter(mine) * 0.7 * curves.slot(len(names))
            low, high = mine["lower_pps"] / unit, mine["upper_pps"] / unit
            axes.vlines(x, low, high, color=colour, linewidth=2.2, alpha=_FAINT if faint else 0.8, zorder=4 - faint)
            if goal == "received" or not faint:
                closed = mine["packet_size"].isin(closed_sizes)
                for rows, at, face in ((mine[~closed], low[~closed], colour), (mine[closed], low[closed], "none")):
                    edge = 0.0 if face == colour else 0.7
                    style: Any = {"s": 7, "marker": marker, "facecolors": face, "edgecolors": colour, "zorder": 4}
                    marks = axes.scatter(x[at.index], at, linewidths=edge, alpha=0.55 if edge == 0 else 1, **style)
                    numbers.carry_rows(marks, rows, _trial_text)
        cell = cells[(cells["variant"] == name) & (cells["goal"] == wanted[0])]
        cell = cell.assign(place=cell["packet_size"].map(places).astype("float64")).sort_values("place")
        sized = cell[cell["packet_size"].str.isdigit()]  # a mixture is no size between others: no line leads to it
        mine = trials[(trials["variant"] == name) & trials["packet_size"].str.isdigit()]
        testbeds = curves.testbeds_of(mine, "packet_size")
        # A line has a gap at a cell without a valid trial, and does not join rates that are bounded in different ways.
        for kind in sized.loc[sized["n"] > 0, "bounded_by"].unique():
            middle = sized["median_pps"].where(sized["bounded_by"] == kind) / unit
            line_x, line_y = curves.joined(
                list(sized["place"] + aside), middle, [testbeds.get(int(size)) for size in sized["packet_size"]]
            )
            axes.plot(line_x, line_y, color=colour, linestyle=line, linewidth=0.9, zorder=3)
        cell = cell[cell["n"] > 0]
        if len(cell):
            scaled = [cell[column] / unit for column in ("median_pps", "low_pps", "high_pps")]
            dashes = curves.draw_medians(axes, cell["place"] + aside, *scaled)
            numbers.carry_rows(dashes, cell, _cell_text)
        for row in cell.to_dict("records"):
            words = "†" * bool(row["generator_bound"]) + "↑" * bool(pd.isna(row["upper_pps"]))
            top = (row["place"] + aside, row["high_pps"] / unit)
            axes.annotate(words, top, (0, 2), textcoords="offset points", ha="center", color=colour)


def _baselines(cells: pd.DataFrame, tops: Sequence[float], *, reached: bool) -> str:
    """Return the range of rates without a tunnel in words: those below the top of an axis, or those beyond it."""
    values = cells[["baseline_pps", "cores"]].dropna()
    within = (values["baseline_pps"] / _K <= tops[0]) | (values["baseline_pps"] / values["cores"] / _K <= tops[1])
    found = sorted({f"{value / _K:.0f}" for value in values.loc[within == reached, "baseline_pps"]}, key=float)
    return f"{' to '.join(dict.fromkeys((found[0], found[-1])))} kpps" if found else ""


def _baseline(axes: "Axes", cells: pd.DataFrame, places: Mapping[str, float], unit: float, top: float) -> None:
    """Draw short dotted lines at the rate without a tunnel, for each size whose rate is within the axis."""
    for size, rows in cells.groupby("packet_size"):
        value = rows["baseline_pps"].max() / unit
        if pd.notna(value) and value <= top:
            place = places[str(size)]
            axes.hlines(value, place - 0.4, place + 0.4, color=GREY, linestyle=":", linewidth=1.1, zorder=1)


def _top(cells: pd.DataFrame, cores: Sequence[int]) -> float:
    """Return the upper end of an axis: all rates with tunnels, and those without unless they would flatten the
    others."""
    shares = pd.Series(list(cores), index=cells.index)
    own = float((cells[["high_pps", "upper_pps"]].max(axis=1) / shares).max()) / _K * 1.12
    plain = float((cells["baseline_pps"] / shares).max()) / _K * 1.06
    return plain if own < plain <= 1.6 * own else own


def _trial_text(row: Mapping[str, Any]) -> str:
    where = f"block {row['block']}, round {row['round']}, trial {row['trial_id']}"
    return f"{Cell.of(row)}\n{_bounds(row['lower_pps'], row['upper_pps'])}\n{where}"


def _cell_text(row: Mapping[str, Any]) -> str:
    spread = captions.spread_text({**row, "low": row["low_pps"], "high": row["high_pps"]}, _K)
    bounded = f"\n{_WORDS.get(row['bounded_by'], row['bounded_by'])}" if row["bounded_by"] else ""
    return f"{Cell.of(row)}\nmedian {_bounds(row['median_pps'], row['upper_pps'])}\n{spread}{bounded}"


def _bounds(lower: float, upper: float) -> str:
    if math.isnan(upper):
        return f"{lower / _K:.4g} kpps, no upper bound"
    return f"{lower / _K:.4g} kpps" if lower == upper else f"{lower / _K:.4g} to {upper / _K:.4g} kpps"
