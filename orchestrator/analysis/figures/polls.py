# SPDX-License-Identifier: Apache-2.0
"""F4: the CPUs on which each tunnel was polled over time, next to the time of the CPUs by kind."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.per_core import KINDS, draw_shares, kind_handles, user_note
from orchestrator.analysis.figures.style import PAGE_IN, STYLE
from orchestrator.analysis.polls import OTHERS, polls, spread
from orchestrator.analysis.settings import of_first_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "f4-polls"
TITLE = "On which CPU each tunnel was polled, moment by moment, at the gateway that decrypts"
_MOST_ABREAST = 3  # with more panels, their titles take more lines
_COLOURS = "cividis"  # its even lightness keeps CPUs distinguishable in grey and with any colour vision
_NAMED_CPUS = 8  # with more, the legend names four
_MIXED_CPUS = 4  # with more, a mixed colour would look like that of a CPU in between


@of_first_setting
def where_polls_ran(run: Run) -> Drawing:
    """Return F4 of a run, at the most cores and, of these, the most tunnels that were traced."""
    frame = polls(run)
    traced = run.trials[run.trials["kind"] == "trace"]
    if frame.empty:
        why = f"none of the {len(traced)} trials that record polls is ok."
        if traced.empty:
            why = "no trial recorded polls; `probes: {polls: trial}` in a spec asks for that."
        return parts.nothing(run, NAME, TITLE, why)
    # The other gateway polls acknowledgements. Of equals, it is gateway-b: traffic goes there by default.
    receiver = str(frame.groupby("role")["packets"].sum()[::-1].idxmax())
    frame = frame[frame["role"] == receiver]
    frame = frame[frame["cores"] == frame["cores"].max()]
    frame = frame[frame["tunnels"] == frame["tunnels"].max()]
    cores, tunnels = int(frame["cores"].iloc[0]), int(frame["tunnels"].iloc[0])
    names = [name for name in run.variants if name in set(frame["variant"])]
    planned = traced[(traced["cores"] == cores) & (traced["tunnels"] == tunnels)]
    absent = [name for name in run.variants if name in set(planned["variant"]) and name not in names]
    times = run.per_core
    times = times[(times["kind"] == "trace") & times["trial_id"].isin(frame["trial_id"])]
    times = times[times["host"].isin(frame["host"])]
    own = bool((times["role"] != "").any())
    if own:
        times = times[times["role"] == receiver]
    cpus = sorted({int(cpu) for cpu in times["cpu"]} | {int(cpu) for cpu in frame["cpu"]})
    several = "mixed where several did"
    if len(cpus) > _MIXED_CPUS:
        several = "or that had the most polls of it, paler the fewer these were"
    notes = [
        f"{captions.count(cores, 'core')}, {captions.count(tunnels, 'tunnel')}; one trial per variant, apart from "
        "those that are measured, since recording takes time.",
        "Upper row: one line per tunnel, in the colour of the CPU that polled it in that tenth of a second, "
        f"{several}. White: no poll, or the record was full.",
        f"Busiest CPU: its share of all polls at a time. 100 % is all tunnels on one CPU, {1 / len(cpus):.0%} an even "
        "spread. Own CPU: the largest share of a tunnel's polls that one CPU had at a time.",
        "Lower row: how the CPUs spent that time. Threaded polls count as system time.",
    ]
    notes += [note for note in (user_note(run, times),) if note]
    if own:
        notes.append(f"CPUs are those of {receiver} alone: each role has its own.")
    if absent:
        notes.append(f"Without a valid trace: {', '.join(absent)}.")
    notes += captions.context_notes(run)
    kinds = [kind for kind in KINDS if times[kind].max() >= 0.001]
    height = 0.08 * min(max(tunnels, 6), 32)
    with mpl.rc_context(STYLE):
        crowded = len(names) > _MOST_ABREAST
        figure = parts.sheet(run, PAGE_IN, 2.6 + height + crowded * 0.35, notes)
        grid = figure.subplots(2, len(names), squeeze=False, sharey="row", height_ratios=[height + 0.6, 1.1])
        last = float(frame["time_s"].max()) + _bin_s(frame)
        for column, name in enumerate(names):
            upper, lower = grid[0][column], grid[1][column]
            mine = frame[frame["variant"] == name]
            _draw_map(upper, mine, cpus, tunnels)
            upper.set_title(f"{name}\n{_in_words(mine, crowded)}")
            upper.set_xlabel("Virtual time in s" if run.virtual_time else "Time in s")
            upper.set_xlim(0, last)
            draw_shares(lower, name, times[times["trial_id"].isin(mine["trial_id"])], kinds)
            lower.set_xlabel("CPU")
        grid[0][0].set_ylabel("Tunnel")
        grid[1][0].set_ylabel("Share of time")
        grid[1][0].set_ylim(0, 1.02)
        grid[1][0].set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        handles = [*_cpu_handles(cpus), *kind_handles(kinds)]
        parts.legend_above(figure, handles, min(len(handles), 10), handlelength=1.4)
    return Drawing(NAME, TITLE, figure, notes)


def _in_words(mine: pd.DataFrame, crowded: bool) -> str:
    row = spread(mine).iloc[0]
    rate = row["polls"] / (mine["time_s"].max() + _bin_s(mine))
    between = "\n" if crowded else " "
    return (
        f"busiest CPU {row['busiest_cpu']:.0%},{between}own CPU {row['one_cpu']:.0%}\n"
        f"{rate / 1000:.3g} k polls/s{between}of {row['packets_per_poll']:.1f} packets"
    )


def _bin_s(frame: pd.DataFrame) -> float:
    """Return the length of a time bin in seconds; each bin begins at a multiple of it."""
    later = frame.loc[frame["time_s"] > 0, "time_s"]
    return float(later.min()) if len(later) else 0.1


def _colours(cpus: Sequence[int]) -> Any:
    """Return an array (CPUs, 3) with the red, green and blue of each CPU, from dark to light."""
    places = np.linspace(0.0, 0.95, len(cpus)) if len(cpus) > 1 else np.array([0.0])
    return np.asarray(mpl.colormaps[_COLOURS](places))[:, :3]


def _draw_map(axes: "Axes", mine: pd.DataFrame, cpus: Sequence[int], tunnels: int) -> None:
    """Draw a picture of tunnels by time bins.

    With few CPUs, a point has the mean of their colours, weighted by their shares of polls; with many, the colour of
    the one with the most polls, paler for a smaller share.
    """
    bin_s = _bin_s(mine)
    bins = round(float(mine["time_s"].max()) / bin_s) + 1
    counts = np.zeros((tunnels, bins, len(cpus)))
    places = {cpu: place for place, cpu in enumerate(cpus)}
    at = (mine["time_s"] / bin_s).round().astype(int)
    np.add.at(counts, (mine["tunnel"].astype(int) - 1, at, mine["cpu"].map(places).astype(int)), mine["polls"])
    total = counts.sum(axis=2, keepdims=True)
    shares = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
    if len(cpus) > _MIXED_CPUS:
        strength = 0.3 + 0.7 * shares.max(axis=2, keepdims=True)
        mixed = strength * _colours(cpus)[shares.argmax(axis=2)] + 1.0 - strength
    else:
        mixed = shares @ _colours(cpus)
    picture = np.where(total > 0, mixed, 1.0)
    axes.imshow(picture, extent=(0, bins * bin_s, tunnels + 0.5, 0.5), aspect="auto", interpolation="nearest")
    axes.grid(False)
    axes.set_yticks(range(1, tunnels + 1, max(1, tunnels // 8)))


def _cpu_handles(cpus: Sequence[int]) -> list[Patch]:
    colours = _colours(cpus)
    last = len(cpus) - 1
    shown = range(last + 1) if last < _NAMED_CPUS else (0, round(last / 3), round(2 * last / 3), last)
    return [Patch(facecolor=tuple(colours[place]), label=_name(cpus[place])) for place in shown]


def _name(cpu: int) -> str:
    return "another role's CPU" if cpu == OTHERS else f"CPU {cpu}"
