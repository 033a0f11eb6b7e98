# SPDX-License-Identifier: Apache-2.0
"""What a packet costs by stage: a stacked bar a variant, from the profiles of one place."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.patches import Patch

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, STYLE
from orchestrator.analysis.limits.costs import INNER_PACKET_BYTES
from orchestrator.analysis.profiles.flame import COLOURS
from orchestrator.analysis.profiles.samples import Profile
from orchestrator.analysis.profiles.stages import STAGES
from orchestrator.analysis.profiles.table import covered, ns_a_packet
from orchestrator.analysis.settings import of_first_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "packet-stages"
TITLE = "What a packet costs by stage"


@of_first_setting
def packet_stages(run: Run) -> Drawing:
    """The CPU time of a packet by stage, for every profiled variant of the place with the most cores and tunnels."""
    known = run.profiles
    if not known:
        why = "no trial sampled what CPUs run; `trace: profile` in a spec asks for that."
        return parts.nothing(run, NAME, TITLE, why)
    place = max((one.key.cores, one.key.tunnels) for one in known)
    found = [one for one in known if (one.key.cores, one.key.tunnels) == place]
    where = f"{captions.count(place[0], 'core')}, {captions.count(place[1], 'tunnel')}"
    notes = [f"{where}; one profiled trial per variant. CPU time per {INNER_PACKET_BYTES} bytes that arrived."]
    notes.append("The innermost function with a stage decides whose time it is (docs/explain.md).")
    shares = ", ".join(f"{one.key.variant} {covered(one):.0%}" for one in found)
    notes.append(f"The stages add up to this much of the time for which /proc/stat had the CPUs busy: {shares}.")
    notes += captions.context_notes(run)
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN, 0.95 + 0.3 * len(found), notes)
        axes = figure.subplots()
        shown = _draw(axes, found)
        axes.set_xlabel("CPU time of a packet in ns" + (" of virtual time" if run.virtual_time else ""))
        axes.grid(axis="x")
        axes.grid(False, axis="y")
        patches = [Patch(facecolor=COLOURS[stage], linewidth=0, label=stage) for stage in STAGES if stage in shown]
        parts.legend_above(figure, patches, 3, handlelength=1.4)
    return Drawing(NAME, TITLE, figure, notes)


def _draw(axes: "Axes", found: Sequence[Profile]) -> set[str]:
    """The bars, the first variant at the top; returns the stages that are wide enough to be seen."""
    costs = [ns_a_packet(one) for one in found]
    longest = max(sum(cost.values()) for cost in costs) or 1.0
    shown = set()
    for place, (one, cost) in enumerate(zip(found, costs, strict=True)):
        left = 0.0
        for stage, ns in cost.items():
            if ns >= 0.002 * longest:
                shown.add(stage)
                bars = axes.barh(
                    place, ns, 0.66, left, color=COLOURS[stage], edgecolor="white", linewidth=0.4, zorder=2
                )
                numbers.carry(bars[0], [f"{one.key.variant}, {stage}\n{ns:,.0f} ns"])
            left += ns
        axes.text(left + 0.01 * longest, place, f"{left:,.0f}", va="center", ha="left", fontsize=7, color=BLACK)
    axes.set_yticks(range(len(found)), [one.key.variant for one in found])
    axes.set_xlim(0, longest * 1.14)
    axes.invert_yaxis()
    return shown
