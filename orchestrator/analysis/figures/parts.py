# SPDX-License-Identifier: Apache-2.0
"""What the figures share: sheets with a footer, lines of medians with every trial, and the sentences about them."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, GREY, STYLE, gbit, look
from orchestrator.stats import FEWEST_FOR_INTERVAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MANY_POINTS = 2000  # from here on points are drawn as pixels, so that vector files stay small
_FOOTER_PT = 5.6


def context_notes(run: Run) -> list[str]:
    """Where the numbers come from: topology, testbed, priority, what the setting cannot show."""
    testbed = run.testbed
    label = testbed.get("label") or "placement not recorded"
    where = f"{run.topology} on {testbed.get('name', 'an unnamed testbed')} ({label}); {realtime_note(run.trials)}."
    notes = ["Emulated: no real hardware behind these numbers."] if testbed.get("emulated") else []
    notes.append(where[0].upper() + where[1:])
    if testbed.get("provider") == "uml":
        notes.append("Links are veth: there is no RSS, and receive processing runs on the sender's CPU.")
    return notes


def realtime_note(trials: pd.DataFrame) -> str:
    """Whether the lab had real-time priority while trials ran."""
    known = trials["realtime"].dropna().astype(bool)
    if known.empty:
        return "real-time priority not recorded"
    on = int(known.sum())
    if 0 < on < len(known):
        return f"real-time priority on in {on} of {len(known)} trials"
    return f"real-time priority {'on' if on else 'off'}"


def sample_note(sizes: Iterable[int], *, explained: bool = True) -> str:
    """What marks and whiskers are, for cells with these numbers of trials; in short, how many trials there are."""
    found = sorted(set(sizes))
    if not found:
        return "No cell has a valid trial."
    n = f"n = {found[0]}" if len(found) == 1 else f"n = {found[0]} to {found[-1]}"
    if found == [1]:
        return "One trial a cell (n = 1): no spread is known."
    below, above = found[0] < FEWEST_FOR_INTERVAL, found[-1] >= FEWEST_FOR_INTERVAL
    if not explained:
        short = (
            "range"
            if not above
            else f"95 % interval, range below n = {FEWEST_FOR_INTERVAL}"
            if below
            else "95 % interval"
        )
        return f"Medians of {n} trials; whiskers: {short}."
    span = f"the range (too few trials for a 95 % interval, which takes {FEWEST_FOR_INTERVAL})"
    if above:
        span = "the order-statistic interval of the median, 95 % or more"
        span += f", and the range where n is below {FEWEST_FOR_INTERVAL}" if below else ""
    return f"Large marks: medians, {n} trials a cell; small marks: every trial; whiskers: {span}."


def loss_note(trials: pd.DataFrame, invalid: pd.DataFrame) -> str:
    """What is not in the medians, of these planned trials; empty if nothing is missing."""
    statuses = trials["status"].value_counts()
    parts = []
    if len(invalid):
        parts.append(f"{len(invalid)} invalid attempt{'s' * (len(invalid) != 1)} (hollow grey, not in the medians)")
    for status in ("invalid", "failed", "missing"):
        if count := int(statuses.get(status, 0)):
            ended = {"invalid": "stayed invalid", "failed": "failed", "missing": "not measured"}[status]
            parts.append(f"{count} of {len(trials)} trials {ended}")
    return f"{'; '.join(parts)}." if parts else ""


def bound_note(cells: pd.DataFrame) -> str:
    """The sentence for cells close to their baseline; empty if there is none."""
    if not bool(cells["generator_bound"].any()):
        return ""
    return "†: close to the baseline, so the generator may be the limit."


def sheet(width: float, height: float, footer: Sequence[str]) -> Figure:
    """An empty figure with ``footer`` at its foot, a sentence after another; axes keep clear of it.

    ``height`` is that of the plot alone, in inches: the footer is added below it.
    """
    characters = int(width * 72 / (_FOOTER_PT * 0.5))
    lines = textwrap.wrap(" ".join(filter(None, footer)), characters)
    foot = (len(lines) * _FOOTER_PT * 1.3 + 5) / 72
    figure = Figure(figsize=(width, height + foot), layout="constrained")
    bottom = foot / (height + foot)
    layout: Any = figure.get_layout_engine()
    layout.set(rect=(0.0, bottom, 1.0, 1.0 - bottom), w_pad=0.04, h_pad=0.04)
    figure.text(
        4 / (72 * width),
        3 / (72 * (height + foot)),
        "\n".join(lines),
        fontsize=_FOOTER_PT,
        color="#444444",
        va="bottom",
    )
    return figure


def nothing(run: Run, name: str, title: str, why: str, footer: Sequence[str] = ()) -> Drawing:
    """A figure that says what is missing, where there is nothing to draw."""
    if len(run.shared) and run.measured.empty:
        why = (
            "every valid trial was measured while another testbed of the run used the same computer (shared_computer)."
        )
    notes = [*filter(None, footer), *context_notes(run)]
    with mpl.rc_context(STYLE):
        figure = sheet(COLUMN_IN, 1.1, notes)
        message = "\n".join(textwrap.wrap(f"Nothing to draw: {why}", 52))
        figure.text(
            0.5,
            1 - 0.55 / figure.get_size_inches()[1],
            message,
            ha="center",
            va="center",
            fontsize=8,
            color="#333333",
        )
    return Drawing(name, title, figure, [f"Nothing to draw: {why}", *notes])


def shift(index: int, count: int, gap: float) -> float:
    """How far a variant's marks lie beside their place on the x axis, so that variants do not hide one another."""
    return (index - (count - 1) / 2) * min(0.09, 0.4 / max(1, count)) * gap


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
    """Medians joined by lines, whiskers, and every trial, a line a variant.

    ``places`` gives where a level of ``column`` lies on the x axis; ``gap`` is the smallest distance between two,
    of which variants take a small part each, so that they do not hide one another.
    """
    names = run.variants
    rasterized = len(trials) + len(invalid) > _MANY_POINTS
    for index, (name, (colour, marker, line)) in enumerate(look(names).items()):
        aside = shift(index, len(names), gap)
        mine = cells[(cells["variant"] == name) & (cells["n"] > 0)].sort_values(column)
        points, broken = trials[trials["variant"] == name], invalid[invalid["variant"] == name]
        for rows, face, edge, order in ((points, colour, "white", 6), (broken, "none", GREY, 2)):
            x = [places[int(level)] + aside for level in rows[column]]
            axes.scatter(
                x,
                rows["throughput_bps"] / 1e9,
                s=7 if face == colour else 9,
                marker=marker,
                facecolors=face,
                edgecolors=edge,
                linewidths=0.3 if face == colour else 0.7,
                alpha=0.7 if face == colour else 1.0,
                zorder=order,
                rasterized=rasterized,
            )
        if mine.empty:
            continue
        x = [places[int(level)] + aside for level in mine[column]]
        y = mine["median_bps"] / 1e9
        spread = [y - mine["low_bps"] / 1e9, mine["high_bps"] / 1e9 - y]
        axes.errorbar(x, y, yerr=spread, fmt="none", ecolor=colour, elinewidth=0.8, capsize=2, capthick=0.8, zorder=4)
        axes.plot(x, y, color=colour, linestyle=line, zorder=4, label=name)
        axes.scatter(x, y, s=30, marker=marker, facecolors="white", edgecolors=colour, linewidths=1.2, zorder=5)
        for place, top, bound in zip(x, mine["high_bps"] / 1e9, mine["generator_bound"], strict=True):
            if bound:
                axes.annotate("†", (place, top), (0, 2), textcoords="offset points", ha="center", color=colour)


