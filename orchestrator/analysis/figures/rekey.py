# SPDX-License-Identifier: Apache-2.0
"""Throughput per second across rekeys or moves to other UDP ports: a row of panels per variant, a column per number of
tunnels."""

from typing import TYPE_CHECKING

import matplotlib as mpl
import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, GREY, PAGE_IN, STYLE, look
from orchestrator.analysis.rekeys import NEAR_S, cost, rates, rekeys, roaming_cost, roams

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "rekey"
TITLE = "Throughput second by second, and when new keys were made"
_OF_ROAMING = "Throughput second by second, and when UDP ports changed"
_ROW_IN = 1.05
_MOST_COLUMNS = 3


def rekey(run: Run) -> Drawing:
    """Return the rates of a run's ok trials at the most cores; of many numbers of tunnels, the smallest and the
    largest."""
    seconds, moves = rates(run), roams(run)
    roaming = not moves.empty
    found, title = (moves, _OF_ROAMING) if roaming else (rekeys(run), TITLE)
    if roaming:  # trials without moves are only in the table
        seconds = seconds[seconds["trial_id"].isin(found["trial_id"])]
    lost = captions.loss_note(run.planned, run.invalid)
    if seconds.empty:
        return parts.nothing(run, NAME, TITLE, "no ok trial has rates for each second.", [lost])
    cores = int(seconds["cores"].max())
    seconds, found = seconds[seconds["cores"] == cores], found[found["cores"] == cores]
    levels = sorted({int(tunnels) for tunnels in seconds["tunnels"]})
    levels = levels if len(levels) <= _MOST_COLUMNS else [levels[0], *levels[1 - _MOST_COLUMNS :]]
    names = [name for name in run.variants if name in set(seconds["variant"])]
    counts = seconds.groupby(["variant", "tunnels"])["trial_id"].nunique()
    face = [
        _samples(counts),
        "Dotted: all tunnels got another port." if roaming else "Dotted: a handshake inside the trial, of any tunnel.",
        f"{cores} core{'s' * (cores != 1)}.",
        _cost_note(run, cores, roaming),
        lost,
        *captions.context_notes(run),
    ]
    face = [note for note in face if note]
    with mpl.rc_context(STYLE):
        width = COLUMN_IN if len(levels) == 1 else PAGE_IN
        rate = run.in_its_time("Gbit/s").replace(" of ", "\nof ")
        figure = parts.sheet(run, width, 0.45 + _ROW_IN * len(names), face)
        grid = figure.subplots(len(names), len(levels), squeeze=False, sharex=True, sharey="row")
        for row, name in zip(grid, names, strict=True):
            for axes, tunnels in zip(row, levels, strict=True):
                mine = (seconds["variant"] == name) & (seconds["tunnels"] == tunnels)
                marked = (found["variant"] == name) & (found["tunnels"] == tunnels)
                _panel(axes, run, name, seconds[mine], found[marked])
                if name == names[0]:
                    axes.set_title(f"{tunnels} tunnel{'s' * (tunnels != 1)}")
                if name == names[-1]:
                    axes.set_xlabel(
                        "Virtual seconds after the warm-up" if run.virtual_time else "Seconds after the warm-up"
                    )
            row[0].set_ylabel(f"{name}\n{rate}")
            row[0].set_ylim(bottom=0)
        grid[0][0].set_xlim(0, float(seconds["second"].max()))
    return Drawing(NAME, title, figure, face)


def _panel(axes: "Axes", run: Run, name: str, seconds: pd.DataFrame, found: pd.DataFrame) -> None:
    colour = look(run.variants)[name][0]
    for at_s in sorted(set(found["at_s"])):
        axes.axvline(at_s, color=GREY, linewidth=0.7, linestyle=":", zorder=1)
    for _, trial in seconds.groupby("trial_id", sort=False):
        edges = [0, *trial["second"]]
        axes.stairs(trial["rate_bps"] / 1e9, edges, baseline=None, color=colour, linewidth=0.8, alpha=0.8)


def _samples(counts: pd.Series) -> str:
    low, high = int(counts.min()), int(counts.max())
    n = f"{low}" if low == high else f"{low} to {high}"
    return f"One line per trial, n = {n} per panel."


def _cost_note(run: Run, cores: int, roaming: bool) -> str:
    """Return a sentence on the effect of the rekeys, or of the moves."""
    table, what = (roaming_cost(run), "move") if roaming else (cost(run), "rekey")
    table = table[table["cores"] == cores]
    if table.empty:
        return f"No {what} fell into a trial."
    low, elsewhere = table["remains"].median(), table["lowest_elsewhere"].median()
    return (
        f"The lowest second within {NEAR_S} s of a {what}: {low:.0%} of the trial's median second; the lowest of all "
        f"other seconds: {elsewhere:.0%} (medians of {len(table)} trial{'s' * (len(table) != 1)})."
    )
