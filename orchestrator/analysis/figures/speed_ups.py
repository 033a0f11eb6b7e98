# SPDX-License-Identifier: Apache-2.0
"""F5: the throughput of each variant relative to the reference, at the same cores and tunnels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.lines import Line2D

from orchestrator.analysis.cells import ratios
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, numbers, panels, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import GREY, STYLE, look
from orchestrator.analysis.settings import of_first_setting
from orchestrator.analysis.standings import listed, place_in_words
from orchestrator.spec import Cell

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BETWEEN = ("f5-speed-ups", "Speed-up over {reference}, at the same cores and tunnels")


def pairs(run: Run, reference: str) -> pd.DataFrame:
    """Return one row per pair: the levels, testbed, block, round, ratio, and reference (the variant it is relative
    to)."""
    trials = run.measured[[*run.levels, "testbed", "block", "round", run.quantity.column]]
    below = trials[(trials["variant"] == reference) & (trials[run.quantity.column] > 0)].drop(columns="variant")
    shared = [*run.levels[1:], "testbed", "block", "round"]
    both = trials[trials["variant"] != reference].merge(below, on=shared, suffixes=("", "_of_reference"))
    return both.assign(
        ratio=both[run.quantity.column] / both[f"{run.quantity.column}_of_reference"], reference=reference
    )


@of_first_setting
def speed_ups(run: Run) -> Drawing:
    """Return F5 of a run: paired ratios to the reference variant, one panel per core count."""
    reference = str(run.reference)
    name, title = BETWEEN[0], BETWEEN[1].format(reference=reference)
    quantity = run.quantity
    better = "" if quantity.is_throughput else f"\n({quantity.direction})"
    title = title if quantity.is_throughput else f"{quantity.label} over that of {reference} ({quantity.direction})"
    lost = captions.loss_note(run.planned, run.invalid, drawn=False)
    table, points = ratios(run), pairs(run, reference)
    if table.empty:
        few = len(run.variants) < 2
        why = (
            "the plan has one variant." if few else f"no round has a valid trial of {reference} and of another variant."
        )
        return parts.nothing(run, name, title, why, [lost])
    counts = sorted({int(cores) for cores in table["cores"]})
    face = [_pairs_note(run, table, explained=False), captions.unpaired_note(table), _modes_note(table), lost]
    face += [captions.pool_note(points), *captions.context_notes(run)]
    notes = [note for note in [_pairs_note(run, table), *face[1:]] if note]
    others = [variant for variant in run.variants if variant != reference]
    top = float(max(table["high"].max(), points["ratio"].max(), 1.0)) * 1.12
    ratio = "Speed-up over" if run.quantity.is_throughput else "Ratio to"
    with mpl.rc_context(STYLE):
        figure, grid = panels.sheet_of(run, counts, face)
        across = panels.columns(len(counts))
        for place, (axes, cores) in enumerate(zip(grid, counts, strict=True)):
            here, mine = table[table["cores"] == cores], points[points["cores"] == cores]
            levels = sorted({int(tunnels) for tunnels in run.planned.loc[run.planned["cores"] == cores, "tunnels"]})
            places = panels.places_of(levels)
            gap = curves.smallest_gap(places.values())
            axes.axhline(1.0, color=GREY, linestyle=":", linewidth=1.1, zorder=1)
            for index, variant in enumerate(others):
                aside = curves.shift(index, len(others), gap)
                _draw_ratios(axes, run, variant, here, mine, places, aside)
            axes.set_ylim(0, top)
            panels.finish(axes, place, counts, levels, f"{ratio} {reference}{better}")
        last = table[table["cores"] == counts[across - 1]]
        handles = [Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label=reference)]
        if set(last["variant"]) == set(table["variant"]) and last["tunnels"].nunique() > 1:
            axes = grid[across - 1]
            here = run.planned[run.planned["cores"] == counts[across - 1]]
            rightmost = panels.places_of(sorted({int(tunnels) for tunnels in here["tunnels"]})).values()
            ends = {
                variant: float(rows.sort_values("tunnels")["median"].iloc[-1])
                for variant, rows in last.groupby("variant")
            }
            curves.label_ends(
                axes,
                run,
                {str(name): end for name, end in ends.items()},
                max(rightmost),
                curves.smallest_gap(rightmost),
            )
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
    width = curves.slot(len(run.variants) - 1) * curves.smallest_gap(places.values())
    mine = points[points["variant"] == variant]
    rows = table[table["variant"] == variant].sort_values("tunnels")
    if rows.empty:
        return
    x = mine["tunnels"].map(places).astype("float64") + aside + curves.jitter(mine) * 0.7 * width
    style: dict[str, Any] = {"s": 9, "marker": marker, "color": colour, "linewidths": 0, "alpha": 0.55, "zorder": 4}
    drawn = axes.scatter(x, mine["ratio"], rasterized=curves.are_many(points), **style)
    numbers.carry_rows(drawn, mine, _pair_text)
    x = rows["tunnels"].map(places).astype("float64") + aside
    every = rows.set_index("tunnels")["median"].reindex(list(places))  # with a gap without a pair
    testbeds = curves.testbeds_of(mine, "tunnels")
    line_x, line_y = curves.joined([place + aside for place in places.values()], every, list(map(testbeds.get, places)))
    axes.plot(line_x, line_y, color=colour, linestyle=line, zorder=3)
    dashes = curves.draw_medians(axes, x, rows["median"], rows["low"], rows["high"])
    numbers.carry_rows(dashes, rows, _ratio_text)


def _pair_text(row: Mapping[str, Any]) -> str:
    return f"{Cell.of(row)}\n{row['ratio']:.3g} times {row['reference']}\nblock {row['block']}, round {row['round']}"


def _ratio_text(row: Mapping[str, Any]) -> str:
    return f"{Cell.of(row)}\n{row['median']:.3g} times {row['reference']}\n{captions.spread_text(row)} pairs"


def _modes_note(table: pd.DataFrame) -> str:
    """Return a sentence for ratios of cells with several modes; empty if there are none."""
    rows = table[table["modes"] != ""].to_dict("records")
    if not rows:
        return ""
    places = listed(list(dict.fromkeys(place_in_words(Cell.of(row)) for row in rows)))
    return f"With {places} one side is in two modes, and the median ratio may lie between those of the modes."


def _pairs_note(run: Run, table: pd.DataFrame, *, explained: bool = True) -> str:
    n = captions.sizes_in_words(int(n) for n in table["n"])
    whiskers = captions.whiskers(table.loc[table["n"] > 1, "interval"])
    what = "throughput" if run.quantity.is_throughput else "value"
    if not explained:
        return f"Medians of {n} pairs; whiskers: {whiskers}."
    return (
        f"Each mark: a trial's {what} over that of the reference in the same block and round. "
        f"Dashes: medians, {n} pairs per cell. Whiskers: {whiskers}."
    )