def label_lines(
    axes: "Axes", run: Run, cells: pd.DataFrame, column: str, places: Mapping[int, float], gap: float
) -> None:
    """Each variant's name at the right end of its line, moved apart where two would touch. Set the y limits before."""
    low, high = axes.get_ylim()
    height = axes.get_window_extent().height / axes.figure.dpi * 72
    least = (high - low) * 8.5 / max(height, 30)
    ends: list[tuple[float, float, str, str]] = []
    for name, (colour, _, _) in look(run.variants).items():
        mine = cells[(cells["variant"] == name) & (cells["n"] > 0)].sort_values(column)
        if len(mine):
            last = mine.iloc[-1]
            ends.append((gbit(float(last["median_bps"])), places[int(last[column])], name, colour))
    ends.sort()
    right = max((place for _, place, _, _ in ends), default=0.0) + shift(len(run.variants) - 1, len(run.variants), gap)
    free = -least
    for y, _, name, colour in ends:
        free = max(y, free + least)
        axes.annotate(
            name,
            (right, free),
            (9, 0),
            textcoords="offset points",
            va="center",
            color=colour,
            fontsize=7,
            annotation_clip=False,
        )


def top_of(*series: pd.Series) -> float:
    """The upper end of a throughput axis in Gbit/s that starts at 0 and shows all values, with some air."""
    highest = max((float(values.max()) for values in series if len(values.dropna())), default=1e9)
    return gbit(highest) * 1.12 or 1.0


