# SPDX-License-Identifier: Apache-2.0
"""Panels side by side, one per core count, each with the tunnels on its x axis."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, parts
from orchestrator.analysis.figures.style import COLUMN_IN, PAGE_IN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TITLE_PAD_PT = 6.0  # of matplotlib


def columns(count: int) -> int:
    """Return how many of ``count`` panels stand side by side."""
    return min(count, 2 if count in (2, 4) else 3)


def sheet_of(run: Run, counts: Sequence[int], footer: Sequence[str], above: float = 0.0) -> "tuple[Figure, list[Axes]]":
    """Return a sheet with one panel per core count, in order; the panels of a row share the y axis.

    ``above``: the space between the axes and the title of each panel, in points.
    """
    across = columns(len(counts))
    rows = math.ceil(len(counts) / across)
    figure = parts.sheet(run, COLUMN_IN if across < 3 else PAGE_IN, 0.3 + (1.8 + above / 72) * rows, footer)
    grid = list(figure.subplots(rows, across, squeeze=False, sharey="row").ravel())
    for axes in grid[len(counts) :]:
        axes.set_visible(False)
    return figure, grid[: len(counts)]


def places_of(levels: Sequence[int]) -> dict[int, float]:
    """Return the place of each number of tunnels on the x axis: its binary logarithm, since the numbers grow by
    doubling."""
    return {level: math.log2(level) for level in levels}


def finish(
    axes: "Axes", place: int, counts: Sequence[int], levels: Sequence[int], quantity: str, above: float = 0.0
) -> None:
    """Set title, ticks and axis names of the panel at ``place``; the title is ``above`` points higher than usual."""
    across = columns(len(counts))
    places = list(places_of(levels).values())
    axes.set_xticks(places, [str(level) for level in levels])
    axes.set_xlim(*curves.limits(places, curves.smallest_gap(places)))
    axes.set_title(captions.count(counts[place], "core"), pad=_TITLE_PAD_PT + above)
    if place + across >= len(counts):
        axes.set_xlabel("Tunnels (logarithmic)" if len(levels) > 1 else "Tunnels")
    if place % across == 0:
        axes.set_ylabel(quantity)
