# SPDX-License-Identifier: Apache-2.0
"""The look of figures: a paper's column width, colours for every colour vision, and shapes that survive greyscale."""

from collections.abc import Sequence
from typing import Any

COLUMN_IN = 3.5  # one column of a two-column paper
PAGE_IN = 7.16  # both columns

# Okabe and Ito, "Color Universal Design", 2008: distinguishable with any colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY = "#767676"
FAINT = "#D9D9D9"
PUBLISHED_COLOUR = "#8F3B76"  # for published values, as opposed to measured ones: no variant has it

# Colour, marker and line of a variant. Fixed for shipped variants, so that figures of different runs agree.
_KNOWN: dict[str, tuple[str, str, Any]] = {
    "vanilla": (BLUE, "o", "-"),
    "threaded": (VERMILION, "s", (0, (5, 1.5))),
    "inline": (GREEN, "^", (0, (3, 1, 1, 1))),
}
_OTHERS: Sequence[tuple[str, str, Any]] = (
    (PURPLE, "D", (0, (1, 1))),
    (ORANGE, "v", (0, (6, 1, 1, 1, 1, 1))),
    (SKY, "P", (0, (2, 1))),
    (BLACK, "X", (0, (8, 2))),
)

STYLE: Any = {  # matplotlib's type lists every key
    "figure.dpi": 150,
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # shipped with matplotlib, so that the result is the same on every computer
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "lines.linewidth": 1.2,
    "hatch.linewidth": 0.5,
    "pdf.fonttype": 42,
    "svg.hashsalt": "orch",
}


def look(variants: Sequence[str]) -> dict[str, tuple[str, str, Any]]:
    """Return {variant: (colour, marker, line style)}, all different as long as there are enough of them."""
    others = iter(_OTHERS)
    last = (GREY, "*", "-")
    return {name: _KNOWN.get(name) or next(others, last) for name in variants}


def gbit(bps: float) -> float:
    """Convert bit/s to Gbit/s."""
    return bps / 1e9