def draw_baseline(axes: "Axes", baselines: pd.Series, top: float) -> bool:
    """The throughput without a tunnel as a dotted line; as a number with an arrow where it is beyond ``top``.

    True if a line was drawn.
    """
    drawn = False
    for value in baselines.dropna().unique():
        if gbit(value) <= top:
            axes.axhline(gbit(value), color=GREY, linestyle=":", linewidth=1.1, zorder=1)
            drawn = True
        else:
            axes.text(
                0.98,
                0.985,
                f"no tunnel: {gbit(value):.3g} ↑",
                transform=axes.transAxes,
                ha="right",
                va="top",
                fontsize=6.2,
                color="#555555",
            )
    return drawn


def upper_limit(values: Iterable[pd.Series], baselines: pd.Series) -> float:
    """The upper end of a throughput axis in Gbit/s: it shows all values, and the baseline unless that flattens them."""
    top = top_of(*values)
    beyond = top_of(baselines) if len(baselines.dropna()) else top
    return max(top, beyond) if beyond <= 1.6 * top else top * 1.06


def legend_handles(run: Run, cells: pd.DataFrame, invalid: pd.DataFrame, baseline: bool) -> list[Line2D]:
    """Entries for the variants that are drawn, for the baseline's line and for invalid attempts."""
    drawn = set(cells.loc[cells["n"] > 0, "variant"])
    handles = [
        Line2D(
            [],
            [],
            color=colour,
            linestyle=line,
            marker=marker,
            markerfacecolor="white",
            markersize=4.5,
            label=name,
        )
        for name, (colour, marker, line) in look(run.variants).items()
        if name in drawn
    ]
    if baseline:
        handles.append(Line2D([], [], color=GREY, linestyle=":", linewidth=1.1, label="no tunnel"))
    if len(invalid):
        hollow: Any = {"marker": "o", "markersize": 3.2, "markerfacecolor": "none", "markeredgecolor": GREY}
        handles.append(Line2D([], [], linestyle="none", markeredgewidth=0.7, label="invalid attempt", **hollow))
    return handles


def legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    """A legend above the axes, in as many columns as the figure is wide for."""
    columns = 6 if figure.get_size_inches()[0] > COLUMN_IN else 4 if len(handles) == 4 else 3
    figure.legend(
        handles=list(handles),
        loc="outside upper center",
        ncols=columns,
        handlelength=2.4,
        columnspacing=1.0,
        handletextpad=0.5,
    )
