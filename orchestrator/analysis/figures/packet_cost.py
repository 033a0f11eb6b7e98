# SPDX-License-Identifier: Apache-2.0
"""The cost of a packet: CPU time by role and kind, one bar per variant, at the highest core count."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.patches import Patch

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.per_core import chosen_cell
from orchestrator.analysis.figures.style import BLACK, BLUE, COLUMN_IN, FAINT, GREEN, GREY, ORANGE, SKY, STYLE
from orchestrator.analysis.limits import CellLoad, limit_of
from orchestrator.analysis.limits.costs import Part, parts_of
from orchestrator.analysis.settings import of_first_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "packet-cost"
TITLE = "What a packet costs"

_COLOURS = {"client": GREY, "gateway-a": BLUE, "gateway-b": ORANGE, "server": GREEN}
_HATCHES = {"softirq": "", "other": "////"}
_NAMES = {"softirq": "softirqs", "other": "processes, threads"}


@of_first_setting
def packet_cost(run: Run) -> Drawing:
    """Return the figure of CPU time per packet, by role and by whether it was in softirqs, for every variant at one
    place."""
    cell = chosen_cell(run.per_core)
    found: list[CellLoad] = []
    if cell is not None:
        found = [load for load in run.loads if (load.key.cores, load.key.tunnels) == cell and parts_of(load)]
    if cell is None or not found:
        why = "no valid trial recorded throughput and the time of its CPUs."
        if any(load.counts_waiting for load in run.loads):
            why = "the packet generator shares the CPUs, and its waiting counts as busy time."
        return parts.nothing(run, NAME, TITLE, why)
    found = [load for load in found if load.key.packet_size == found[0].key.packet_size]
    where = f"{captions.count(cell[0], 'core')}, {captions.count(cell[1], 'tunnel')}"
    n = captions.sizes_in_words(load.n for load in found)
    notes = [
        f"{where}; medians of {n} trials per variant. CPU time per {found[0].packet_bytes:.0f} bytes that arrived."
    ]
    if found[0].shared:
        notes.append("All roles share the CPUs, so the bars include the generator and the server.")
    notes.append("Processes and threads: encryption and decryption by workers, threaded polls, iperf3.")
    notes.append(f"What limited each: {_limits(found)}.")
    notes += captions.context_notes(run)
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN, 0.75 + 0.3 * len(found), notes)
        axes = figure.subplots()
        shown = _draw(axes, found)
        parts.cost_axis(axes, run)
        parts.legend_above(figure, _handles(shown), 3, handlelength=1.4)
    return Drawing(NAME, TITLE, figure, notes)


def _limits(found: Sequence[CellLoad]) -> str:
    """Return the limits of cells, each after the variants that it limits if there are several."""
    limited: dict[str, list[str]] = {}
    for load in found:
        limited.setdefault(limit_of(load).label, []).append(load.key.variant)
    if len(limited) == 1:
        return next(iter(limited))
    return "; ".join(f"{', '.join(variants)}: {label}" for label, variants in limited.items())


def _draw(axes: "Axes", found: Sequence[CellLoad]) -> list[Part]:
    """Draw the bars, the first variant at the top, and return the parts that are wide enough to be seen."""
    longest = max(sum(part.ns for part in parts_of(load)) for load in found)
    shown: dict[tuple[str, str], Part] = {}
    for place, load in enumerate(found):
        left = 0.0
        for part in parts_of(load):
            if part.ns < 0.002 * longest:
                continue
            shown.setdefault((part.group, part.kind), part)
            bars = axes.barh(
                place,
                part.ns,
                0.66,
                left,
                color=_colour(part),
                hatch=_HATCHES[part.kind],
                edgecolor="white",
                linewidth=0.4,
                zorder=2,
            )
            text = f"{load.key.variant}, {part.group}\n{part.ns:,.0f} ns in {_NAMES[part.kind]}"
            numbers.carry(bars[0], [text])
            left += part.ns
        axes.text(left + 0.01 * longest, place, f"{left:,.0f}", va="center", ha="left", fontsize=7, color=BLACK)
    axes.set_yticks(range(len(found)), [load.key.variant for load in found])
    axes.set_xlim(0, longest * 1.14)
    axes.invert_yaxis()
    order = list(_COLOURS)
    known = {name: place for place, name in enumerate(order)}
    return sorted(shown.values(), key=lambda part: (known.get(part.group, len(order)), part.kind != "softirq"))


def _colour(part: Part) -> str:
    return _COLOURS.get(part.group, SKY)


def _handles(shown: Sequence[Part]) -> list[Patch]:
    """Return one patch per role in its colour, and one per kind."""
    groups = dict.fromkeys(part.group for part in shown)
    colours = {part.group: _colour(part) for part in shown}
    roles = [Patch(facecolor=colours[name], linewidth=0, label=name) for name in groups]
    kinds = [kind for kind in _HATCHES if any(part.kind == kind for part in shown)]
    style: dict[str, Any] = {"facecolor": FAINT, "edgecolor": BLACK, "linewidth": 0.4}
    return roles + [Patch(hatch=_HATCHES[kind], label=_NAMES[kind], **style) for kind in kinds]
