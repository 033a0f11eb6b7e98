# SPDX-License-Identifier: Apache-2.0
"""F5: how many times as much a variant carries, and the ratios that the paper's claims are about, beside what was
published."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from orchestrator.analysis.cells import LEVELS, Key, ratios, throughputs
from orchestrator.analysis.claims import Evidence, Verdict, verify
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers, panels, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, GREY, PUBLISHED_COLOUR, STYLE, look
from orchestrator.stats import FEWEST_FOR_INTERVAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BETWEEN = ("f5-speed-ups", "Speed-up over {reference}, at the same cores and tunnels")
PUBLISHED = ("f5-speed-ups-published", "The ratios that the paper's claims are about, beside the published values")
_ROW_IN, _PLOT_PT, _SMALL_PT = 0.42, 155.0, 6.2  # a row's height; about how wide the axes are; the marks' names
_TICKS = (0.25, 0.5, 1, 2, 4, 8, 16, 32)


def pairs(run: Run, reference: str) -> pd.DataFrame:
    """One row a pair: the levels, testbed, block, round, ratio, and reference, whose throughput there it is over."""
    trials = run.measured[[*LEVELS, "testbed", "block", "round", "throughput_bps"]]
    below = trials[(trials["variant"] == reference) & (trials["throughput_bps"] > 0)].drop(columns="variant")
    shared = [*LEVELS[1:], "testbed", "block", "round"]
    both = trials[trials["variant"] != reference].merge(below, on=shared, suffixes=("", "_of_reference"))
    return both.assign(ratio=both["throughput_bps"] / both["throughput_bps_of_reference"], reference=reference)


def speed_ups(run: Run) -> Drawing:
    """F5 of a run: paired ratios to the reference variant, a panel a core count."""
    reference = str(run.reference)
    name, title = BETWEEN[0], BETWEEN[1].format(reference=reference)
    planned = run.trials[run.trials["kind"] == "measure"]
    lost = captions.loss_note(planned, run.invalid, drawn=False)
    table, points = ratios(run), pairs(run, reference)
    if table.empty:
        few = len(run.variants) < 2
        why = (
            "the plan has one variant." if few else f"no round has a valid trial of {reference} and of another variant."
        )
        return parts.nothing(run, name, title, why, [lost])
    counts = sorted({int(cores) for cores in table["cores"]})
    face = [_pairs_note(table, explained=False), captions.unpaired_note(table), lost, *captions.context_notes(run)]
    notes = [note for note in [_pairs_note(table), *face[1:]] if note]
    others = [variant for variant in run.variants if variant != reference]
    top = float(max(table["high"].max(), points["ratio"].max(), 1.0)) * 1.12
    with mpl.rc_context(STYLE):
        figure, grid = panels.sheet_of(run, counts, face)
        across = panels.columns(len(counts))
        for place, (axes, cores) in enumerate(zip(grid, counts, strict=True)):
            here, mine = table[table["cores"] == cores], points[points["cores"] == cores]
            levels = sorted({int(tunnels) for tunnels in planned.loc[planned["cores"] == cores, "tunnels"]})
            places = panels.places_of(levels)
            axes.axhline(1.0, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
            for index, variant in enumerate(others):
                aside = parts.shift(index, len(others), 1.0)
                _draw_ratios(axes, run, variant, here, mine, places, aside)
            axes.set_ylim(0, top)
            panels.finish(axes, place, counts, levels, f"Times {reference}")
        last = table[table["cores"] == counts[across - 1]]
        handles = [Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label=reference)]
        if set(last["variant"]) == set(table["variant"]) and last["tunnels"].nunique() > 1:
            axes = grid[across - 1]
            rightmost = planned.loc[planned["cores"] == counts[across - 1], "tunnels"].nunique() - 1.0
            ends = {
                variant: float(rows.sort_values("tunnels")["median"].iloc[-1])
                for variant, rows in last.groupby("variant")
            }
            parts.label_ends(axes, run, {str(name): end for name, end in ends.items()}, rightmost, 1.0)
        else:
            handles = [*parts.variant_handles(run, set(table["variant"])), *handles]
        parts.legend(figure, handles)
    return Drawing(name, title, figure, notes)


def _draw_ratios(
    axes: "Axes",
    run: Run,
    variant: str,
    table: pd.DataFrame,
    points: pd.DataFrame,
    places: Mapping[int, float],
    aside: float,
) -> None:
    colour, marker, line = look(run.variants)[variant]
    width = parts.slot(len(run.variants) - 1)
    mine = points[points["variant"] == variant]
    rows = table[table["variant"] == variant].sort_values("tunnels")
    if rows.empty:
        return
    x = mine["tunnels"].map(places).astype("float64") + aside + parts.jitter(mine) * 0.7 * width
    style: dict[str, Any] = {"s": 9, "marker": marker, "color": colour, "linewidths": 0, "alpha": 0.55, "zorder": 4}
    drawn = axes.scatter(x, mine["ratio"], rasterized=parts.are_many(points), **style)
    numbers.carry_rows(drawn, mine, _pair_text)
    x = rows["tunnels"].map(places).astype("float64") + aside
    every = rows.set_index("tunnels")["median"].reindex(list(places))  # with a gap where there is no pair
    axes.plot([place + aside for place in places.values()], every, color=colour, linestyle=line, zorder=3)
    dashes = parts.draw_medians(axes, x, rows["median"], rows["low"], rows["high"])
    numbers.carry_rows(dashes, rows, _ratio_text)


def _pair_text(row: Mapping[str, Any]) -> str:
    return f"{Key.of(row)}\n{row['ratio']:.3g} times {row['reference']}\nblock {row['block']}, round {row['round']}"


def _ratio_text(row: Mapping[str, Any]) -> str:
    return f"{Key.of(row)}\n{row['median']:.3g} times {row['reference']}\n{captions.spread_text(row)} pairs"


def _pairs_note(table: pd.DataFrame, *, explained: bool = True) -> str:
    sizes = sorted({int(n) for n in table["n"]})
    n = f"n = {sizes[0]}" if len(sizes) == 1 else f"n = {sizes[0]} to {sizes[-1]}"
    whiskers = (
        "95 % interval of the median"
        if sizes[0] >= FEWEST_FOR_INTERVAL
        else "range"
        if sizes[-1] < FEWEST_FOR_INTERVAL
        else f"95 % interval of the median, range below n = {FEWEST_FOR_INTERVAL}"
    )
    if not explained:
        return f"Medians of {n} pairs; whiskers: {whiskers}."
    return (
        "Each mark: a trial's throughput over that of the reference in the same block and round. "
        f"Dashes: medians, {n} pairs a cell. Whiskers: {whiskers}."
    )


def published(run: Run) -> Drawing:
    """F5 of a run: a row for each ratio that a claim is tested by, measured here and as published."""
    name, title = PUBLISHED
    found = [(v, e) for v in verify(run) for e in v.evidence if e.statistic == "ratio" and e.published_value]
    measured = [(v, e) for v, e in found if e.median is not None]
    if not measured:
        return parts.nothing(run, name, title, "the run has no valid trials of the cells that a claim is about.")
    absent = [f"{v.claim} ({e.name})" for v, e in found if e.median is None]
    cells = {e.cores for _, e in measured if e.cores}
    at = f"{min(cells)}" if len(cells) == 1 else f"{min(cells)} to {max(cells)}"
    planned = run.trials[run.trials["kind"] == "measure"]
    face = [
        f"Purple diamonds: as published, for other hardware. Black: measured here, with {at} cores.",
        _whiskers_note([e.n for _, e in measured]),
        f"Without a number here: {', '.join(absent)}." if absent else "",
        captions.loss_note(planned, run.invalid, drawn=False),
        *captions.context_notes(run),
    ]
    sources = sorted({f"{v.claim}: {v.source}" for v, _ in measured})
    notes = [note for note in [*face, "Published values from:", "; ".join(sources) + "."] if note]
    values = throughputs(run.measured)
    by_name = {str(key): value for key, value in values.items()}
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN, 0.55 + _ROW_IN * len(measured), face)
        axes = figure.subplots()
        extremes = [1.0]
        for place, (verdict, evidence) in enumerate(measured):
            extremes += _draw_row(axes, -place, verdict, evidence, by_name)
        axes.axvline(1.0, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
        axes.set_xscale("log")
        axes.set_xlim(min(extremes) / 1.25, max(extremes) * 1.25)
        for place, (_, evidence) in enumerate(measured):
            _name_marks(axes, -place, evidence)
        axes.xaxis.set_major_locator(FixedLocator(_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.set_xlabel("Times as much (logarithmic)")
        axes.set_ylim(-len(measured) + 0.4, 0.6)
        axes.set_yticks([-i for i in range(len(measured))], [_row_name(v, e) for v, e in measured])
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="x")
        axes.grid(visible=False, axis="y")
    return Drawing(name, title, figure, notes)


def _whiskers_note(sizes: Sequence[int]) -> str:
    fewest, most = min(sizes), max(sizes)
    n = f"n = {fewest}" if fewest == most else f"n = {fewest} to {most}"
    span = "95 % interval" if fewest >= FEWEST_FOR_INTERVAL else "range where n is below 6, else the 95 % interval"
    return f"Dots: pairs ({n}); bar: median; line: {span}."


def _row_name(verdict: Verdict, evidence: Evidence) -> str:
    above, below = ((cell.split(", ")[0], cell.split(", ")[-1]) for cell in (evidence.of, evidence.to))
    return f"{verdict.claim}  {', '.join(above)}\nover {', '.join(below)}"


def _name_marks(axes: "Axes", y: float, evidence: Evidence) -> None:
    """The measured number above its mark, the published one below, both inside the axes. Set the x limits before."""
    median, goal = float(evidence.median or 0.0), float(evidence.published_value or 1.0)
    rows = ((median, f"{median:.3g}", BLACK, 5), (goal, f"published: {evidence.published}", PUBLISHED_COLOUR, -5))
    low, high = axes.get_xlim()
    for x, text, colour, up in rows:
        half = 0.02 + len(text) * 0.29 * _SMALL_PT / _PLOT_PT  # about half of its width, as a share of the axes'
        along = min(max(math.log(x / low) / math.log(high / low), half), 1 - half)
        style: dict[str, Any] = {"fontsize": _SMALL_PT, "color": colour, "va": "bottom" if up > 0 else "top"}
        across = axes.get_yaxis_transform()
        axes.annotate(text, (along, y), (0, up), across, textcoords="offset points", ha="center", **style)


def _draw_row(
    axes: "Axes", y: float, verdict: Verdict, evidence: Evidence, values: Mapping[str, Mapping[Any, float]]
) -> list[float]:
    """Draw a row at the height ``y``; returns what must lie within the axis."""
    above, below = values[evidence.of], values[evidence.to]
    shared = [above[key] / below[key] for key in above if below.get(key, 0) > 0]
    median, low, high = (float(value or 0.0) for value in (evidence.median, evidence.low, evidence.high))
    goal = float(evidence.published_value or 1.0)
    spread = [0.16 * (i / max(1, len(shared) - 1) - 0.5) for i in range(len(shared))]
    axes.scatter(shared, [y + s for s in spread], s=7, color=BLACK, alpha=0.4, linewidths=0, zorder=3)
    axes.plot([low, high], [y, y], color=BLACK, linewidth=0.8, zorder=4)
    dash = axes.scatter([median], [y], s=60, marker="|", color=BLACK, linewidths=1.6, zorder=5)
    mark = axes.scatter(
        [goal], [y], s=26, marker="D", facecolors="none", edgecolors=PUBLISHED_COLOUR, linewidths=1.2, zorder=5
    )
    about = f"{verdict.claim}, {evidence.name}"
    spread_text = f"{evidence.interval} {low:.3g} to {high:.3g}, n = {evidence.n}"
    cells = f"{evidence.of}\nover {evidence.to}"
    numbers.carry(dash, [f"{about}\nmeasured here: {median:.3g} times\n{spread_text}\n{cells}\n{verdict.verdict}"])
    numbers.carry(mark, [f"{about}\npublished: {evidence.published}\n{verdict.source}"])
    return [*shared, low, high, goal]
