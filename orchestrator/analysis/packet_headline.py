# SPDX-License-Identifier: Apache-2.0
"""The headline of a run of packet rates: rates bounded in the same way are listed together, and never divided."""

from typing import Any

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.remarks import limits_in_words
from orchestrator.analysis.packets import CLOSED_LOOP, CLOSED_LOOP_NOTE, GENERATOR, HIGHEST_LOAD, LOSSES, packet_cells
from orchestrator.analysis.profiles.remarks import stage_remarks
from orchestrator.analysis.standings import in_order_of_size, listed, lost_in_words, place_in_words
from orchestrator.spec import Cell

_KINDS = {
    LOSSES: "bounded by losses",
    CLOSED_LOOP: "in a closed loop",
    GENERATOR: "bounded by the generator",
    HIGHEST_LOAD: "at the highest load",
    "": "of the rate that was sent",
}


def packets_in_words(run: Run) -> tuple[str, list[str], list[str]]:
    """Return the verdict on a run of packet rates (each variant's median at one place), the reasons, and notes.

    The place is chosen from the plan: the most cores and tunnels, and there the smallest packets. If all trials there
    failed, this is stated, and the next place is used.
    """
    every = packet_cells(run)
    planned = len(run.planned)
    first = every[every["goal"] == every["goal"].iloc[0]].to_dict("records") if len(every) else []
    by_place: dict[Cell, list[Any]] = {}
    for row in first:
        by_place.setdefault(Cell.of(row).place, []).append(row)
    order = in_order_of_size(Cell.of(row) for row in first)
    chosen = next((place for place in order if any(row["n"] for row in by_place[place])), None)
    if chosen is None:
        return f"No valid results: none of the {planned} planned trials is valid.", [], []
    here = by_place[chosen]
    _, cores, tunnels, _, *others = chosen.words()
    size = chosen.packet_size
    packets = f"packets of {size} bytes" if isinstance(size, int) else f"the mixture {size}"
    where = listed([f"{tunnels} on {cores}", packets, *others])
    verdict = f"With {where}, {run.in_its_time('kpps')} in the median: {'; '.join(_by_kind(here))}."
    stages = [said for key, said in stage_remarks(run).items() if key.place == chosen]
    why = [*filter(None, [limits_in_words(run, chosen)]), *stages]
    return verdict, why, [*_failures(order[: order.index(chosen)], by_place), *_remarks(here)]


def _by_kind(rows: list[Any]) -> list[str]:
    """Return the rates as sentences, grouped by what bounds them, the highest first."""
    said = []
    for kind in dict.fromkeys(row["bounded_by"] for row in rows if row["n"]):
        mine = sorted(
            (row for row in rows if row["n"] and row["bounded_by"] == kind), key=lambda row: -row["median_pps"]
        )
        names = listed([f"{row['variant']} {row['median_pps'] / 1e3:.3g}" for row in mine])
        said.append(f"{names}, {_KINDS.get(kind, 'bounded in different ways')}")
    return said


def _failures(places: list[Any], by_place: dict[Cell, list[Any]]) -> list[str]:
    """Return a sentence on each preferred place without a valid trial."""
    said = []
    for place in places:
        counts = {name: sum(row[name] for row in by_place[place]) for name in ("failed", "invalid", "missing")}
        said.append(f"{place_in_words(Cell.of(by_place[place][0]))} ({lost_in_words(counts)})")
    return [f"No trial is valid with {listed(said)}, so this is about the next place."] if said else []


def _remarks(rows: list[Any]) -> list[str]:
    said = []
    sizes = sorted({int(row["n"]) for row in rows if row["n"]})
    n = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    lost = {name: sum(row[name] for row in rows) for name in ("failed", "invalid", "missing")}
    said.append(f"n = {n} trials per variant{', and ' + lost_in_words(lost) if any(lost.values()) else ', all valid'}.")
    absent = [str(row["variant"]) for row in rows if not row["n"]]
    if absent:
        said.append(f"Without a valid trial there: {listed(absent)}.")
    if any(row["bounded_by"] == CLOSED_LOOP for row in rows):
        said.append(CLOSED_LOOP_NOTE)
    return said
