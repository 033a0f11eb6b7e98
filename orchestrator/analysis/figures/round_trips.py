# SPDX-License-Identifier: Apache-2.0
"""Round-trip times under load: quantiles for each variant at the place with the most cores and tunnels, a panel per
load."""

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, PAGE_IN, STYLE, look
from orchestrator.analysis.latency import latencies
from orchestrator.analysis.standings import in_order_of_size, place_in_words
from orchestrator.spec import Cell
from orchestrator.spec.factors import factor_of, ordered

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "round-trips"
TITLE = "Round-trip times beside the traffic"
_LOST = 0.01  # share of requests without an answer above which it is stated
_MOST_PANELS = 4
_QUANTILES = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99", "p999_ms": "p99.9"}


def round_trips(run: Run) -> Drawing:
    """Return quantiles of the round-trip time through the first tunnel beside the traffic, for each trial and as
    medians.

    There is a panel per load: a share of the rate that a search found, or a setting of further factors; at most four.
    """
    found = latencies(run)
    found = found[(found["kind"] == "measure") & found["n"].gt(0)]
    if found.empty:
        why = "no valid trial timed round trips; `probes: {latency: {}}` in a spec asks for that."
        return parts.nothing(run, NAME, TITLE, why)
    cells = [Cell.of(row) for row in found.to_dict("records")]
    size = _size(in_order_of_size(cells)[0])
    kept = [_size(cell.place) == size for cell in cells]
    found, cells = found[kept], [cell for cell, here in zip(cells, kept, strict=True) if here]
    loads = [(cell.place, float(at)) for cell, at in zip(cells, found["at"], strict=True)]
    in_order = sorted(set(loads), key=_from_low)
    panels = [(_title(load, in_order), found[[one == load for one in loads]]) for load in in_order[:_MOST_PANELS]]
    notes = _notes(run, size, panels, len(in_order))
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN if len(panels) == 1 else PAGE_IN, 2.2, notes)
        grid = figure.subplots(1, len(panels), squeeze=False, sharey=True)[0]
        names = [name for name in run.variants if name in set(found["variant"])]
        for axes, (title, here) in zip(grid, panels, strict=True):
            axes.set_title(title)
            axes.set_xlabel("Quantile of the round-trip times of a trial" if title == "" else "Quantile in a trial")
            _draw(axes, run, names, here)
        grid[0].set_yscale("log")
        grid[0].set_ylabel(run.in_its_time("Round-trip time in ms"))
        parts.legend(figure, parts.variant_handles(run, names))
    return Drawing(NAME, TITLE, figure, notes)


def _size(place: Cell) -> Cell:
    """Return the cores, tunnels and packet size of a place, without further factors."""
    return Cell("", place.cores, place.tunnels, place.packet_size)


def _from_low(load: tuple[Cell, float]) -> tuple[Any, ...]:
    """Return the sort key of a load: numbers from low to high, then words, which mean the highest (`max`)."""
    place, at = load
    return *((isinstance(level, str), ordered(level)) for level in place.more.values()), at


def _title(load: tuple[Cell, float], loads: list[tuple[Cell, float]]) -> str:
    """Return the words that tell a load from the others; empty for a single load."""
    (place, at), names = load, [name for name in load[0].more if len({one.more[name] for one, _ in loads}) > 1]
    words = [f"{factor_of(name).label} {captions.level_in_words(name, place.more[name])}" for name in names]
    if len({share for _, share in loads}) > 1:
        words.append(f"{at:.0%} of its rate")
    return ",\n".join(words)


def _notes(run: Run, size: Cell, panels: list[tuple[str, pd.DataFrame]], loads: int) -> list[str]:
    here = pd.concat([rows for _, rows in panels])
    counts = [count for _, rows in panels for count in rows.groupby("variant").size()]
    fewest = captions.count(int(here["n"].min()), "answer")
    each = " and load" * (len(panels) > 1)
    sizes = captions.sizes_in_words(counts)
    notes = [f"With {place_in_words(size)}; {sizes} trials per variant{each}, each with {fewest} or more."]
    if here["offered_pps"].notna().any():
        rates = here.groupby(["variant", "at"], sort=False)["offered_pps"].median() / 1e3
        of_variant = {
            name: " and ".join(f"{rate:.3g}" for rate in sorted(rates[name])) for name in run.variants if name in rates
        }
        said = "; ".join(f"{name}, {text}" for name, text in of_variant.items())
        notes.append(f"Each variant has shares of the packet rate found for it. Medians in kpps: {said}.")
    if loads > len(panels):
        notes.append(f"{captions.count(loads - len(panels), 'other load')} in the tables.")
    lost = 1 - float(here["n"].sum() / here["sent"].sum())
    if lost > _LOST:
        notes.append(f"{lost:.0%} of the requests had no answer within a second of the end: their times are missing.")
    notes.append("Lines: medians of the trials' quantiles. Echo requests of 84 bytes through the first tunnel.")
    if here["p999_ms"].isna().any():
        notes.append("p99.9 takes 1000 answers in a trial, which is latency's rate times the duration.")
    notes.append("Each time includes two system calls of the client's process and its waits for a CPU.")
    return notes + captions.context_notes(run)


def _draw(axes: "Axes", run: Run, names: list[str], here: pd.DataFrame) -> None:
    shown = [column for column in _QUANTILES if here[column].notna().any()]
    for index, name in enumerate(names):
        colour, marker, line = look(run.variants)[name]
        mine = here[here["variant"] == name]
        aside = curves.shift(index, len(names), 1.0)
        axes.plot([at + aside for at in range(len(shown))], mine[shown].median(), color=colour, linestyle=line)
        for at, column in enumerate(shown):
            rows = mine[mine[column].notna()]
            style: Any = {"s": 9, "marker": marker, "color": colour, "alpha": 0.55, "linewidths": 0, "zorder": 4}
            marks = axes.scatter([at + aside] * len(rows), rows[column], **style)
            label = _QUANTILES[column]
            numbers.carry(marks, [f"{name}, {label}\n{value:.3g} ms" for value in rows[column]])
    axes.set_xticks(range(len(shown)), [_QUANTILES[column] for column in shown])
    axes.grid(axis="y", which="both")
