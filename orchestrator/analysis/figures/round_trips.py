# SPDX-License-Identifier: Apache-2.0
"""Round-trip times during TCP traffic: quantiles for each variant at the place with the most cores and tunnels."""

from typing import Any

import matplotlib as mpl

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.figures import captions, curves, numbers, parts
from orchestrator.analysis.figures.drawing import Drawing
from orchestrator.analysis.figures.style import COLUMN_IN, STYLE, look
from orchestrator.analysis.latency import latencies, timed_beside_traffic
from orchestrator.analysis.settings import of_first_setting
from orchestrator.analysis.standings import in_order_of_size, place_in_words
from orchestrator.spec import Cell

NAME = "round-trips"
TITLE = "Round-trip times beside the traffic"
_LOST = 0.01  # share of requests without an answer above which it is stated
_QUANTILES = {"p50_ms": "p50", "p90_ms": "p90", "p99_ms": "p99", "p999_ms": "p99.9"}


@of_first_setting
def round_trips(run: Run) -> Drawing:
    """Return quantiles of the round-trip time through the first tunnel during iperf3's traffic, for each trial and as
    medians."""
    found = latencies(run)
    found = found[(found["kind"] == "measure") & found["n"].gt(0)]
    if found.empty or not timed_beside_traffic(run):
        why = "no valid trial timed round trips; `traffic: {latency: {}}` in a spec asks for that."
        return parts.nothing(run, NAME, TITLE, why)
    place = in_order_of_size(Cell.of(row) for row in found.to_dict("records"))[0]
    here = found[[Cell.of(row).place == place for row in found.to_dict("records")]]
    sizes = captions.sizes_in_words(here.groupby("variant").size())
    fewest = int(here["n"].min())
    answers = captions.count(fewest, "answer")
    notes = [f"With {place_in_words(place)}; {sizes} trials per variant, each with {answers} or more."]
    lost = 1 - float(here["n"].sum() / here["sent"].sum())
    if lost > _LOST:
        notes.append(f"{lost:.0%} of the requests had no answer within a second of the end: their times are missing.")
    notes.append("Lines: medians of the trials' quantiles. Echo requests of 84 bytes through the first tunnel.")
    if here["p999_ms"].isna().any():
        notes.append("p99.9 takes 1000 answers in a trial, which is latency's rate times the duration.")
    notes.append("Each time includes two system calls of the client's process and its waits for a CPU.")
    notes += captions.context_notes(run)
    with mpl.rc_context(STYLE):
        figure = parts.sheet(run, COLUMN_IN, 2.2, notes)
        axes = figure.subplots()
        names = [name for name in run.variants if name in set(here["variant"])]
        shown = [column for column in _QUANTILES if here[column].notna().any()]
        for index, name in enumerate(names):
            colour, marker, line = look(run.variants)[name]
            mine = here[here["variant"] == name]
            aside = curves.shift(index, len(names), 1.0)
            axes.plot(
                [at + aside for at in range(len(shown))], mine[shown].median(), color=colour, linestyle=line, label=name
            )
            for at, column in enumerate(shown):
                rows = mine[mine[column].notna()]
                x = [at + aside] * len(rows)
                style: Any = {"s": 9, "marker": marker, "color": colour, "alpha": 0.55, "linewidths": 0, "zorder": 4}
                marks = axes.scatter(x, rows[column], **style)
                label = _QUANTILES[column]
                numbers.carry(marks, [f"{name}, {label}\n{value:.3g} ms" for value in rows[column]])
        axes.set_yscale("log")
        axes.set_xticks(range(len(shown)), [_QUANTILES[column] for column in shown])
        axes.set_xlabel("Quantile of the round-trip times of a trial")
        axes.set_ylabel(run.in_its_time("Round-trip time in ms"))
        axes.grid(axis="y", which="both")
        parts.legend(figure, parts.variant_handles(run, names))
    return Drawing(NAME, TITLE, figure, notes)
