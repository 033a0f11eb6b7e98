# SPDX-License-Identifier: Apache-2.0
"""Sentences for a headline on the reasons for a result: busy CPUs, costs of packets, limits, and rankings per core."""

import math
from collections.abc import Sequence

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.costs import parts_of
from orchestrator.analysis.limits.loads import CellLoad
from orchestrator.analysis.limits.rankings import reversals
from orchestrator.analysis.limits.rules import ALL, NONE, PROBABLY, limit_of
from orchestrator.analysis.standings import Lead, Standing, listed, place_in_words
from orchestrator.spec import Cell

_MOST_NAMED = 3  # most places in a sentence
_MOSTLY = 0.75  # share of one factor in a ratio (of its logarithm) from which it is the reason for most of it


def causes_in_words(run: Run, standing: Standing, leads: Sequence[Lead]) -> list[str]:
    """Return a sentence for each clear lead at a place: whether more CPUs were busy or a packet took less CPU time.

    Throughput is the number of busy CPUs divided by the CPU time per packet, so that a ratio of two throughputs is the
    product of these two ratios. A cell with several modes has no sentence, because its medians may lie between them.
    """
    if not run.quantity.is_throughput or run.counts_packets:
        return []
    loads = {load.key.variant: load for load in run.loads if load.key.place == standing.key.place}
    several = {str(row["variant"]) for row in standing.rows if row["modes"]}
    said = []
    for lead in leads:
        if (lead.is_clear or lead.is_ahead) and not {lead.variant, lead.other} & several:
            mine, theirs = loads.get(lead.variant), loads.get(lead.other)
            if mine is not None and theirs is not None:
                said.append(_cause(mine, theirs))
    return [sentence for sentence in said if sentence]


def _cause(mine: CellLoad, theirs: CellLoad) -> str:
    """Return the sentence on two loads; empty if the first has no higher median."""
    busy, others_busy = (sum(group.total for group in load.sampled) for load in (mine, theirs))
    cost, others_cost = (sum(part.ns for part in parts_of(load)) for load in (mine, theirs))
    if not (min(busy, others_busy, cost, others_cost) > 0 and mine.throughput_bps > theirs.throughput_bps):
        return ""
    more, cheaper = busy / others_busy, others_cost / cost
    cpus = "CPUs" if mine.shared else "CPUs of the path"
    of_busy, times_busy = f"{busy:.3g} against {others_busy:.3g}", f"({more:.2f} times)"
    of_cost, times_cost = f"{cost:,.0f} against {others_cost:,.0f} ns", f"({1 / cheaper:.2f} times)"
    share = math.log(more) / math.log(more * cheaper)
    if share >= _MOSTLY:
        reason = f"mostly because more {cpus} are busy, {of_busy} {times_busy}; a packet takes {of_cost} of CPU time"
    elif share <= 1 - _MOSTLY:
        reason = f"mostly because a packet takes less CPU time, {of_cost} {times_cost}; {of_busy} {cpus} are busy"
    else:
        reason = f"because a packet takes less CPU time, {of_cost} {times_cost}, "
        reason += f"and more {cpus} are busy, {of_busy} {times_busy}"
    return f"{mine.key.variant} is ahead of {theirs.key.variant} {reason}."


def limits_in_words(run: Run, at: Cell) -> str:
    """Return a sentence on the limit of each variant at the place of a cell; empty if no CPU was sampled there."""
    by_limit: dict[tuple[str, str, str], list[str]] = {}
    for load in run.loads:
        if load.key.place == at.place:
            found = limit_of(load)
            sure = "" if found.what == NONE else found.how_sure
            by_limit.setdefault((sure, found.what, found.label.removeprefix("probably ")), []).append(load.key.variant)
    said = []
    for (sure, what, label), variants in by_limit.items():
        if what == NONE:
            said.append(f"nothing was saturated with {listed(variants)}")
        else:
            # With all CPUs busy there is no bottleneck, so the label begins with none.
            text = label.removeprefix("none (").removesuffix(")") if what == ALL else label
            said.append(f"{'probable ' if sure == PROBABLY else ''}limit of {listed(variants)}: {text}")
    text = "; ".join(said)
    return f"{text[0].upper()}{text[1:]}." if text else ""


def reversals_in_words(run: Run, at: Cell) -> list[str]:
    """Return the sentence of `reversals` for the place ``at``, and one that lists other places with a clear reversal;
    empty if there is none."""
    found = [one for one in reversals(run) if one.is_clear]
    here = [one.sentence for one in found if one.place == at.place]
    others = [place_in_words(one.place) for one in found if one.place != at.place]
    if not others:
        return here
    named = (
        others if len(others) <= _MOST_NAMED else [*others[:_MOST_NAMED], f"{len(others) - _MOST_NAMED} more places"]
    )
    return [
        *here,
        f"With {listed(named)} the fastest variant is not the one that carries most for each {found[0].core}.",
    ]
