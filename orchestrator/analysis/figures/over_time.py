# SPDX-License-Identifier: Apache-2.0
"""Long trials: throughput, memory and dropped packets over time, one column of panels per variant."""

from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd
from matplotlib.ticker import MaxNLocator

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, PAGE_IN, STYLE, look

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "over-time"
TITLE = "Throughput, memory and drops over time"
_ROW_IN = 1.1
_MINUTES_FROM_S = 300


def over_time(run: Run) -> Drawing:
    """Return the figure of the ok trials at the most cores and tunnels that have samples over time: a line per trial
    and host."""
    samples = run.over_time[run.over_time["kind"] == "measure"]
    lost = captions.loss_note(run.planned, run.invalid)
    if samples.empty:
        return parts.nothing(run, NAME, TITLE, "no ok trial was sampled over time (sample_every).", [lost])
    cores = int(samples["cores"].max())
    tunnels = int(samples.loc[samples["cores"] == cores, "tunnels"].max())
    samples = samples[(samples["cores"] == cores) & (samples["tunnels"] == tunnels)]
    trials = samples["trial_id"].unique()
    seconds = run.per_second[run.per_second["trial_id"].isin(trials)]
    names = [name for name in run.variants if name in set(samples["variant"])]
    hosts = samples["host"].nunique()
    face = [
        f"One line per trial{' and host' * (hosts > 1)}, {_n(samples)} per variant. {cores} core{'s' * (cores != 1)}, "
        f"{tunnels} tunnel{'s' * (tunnels != 1)}.",
        "Memory: how much less is available than when the measured time began.",
        lost,
        *captions.context_notes(run),
    ]
    face = [note for note in face if note]
    longest = max(float(samples["at_s"].max()), float(seconds["second"].max() if len(seconds) else 0))
    scale, unit = (60, "Minutes") if longest >= _MINUTES_FROM_S else (1, "Seconds")
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN if len(names) == 1 else PAGE_IN, 0.45 + 3 * _ROW_IN, face)
        grid = figure.subplots(3, len(names), squeeze=False, sharex=True, sharey="row")
        for column, name in enumerate(names):
            rate, memory, drops = (row[column] for row in grid)
            colour = look(run.variants)[name][0]
            rate.set_title(name)
            _steps(rate, seconds[seconds["variant"] == name], colour, scale)
            mine = samples[samples["variant"] == name]
            for _, one in mine.groupby(["trial_id", "host"], sort=False):
                used = (one["memory_available"].iloc[0] - one["memory_available"]) / 2**20
                memory.plot(one["at_s"] / scale, used, color=colour, linewidth=0.8)
                drops.plot(one["at_s"] / scale, one["drops"], color=colour, linewidth=0.8, drawstyle="steps-post")
            drops.set_xlabel(f"{'Virtual m' if run.virtual_time else 'M'}inutes" if scale == 60 else unit)
        rate_label = run.in_its_time("Gbit/s").replace(" of ", "\nof ")
        labels = (rate_label, "Memory used\n(MiB)", "Packets dropped")
        for row, label in zip(grid, labels, strict=True):
            row[0].set_ylabel(label)
        grid[0][0].set_ylim(bottom=0)
        most = max(1, int(samples["drops"].max()))
        grid[2][0].set_ylim(-0.04 * most, 1.1 * most)  # so that a line at 0 drops is visible above the axis
        grid[2][0].yaxis.set_major_locator(MaxNLocator(4, integer=True))
        grid[0][0].set_xlim(0, longest / scale)
    return Drawing(NAME, TITLE, figure, face)


def _steps(axes: "Axes", seconds: pd.DataFrame, colour: str, scale: float) -> None:
    for _, trial in seconds.groupby("trial_id", sort=False):
        edges = [edge / scale for edge in (0, *trial["second"])]
        axes.stairs(trial["throughput_bps"] / 1e9, edges, baseline=None, color=colour, linewidth=0.8, alpha=0.8)


def _n(samples: pd.DataFrame) -> str:
    counts = samples.groupby("variant")["trial_id"].nunique()
    low, high = int(counts.min()), int(counts.max())
    return f"n = {low}" if low == high else f"n = {low} to {high}"
