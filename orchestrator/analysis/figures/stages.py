# SPDX-License-Identifier: Apache-2.0
"""The cost of a packet by stage: one stacked bar per variant, from the profiles of one place."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.patches import Patch

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import BLACK, COLUMN_IN, STYLE
from orchestrator.analysis.profiles.flame import COLOURS
from orchestrator.analysis.profiles.samples import Profile
from orchestrator.analysis.profiles.stages import STAGES
from orchestrator.analysis.profiles.table import covered, ns_a_packet
from orchestrator.analysis.settings import of_first_setting
from orchestrator.analysis.standings import listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "packet-stages"
TITLE = "What a packet costs by stage"
_MOST_PLACES = 3  # numbers of tunnels, including the fewest and the most


@of_first_setting
def packet_stages(run: Run) -> Drawing:
    """Return the CPU time per packet by stage, for every profiled variant with the most cores, by the number of
    tunnels."""
    known = run.profiles
    if not known:
        why = "no trial profiled the CPUs; `probes: {profile: trial}` in a spec asks for that."
        return parts.nothing(run, NAME, TITLE, why)
    cores = max(one.key.cores for one in known)
    counts = sorted({one.key.tunnels for one in known if one.key.cores == cores})
    counts = [*counts[: _MOST_PLACES - 1], counts[-1]] if len(counts) > _MOST_PLACES else counts
    found = [one for one in known if one.key.cores == cores and one.key.tunnels in counts]
    found = [one for one in found if one.key.packet_size == found[0].key.packet_size]
    where = f"{captions.count(cores, 'core')}, {listed([captions.count(count, 'tunnel') for count in counts])}"
    notes = [f"{where}; one profiled trial per bar. CPU time per {found[0].packet_bytes:.0f} bytes that arrived."]
    notes.append("CPU time counts for the stage of the innermost function that has one (docs/explain.md).")
    low, high = (pick(covered(one) for one in found) for pick in (min, max))
    shares = f"{low:.0%}" if f"{low:.0%}" == f"{high:.0%}" else f"{low:.0%} to {high:.0%}"
    notes.append(f"The stages of a bar add up to {shares} of the busy time in /proc/stat.")
    if run.counts_packets:
        notes.append("The time for which the packet generator waited is not in the bars.")
    notes += captions.context_notes(run)
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN, 0.95 + 0.3 * len(found) + 0.1 * len(counts), notes)
        axes = figure.subplots()
        shown = _draw(axes, found)
        parts.cost_axis(axes, run)
        patches = [Patch(facecolor=COLOURS[stage], linewidth=0, label=stage) for stage in STAGES if stage in shown]
        parts.legend_above(figure, patches, 3, handlelength=1.4)
    return Drawing(NAME, TITLE, figure, notes)


def _draw(axes: "Axes", found: Sequence[Profile]) -> set[str]:
    """Draw the bars, the first variant at the top, and return the stages that are wide enough to be seen."""
    costs = [ns_a_packet(one) for one in found]
    longest = max(sum(cost.values()) for cost in costs) or 1.0
    shown = set()
    several = len({one.key.tunnels for one in found}) > 1
    names: dict[float, str] = {}
    place, before = -1.0, found[0].key.tunnels
    for one, cost in zip(found, costs, strict=True):
        place += 1.0 if one.key.tunnels == before else 1.4
        before = one.key.tunnels
        names[place] = f"{one.key.variant}, {captions.count(before, 'tunnel')}" if several else one.key.variant
        left = 0.0
        for stage, ns in cost.items():
            if ns >= 0.002 * longest:
                shown.add(stage)
                bars = axes.barh(
                    place, ns, 0.66, left, color=COLOURS[stage], edgecolor="white", linewidth=0.4, zorder=2
                )
                numbers.carry(
                    bars[0], [f"{one.key.variant}, {captions.count(before, 'tunnel')}, {stage}\n{ns:,.0f} ns"]
                )
            left += ns
        axes.text(left + 0.01 * longest, place, f"{left:,.0f}", va="center", ha="left", fontsize=7, color=BLACK)
    axes.set_yticks(list(names), list(names.values()))
    axes.set_xlim(0, longest * 1.14)
    axes.invert_yaxis()
    return shown
