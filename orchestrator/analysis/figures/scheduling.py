# SPDX-License-Identifier: Apache-2.0
"""F7: throughput by where a variant's work is scheduled, one line per variant, one panel per number of tunnels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd

from orchestrator.analysis.cells import cells as cells_of
from orchestrator.analysis.cells import ratios
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import GREY, PAGE_IN, STYLE, gbit, look
from orchestrator.analysis.settings import of_first_setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NAME = "f7-scheduling"
TITLE = "Throughput by where packets are encrypted, polled and decrypted"
_LINE_IN = 0.3  # height per variant
_MOST_PANELS = 3


@of_first_setting
def scheduling(run: Run) -> Drawing:
    """Return F7 of a run, at the most cores with a valid trial and, of many numbers of tunnels, the largest."""
    cells = cells_of(run)
    shown = cells[cells["n"] > 0]
    lost = captions.loss_note(run.planned, run.invalid)
    if shown.empty:
        return parts.nothing(run, NAME, TITLE, "no trial with a tunnel gave a throughput.", [lost])
    cores = int(shown["cores"].max())
    levels = sorted({int(tunnels) for tunnels in shown.loc[shown["cores"] == cores, "tunnels"]})[-_MOST_PANELS:]
    here = cells[(cells["cores"] == cores) & cells["tunnels"].isin(levels)]
    drawn = here[here["n"] > 0]
    names = [name for name in run.variants if name in set(here["variant"])]
    reference = ratios(run)
    face = [
        captions.sample_note(drawn, explained=False),
        f"Numbers: against {run.reference}, paired by round; at {captions.count(cores, 'core')}.",
        captions.bound_note(here),
        captions.modes_note(here, "Two large marks"),
        lost,
        *captions.context_notes(run),
    ]
    face = [note for note in face if note]
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, PAGE_IN, 0.75 + _LINE_IN * len(names), face)
        grid = figure.subplots(1, len(levels), squeeze=False, sharey=True, sharex=True)[0]
        for axes, tunnels in zip(grid, levels, strict=True):
            _panel(axes, run, here[here["tunnels"] == tunnels], reference, names)
            axes.set_title(captions.count(tunnels, "tunnel"))
            axes.set_xlabel(run.in_its_time("Throughput in Gbit/s"))
        everything = [drawn["high_bps"], run.measured["throughput_bps"]]
        grid[0].set_xlim(0, curves.top_of(*everything) * 1.2)  # with space for a number at the longest line
        grid[0].set_ylim(len(names) - 0.5, -0.5)
        grid[0].set_yticks(range(len(names)), [f"{name}\n{_where(run, name)}" for name in names])
        for label in grid[0].get_yticklabels():
            label.set_fontsize(6)
    return Drawing(NAME, TITLE, figure, face)


def _where(run: Run, name: str) -> str:
    """Return where a variant's work runs, in few words; empty if the run does not record it."""
    known: Mapping[str, Any] = (run.meta.get("variants") or {}).get(name) or {}
    if not known:
        return ""
    settings = known.get("settings") or {}
    queued = "own core" if known.get("pinned") else "any core"
    encrypts = queued if settings.get("transmit", "queued") == "queued" else "sender's core"
    receive = settings.get("receive", "queued")
    decrypts = {"inline": "in the poll", "batched": "in the poll", "steal": f"{queued} or in the poll"}.get(
        receive, queued
    )
    polls = "work item" if receive == "workqueue" else "thread" if known.get("threaded") else "softirq"
    return f"encrypt {encrypts}, decrypt {decrypts}, poll {polls}"


def _panel(axes: "Axes", run: Run, cells: pd.DataFrame, reference: pd.DataFrame, names: list[str]) -> None:
    keys = {int(tunnels) for tunnels in cells["tunnels"]}, {int(cores) for cores in cells["cores"]}
    looks = look(run.variants)
    for place, name in enumerate(names):
        colour, marker, _ = looks[name]
        for rows, face, edge in ((run.measured, colour, "white"), (run.invalid, "none", GREY)):
            mine = rows[(rows["variant"] == name) & rows["tunnels"].isin(keys[0]) & rows["cores"].isin(keys[1])]
            points = axes.scatter(
                mine["throughput_bps"] / 1e9,
                [place + 0.22] * len(mine),
                s=7,
                marker=marker,
                facecolors=face,
                edgecolors=edge,
                linewidths=0.3 if face == colour else 0.7,
                alpha=0.7 if face == colour else 1.0,
                zorder=3,
                rasterized=curves.are_many(mine),
            )
            numbers.carry_rows(points, mine, curves.trial_text)
        cell = cells[(cells["variant"] == name) & (cells["n"] > 0)]
        if cell.empty:
            axes.text(
                0.02, place, "no valid trial", fontsize=6, color=GREY, va="center", transform=axes.get_yaxis_transform()
            )
            continue
        row = cell.iloc[0]
        median, low, high = (gbit(float(row[column])) for column in ("median_bps", "low_bps", "high_bps"))
        about = {str(column): value for column, value in row.items()}
        if row["modes"]:
            centres = [gbit(float(row[f"{side}_mode_bps"])) for side in ("lower", "upper")]
            text = curves.mode_text(about)
        else:
            centres, text = [median], curves.cell_text(about)
            axes.plot([low, high], [place, place], color=colour, linewidth=2.0, alpha=0.5, zorder=3)
        axes.plot([0, centres[0]], [place, place], color=colour, linewidth=0.8, zorder=2)
        height = [place] * len(centres)
        mark = axes.scatter(centres, height, s=30, marker=marker, facecolors="white", edgecolors=colour, zorder=4)
        numbers.carry(mark, [text] * len(centres))
        ratio = reference[(reference["variant"] == name) & (reference["tunnels"] == row["tunnels"])]
        ratio = ratio[ratio["cores"] == row["cores"]]
        words = f"{float(ratio['median'].iloc[0]):.2f} times" if len(ratio) else ""
        words += " †" * bool(row["generator_bound"])
        axes.annotate(
            words,
            (max(high, median), place),
            (5, 0),
            textcoords="offset points",
            va="center",
            fontsize=6.5,
            color=colour,
        )
    axes.grid(True, axis="x")
    axes.grid(False, axis="y")
