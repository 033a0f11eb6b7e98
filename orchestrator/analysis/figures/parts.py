# SPDX-License-Identifier: Apache-2.0
"""Parts that the figures share: sheets with a footer, titles, axis names and legends."""

import functools
import itertools
import math
import textwrap
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, MaxNLocator

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, GREY, STYLE, look
from orchestrator.analysis.quantity import THROUGHPUT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOTHING = "Nothing to draw:"  # first words in the notes of an empty figure
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


def cost_axis(axes: "Axes", run: Run) -> None:
    """Make the axis along the bars one of CPU time per packet."""
    axes.set_xlabel("CPU time of a packet in ns" + (" of virtual time" if run.virtual_time else ""))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.grid(axis="x")
    axes.grid(False, axis="y")


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
