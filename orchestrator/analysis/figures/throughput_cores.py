# SPDX-License-Identifier: Apache-2.0
"""F1 and F3: throughput against cores, with one tunnel in total and with one tunnel per core."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter

from orchestrator.analysis.cells import cells as cells_of
from orchestrator.analysis.cells import efficiencies
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, limit_marks, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, STYLE, look
from orchestrator.analysis.settings import of_first_setting
from orchestrator.spec import Cell
from orchestrator.spec.role_cpus import OWN_CPUS
from orchestrator.stats import FEWEST_BOOTS, FEWEST_CORE_COUNTS, ideal_throughput, shows_scaling

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ONE_TUNNEL = ("f1-throughput-one-tunnel", "Throughput of one tunnel against the number of cores")
ONE_A_CORE = ("f3-throughput-cores", "Throughput against the number of cores, with one tunnel per core")
_IDEAL = "#9A9A9A"
_ABOVE_IDEAL = (
    "Above ideal ({names}): one virtual CPU switches between {who} for every few packets, and a second one saves part "
    "of that."
)


@of_first_setting
def one_tunnel(run: Run) -> Drawing:
    """Return F1 of a run: one tunnel in total."""
    return _against_cores(run, ONE_TUNNEL, per_core=False)


@of_first_setting
def one_tunnel_a_core(run: Run) -> Drawing:
    """Return F3 of a run: one tunnel per core, with the ideal line, and the parallel efficiency below."""
    return _against_cores(run, ONE_A_CORE, per_core=True)


def _against_cores(run: Run, about: tuple[str, str], *, per_core: bool) -> Drawing:
    name, title, quantity = about[0], parts.title_of(run, about[1]), run.quantity

    def chosen(frame: pd.DataFrame) -> pd.DataFrame:
        return frame[frame["tunnels"] == (frame["cores"] if per_core else 1)]

    cells, trials, invalid = chosen(cells_of(run)), chosen(run.measured), chosen(run.invalid)
    planned = chosen(run.planned)
    lost = captions.loss_note(planned, invalid)
    shown = cells[cells["n"] > 0]
    what = "one tunnel per core" if per_core else "one tunnel"
    if shown.empty and invalid.empty:
        why = f"no trial with {what} " + ("is in the plan." if planned.empty else "gave a throughput.")
        return parts.nothing(run, name, title, why, [lost])
    measured = sorted({int(c) for c in shown["cores"]})
    face = [captions.sample_note(cells, explained=False), _scaling_note(measured), captions.bound_note(cells)]
    face += [captions.modes_note(cells), lost, captions.pool_note(trials)]
    cores = sorted({int(c) for c in cells["cores"]})
    limits = limit_marks.limits_of(run, cells)
    face += [_axis_note(cores, per_core=per_core), limit_marks.note(limits), *captions.context_notes(run)]
    table = efficiencies(run) if per_core else pd.DataFrame()
    notes = [captions.sample_note(cells)]
    if per_core and quantity.is_throughput and not shown.empty:
        notes.append("Grey lines: linear scaling from each variant's smallest core count.")
    if len(table):
        notes.append(
            "Efficiency: throughput per core relative to that on one core; bounds from the spread of both cells."
        )
        face.append(f"Whiskers of efficiencies: {captions.whiskers(table['interval'])}.")
        above = _above_ideal(table)
        if run.testbed.get("provider") == "uml" and above:
            who = "polls and workers" if run.testbed.get("role_cpus") == OWN_CPUS else "sender, receiver and workers"
            face.append(_ABOVE_IDEAL.format(names=", ".join(above), who=who))
    notes = [note for note in [*notes, *face[1:]] if note]
    with mpl.rc_context(STYLE):
        figure, axes, below = _axes(run, face, bool(len(table)), limit_marks.height_pt(run, limits) / 72)
        places = _places_of(cores)
        gap = curves.smallest_gap(places.values())
        ideal = _ideal_lines(axes, run, shown, trials, places, gap) if per_core and quantity.is_throughput else 0.0
        values = [trials[quantity.column], invalid[quantity.column], shown[quantity.of("high")]]
        top = max(curves.top_of(*values, scale=quantity.scale), ideal * 1.05)
        doubling = per_core and places[cores[-1]] != cores[-1]
        _limit_rates(axes, top, trials[quantity.column] / quantity.scale if doubling and len(trials) else None)
        axes.set_xlim(*curves.limits(list(places.values()), gap))
        curves.draw_variants(axes, run, cells, trials, invalid, places, "cores", gap)
        limit_marks.draw(axes, run, limits, places, "cores")
        axes.set_ylabel(parts.value_label(run))
        (below or axes).set_xticks(list(places.values()), [str(count) for count in cores])
        remarks = [*(["virtual CPUs"] if run.virtual_time else []), *(["one tunnel each"] if per_core else [])]
        (below or axes).set_xlabel("Cores" + (f" ({', '.join(remarks)})" if remarks else ""))
        if below is not None:
            _draw_efficiency(below, run, table, places, gap)
        handles = parts.legend_handles(run, cells, invalid, baseline=False)
        if len(cores) > 1:
            curves.label_lines(axes, run, cells, "cores", places, gap)
            handles = [handle for handle in handles if handle.get_label() not in run.variants]
        if ideal:
            handles.append(Line2D([], [], color=_IDEAL, linewidth=0.8, label="ideal: linear scaling"))
        if handles:  # only if no line has an end for its name: names would lie on the points
            parts.legend(figure, handles)
    return Drawing(name, title, figure, notes)


def _scaling_note(cores: Sequence[int]) -> str:
    if shows_scaling(cores):
        return ""
    counts = {0: "No core count", 1: "One core count"}.get(len(cores), "Two core counts")
    return f"{counts} with valid trials; a claim about scaling needs {FEWEST_CORE_COUNTS} or more."


def _axes(run: Run, notes: Sequence[str], two: bool, above: float) -> "tuple[Figure, Axes, Axes | None]":
    """Return a figure with one or ``two`` axes, and ``above`` inches of space above them."""
    figure = parts.sheet(run, COLUMN_IN, (3.1 if two else 2.2) + above, notes)
    if not two:
        return figure, figure.subplots(), None
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2.2, 1])
    return figure, upper, lower


def _places_of(cores: Sequence[int]) -> dict[int, float]:
    """Return the place of each core count on the x axis: its value, or its binary logarithm if the counts grow by
    doubling, so that small ones do not overlap."""
    steps = [b - a for a, b in itertools.pairwise(cores)]
    doubling = bool(steps) and cores[-1] >= 8 * cores[0] and max(steps) >= 4 * min(steps)
    return {count: math.log2(count) if doubling else float(count) for count in cores}


def _axis_note(cores: Sequence[int], *, per_core: bool) -> str:
    if not cores or _places_of(cores)[cores[-1]] == cores[-1]:
        return ""
    return "The axes of cores and throughput are logarithmic." if per_core else "The axis of cores is logarithmic."


def _limit_rates(axes: "Axes", top: float, trials: pd.Series | None) -> None:
    """Set the throughput axis from 0 to ``top``; given ``trials``, make it logarithmic from the lowest of them on.

    With core counts that double, linear scaling is then a straight line.
    """
    if trials is None:
        axes.set_ylim(0, top)
        return
    bottom = float(trials.min()) / 1.3
    axes.set_yscale("log", base=2)
    axes.set_ylim(bottom, top * 1.1)
    axes.yaxis.set_major_locator(FixedLocator([2.0**power for power in range(-10, 12)]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _above_ideal(table: pd.DataFrame) -> list[str]:
    """Return the variants with an efficiency above 1 by a whole interval over boots, so that it is not noise.

    With one boot per core count, the variation between boots is unknown.
    """
    above = table[(table["low"] > 1.0) & (table["boots"] >= FEWEST_BOOTS) & ~table["interval"].str.startswith("range")]
    return list(dict.fromkeys(map(str, above["variant"])))


def _ideal_lines(
    axes: "Axes", run: Run, shown: pd.DataFrame, trials: pd.DataFrame, places: Mapping[int, float], gap: float
) -> float:
    """Draw one line per variant from its lowest core count on, as far as the same testbed measured it.

    Return the highest point drawn, in the quantity's unit.
    """
    highest = 0.0
    for index, name in enumerate(run.variants):
        mine = shown[shown["variant"] == name].sort_values("cores")
        if mine.empty:
            continue
        testbeds = curves.testbeds_of(trials[trials["variant"] == name], "cores")
        alike = [count for count, where in testbeds.items() if where == testbeds.get(int(mine.iloc[0]["cores"]))]
        last = list(places)[-1] if len(set(testbeds.values())) == 1 else max(alike, default=0)
        if int(mine.iloc[0]["cores"]) >= last:
            continue
        first, start = int(mine.iloc[0]["cores"]), float(mine.iloc[0][run.quantity.of("median")])
        aside = curves.shift(index, len(run.variants), gap)
        # Many points between the ends: on a logarithmic x axis, the line is a curve.
        along = np.linspace(places[first], places[last], 64)
        counts = along if places[first] == first else 2.0**along
        ideal = [ideal_throughput(start, first, float(count)) / run.quantity.scale for count in counts]
        axes.plot(along + aside, ideal, color=_IDEAL, linewidth=0.8, zorder=1)
        highest = max(highest, ideal[-1])
    return highest


def _efficiency_text(row: Mapping[str, Any]) -> str:
    against = f"against {captions.count(row['reference_cores'], 'core')}"
    return f"{Cell.of(row)}\nefficiency {row['median']:.3g} {against}\n{captions.spread_text(row)}"


def _draw_efficiency(axes: "Axes", run: Run, table: pd.DataFrame, places: Mapping[int, float], gap: float) -> None:
    names = run.variants
    axes.axhline(1.0, color=_IDEAL, linewidth=0.8, zorder=1)
    asides: Mapping[str, float] = {name: curves.shift(i, len(names), gap) for i, name in enumerate(names)}
    for name, (colour, marker, line) in look(names).items():
        mine = table[table["variant"] == name].sort_values("cores")
        if mine.empty:
            continue
        x = mine["cores"].map(places).astype("float64") + asides[name]
        spread = [mine["median"] - mine["low"], mine["high"] - mine["median"]]
        axes.errorbar(x, mine["median"], yerr=spread, fmt="none", ecolor=BLACK, elinewidth=0.7, zorder=4)
        every = mine.set_index("cores")["median"].reindex(list(places))  # with a gap without an efficiency
        every[int(mine["reference_cores"].iloc[0])] = 1.0
        axes.plot([place + asides[name] for place in places.values()], every, color=colour, linestyle=line, zorder=3)
        marks = axes.scatter(x, mine["median"], s=14, marker=marker, color=colour, linewidths=0, zorder=5)
        numbers.carry_rows(marks, mine, _efficiency_text)
    top = max(1.25, float(table["high"].max()) * 1.08)
    axes.set_ylim(0, top)
    axes.set_yticks([0.5 * i for i in range(int(top / 0.5) + 1)])
    axes.set_ylabel("Parallel\nefficiency")
