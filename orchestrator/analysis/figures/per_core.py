# SPDX-License-Identifier: Apache-2.0
"""Per-core load: the time of each CPU by kind, one panel per variant, at the highest core count."""

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from matplotlib.patches import Patch

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import (
    BLUE,
    COLUMN_IN,
    GREEN,
    GREY,
    ORANGE,
    PAGE_IN,
    SKY,
    STYLE,
    VERMILION,
)
from orchestrator.analysis.frames import CPU_KINDS
from orchestrator.analysis.settings import of_first_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "per-core-load"
TITLE = "How each CPU spent its time"

# Waiting for input or output counts as idle here; so does the rest of a bar's height, up to 1.
KINDS: dict[str, tuple[str, str]] = {
    "softirq": (BLUE, ""),
    "system": (ORANGE, "////"),
    "user": (GREEN, "...."),
    "irq": (SKY, "\\\\\\\\"),
    "steal": (VERMILION, "xxxx"),
}
_CHARACTER_IN, _MARGIN_IN = 0.06, 0.6  # the mean width of a character of a panel's title; left of the panels
_POINTS: dict[str, Any] = {"s": 4, "color": "#222222", "linewidths": 0, "alpha": 0.75, "zorder": 4}


def chosen_cell(frame: pd.DataFrame) -> tuple[int, int] | None:
    """Return the cores and tunnels that are shown: the most cores, with one tunnel per core or else the most
    tunnels."""
    measured = frame[frame["kind"] == "measure"]
    if measured.empty:
        return None
    cores = int(measured["cores"].max())
    tunnels = {int(t) for t in measured.loc[measured["cores"] == cores, "tunnels"]}
    return cores, cores if cores in tunnels else max(tunnels)


@of_first_setting
def per_core_load(run: Run) -> Drawing:
    """Return the per-core load of a run as a figure."""
    cell = chosen_cell(run.per_core)
    if cell is None:
        return parts.nothing(run, NAME, TITLE, "no valid trial recorded the time of its CPUs.")
    cores, tunnels = cell
    frame = run.per_core
    several = frame["host"].nunique() > 1
    hosts = run.hosts_of("gateway-a")
    if several:
        frame = frame[frame["host"].isin(hosts)]
    own = bool((frame["role"] != "").any())
    if own:
        frame = frame[frame["role"] == "gateway-a"]
    rows = frame[(frame["kind"] == "measure") & (frame["cores"] == cores) & (frame["tunnels"] == tunnels)]
    planned = run.planned
    planned = planned[(planned["cores"] == cores) & (planned["tunnels"] == tunnels)]
    names = [name for name in run.variants if name in set(rows["variant"])]
    absent = [name for name in run.variants if name in set(planned["variant"]) and name not in names]
    sizes = rows.groupby("variant")["trial_id"].nunique()
    same = {int(n) for n in sizes}
    n = f"n = {min(same)}" if len(same) == 1 else f"n = {min(same)} to {max(same)}"
    where = f"{captions.count(cores, 'core')}, {captions.count(tunnels, 'tunnel')}"
    notes = [f"{where}. Bars: mean shares over {n} trials per variant."]
    if several:
        notes.append(f"The CPUs of {' and '.join(hosts)}, which has the gateway that encrypts.")
    if own:
        notes.append("The CPUs of gateway-a, which encrypts; each role has CPUs of its own.")
    notes.append("Dots: the busy share of each trial. Unfilled: idle.")
    notes.append("Threaded polls count as system time, polls in softirq as softirq time: compare the whole bars.")
    notes += [note for note in (user_note(run, rows),) if note]
    if absent:
        notes.append(f"Without a valid trial here: {', '.join(absent)}.")
    notes += [note for note in (captions.loss_note(planned, planned.iloc[:0]), *captions.context_notes(run)) if note]

    kinds = [kind for kind in KINDS if rows[kind].max() >= 0.001]
    titles_in = len(names) * _CHARACTER_IN * (1 + max(map(len, names)))
    narrow = len(names) * cores <= 24 and titles_in < COLUMN_IN - _MARGIN_IN
    width = COLUMN_IN if narrow else PAGE_IN
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, width, 2.1, notes)
        grid = figure.subplots(1, len(names), squeeze=False, sharey=True)[0]
        for axes, name in zip(grid, names, strict=True):
            draw_shares(axes, name, rows[rows["variant"] == name], kinds)
            axes.set_title(name)
            axes.set_xlabel("CPU")
        grid[0].set_ylim(0, 1.02)
        grid[0].set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
        grid[0].set_ylabel("Share of the CPU's virtual time" if run.virtual_time else "Share of the CPU's time")
        parts.legend_above(figure, kind_handles(kinds), 5, handlelength=1.6)
    return Drawing(NAME, TITLE, figure, notes)


def user_note(run: Run, rows: pd.DataFrame) -> str:
    """Return a sentence for rows of `Run.per_core` without any user time; empty if there is some."""
    if rows.empty or float(rows["user"].max()) > 0:
        return ""
    if run.testbed.get("provider") == "uml":
        return (
            "User time is 0 in every sample: the lab's kernel does not account for it separately, and counts it as "
            "system time."
        )
    return "User time is 0 in every sample."


def kind_handles(kinds: list[str]) -> list[Patch]:
    """Return legend entries for kinds of time."""
    return [
        Patch(facecolor=KINDS[kind][0], hatch=KINDS[kind][1], edgecolor="white", linewidth=0, label=kind)
        for kind in kinds
    ]


def draw_shares(axes: "Axes", name: str, rows: pd.DataFrame, kinds: list[str]) -> None:
    """Draw a bar per CPU with its mean shares of time by kind over the trials in ``rows``, and each trial's busy
    share."""
    means = rows.groupby("cpu")[list(CPU_KINDS)].mean().sort_index()
    cpus = [int(str(cpu)) for cpu in means.index]
    places = {cpu: place for place, cpu in enumerate(cpus)}
    floor = pd.Series(0.0, index=means.index)
    for kind in kinds:
        colour, hatch = KINDS[kind]
        bars = axes.bar(
            list(places.values()),
            means[kind],
            0.78,
            floor,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            linewidth=0,
            zorder=2,
        )
        for bar, cpu in zip(bars, cpus, strict=True):
            numbers.carry(bar, [f"{name}, CPU {cpu}\n{kind} {means[kind][cpu]:.1%} of its time (mean)"])
        floor = floor + means[kind]
    axes.bar(list(places.values()), [1.0] * len(cpus), 0.78, fill=False, edgecolor=GREY, linewidth=0.4, zorder=3)
    busy = 1 - rows["idle"] - rows["iowait"]
    turn = rows["trial_id"].astype("category").cat.codes
    spread = (turn / max(1, int(turn.max())) - 0.5) * 0.5 if int(turn.max()) else turn * 0.0
    x = rows["cpu"].map(places).astype("float64") + spread
    dots = axes.scatter(x, busy, rasterized=curves.are_many(rows), **_POINTS)
    texts = zip(rows["cpu"], busy, rows["block"], rows["round"], strict=True)
    numbers.carry(dots, [f"{name}, CPU {c}\nbusy {b:.1%}\nblock {k}, round {r}" for c, b, k, r in texts])
    every = max(1, len(cpus) // 8)
    axes.set_xticks(range(0, len(cpus), every), [str(cpu) for cpu in cpus[::every]])
    axes.set_xlim(-0.7, len(cpus) - 0.3)
