# SPDX-License-Identifier: Apache-2.0
"""The headline of a run: which variant is best, and by how much, stated no more strongly than the numbers allow.

The place of the headline (a number of cores and tunnels) is chosen from the plan, before any number is looked at:
`standings.in_order_of_size`. A place without a valid trial is named, and the next one in that order is used.

A variant has won there if the 95 % interval of its paired ratio to each other variant lies above 1. With too few rounds
for such an interval, it can only be ahead, namely in every common round.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits import GENERATOR, limit_of
from orchestrator.analysis.limits.remarks import causes_in_words, limits_in_words, reversals_in_words
from orchestrator.analysis.noise_floor import floor_remark
from orchestrator.analysis.other_places import every_place_in_words, not_ahead_in_words
from orchestrator.analysis.packet_headline import packets_in_words
from orchestrator.analysis.profiles.remarks import stage_remarks
from orchestrator.analysis.quality import mode_remarks
from orchestrator.analysis.quantity import THROUGHPUT, Quantity
from orchestrator.analysis.sensitivity import sentence, with_invalid
from orchestrator.analysis.standings import (
    Lead,
    Standing,
    in_order_of_size,
    listed,
    lost_in_words,
    place_in_words,
    standings,
)
from orchestrator.spec import Cell
from orchestrator.spec.variants import UPSTREAM
from orchestrator.stats import FEWEST_FOR_INTERVAL
from orchestrator.store.clock import MEANING, NOT_MODELLED

if TYPE_CHECKING:
    import pandas as pd

_UNPATCHED = ("vanilla", "threaded")  # for runs that do not record which modules are the kernel's own
_FEWEST_VALID = 0.5  # share of the attempted trials that must be valid for a variant to be named


@dataclass(frozen=True, slots=True)
class Headline:
    """The result of a run, in words.

    ``verdict``: a sentence; ``leads``: the most relevant ratios, mostly to unpatched modules. Further sentences are in
    ``why`` (the reasons for the result), ``exceptions`` (where it is different) and ``notes`` (how it was measured).
    """

    verdict: str
    standing: Standing | None = None
    leads: Sequence[Lead] = ()
    why: Sequence[str] = ()
    exceptions: Sequence[str] = ()
    notes: Sequence[str] = ()
    quantity: Quantity = THROUGHPUT

    @property
    def remarks(self) -> list[str]:
        """Return all further sentences, in the order of ``why``, ``exceptions`` and ``notes``."""
        return [*self.why, *self.exceptions, *self.notes]

    @property
    def ratios(self) -> str:
        """Return the ratios as a sentence; empty if there are none."""
        if not self.leads or self.standing is None:
            return ""
        if not self.quantity.is_throughput:
            return f"With {self.standing.where}: {self.quantity.label} {listed(self.lead_texts)}."
        said = [f"{lead.median:.2f} times as much as {lead.other} ({lead.spread})" for lead in self.leads]
        return f"With {self.standing.where} {self.leads[0].variant} carried {listed(said)}."

    @property
    def lead_texts(self) -> list[str]:
        """Return each lead in a user-defined quantity as text: how many times as high it is with one variant as with
        another."""
        said = []
        for lead in self.leads:
            first, second = (lead.variant, lead.other) if self.quantity.higher else (lead.other, lead.variant)
            said.append(f"{lead.median:.2f} times as high with {first} as with {second} ({lead.spread})")
        return said


def headline(run: Run, found: Sequence[Standing] | None = None) -> Headline:
    """Return the headline of a run. ``found``: its `standings`, if already computed."""
    found = standings(run) if found is None else found
    first = _of(run, found)
    if (included := with_invalid(run)) is not None and first.standing is not None:
        other = _of(included.run, standings(included.run))
        remark = sentence(included, _conclusion(first), _conclusion(other))
        first = replace(first, notes=[*first.notes, remark])
    time = run.virtual_time
    if time is None or not (found or run.counts_packets):
        return first
    verdict = f"{first.verdict.removesuffix('.')} ({time.label})."
    return replace(first, verdict=verdict, notes=[*first.notes, MEANING, NOT_MODELLED])


def _conclusion(found: Headline) -> str:
    """Return a headline's essence without numbers: the verdict, and which ratios are above 1, below it, or neither."""
    said = [found.verdict.removesuffix(".")]
    for lead in found.leads:
        more, less = ("carried more", "carried less") if found.quantity.is_throughput else ("was better", "was worse")
        clear = more if lead.interval.low > 1 else less if lead.interval.high < 1 else ""
        said.append(
            f"{lead.variant} {clear} than {lead.other}"
            if clear
            else f"{lead.variant} has no clear ratio to {lead.other}"
        )
    return ", ".join(said)


def _of(run: Run, found: Sequence[Standing]) -> Headline:
    if run.counts_packets:
        verdict, why, notes = packets_in_words(run)
        return Headline(_few_valid(run) or verdict, why=why, notes=notes)
    if not found:
        return Headline(f"No valid results: none of the {len(run.planned)} planned trials is valid.")
    by_place = {standing.key.place: standing for standing in found}
    order = in_order_of_size(map(Cell.of, run.planned.to_dict("records")))
    failed = [place for place in order if place not in by_place]
    chosen = next(place for place in order if place in by_place)
    before = order[: order.index(chosen)]
    standing = by_place[chosen]
    leads = _matter(run, standing)
    why = [*causes_in_words(run, standing, leads), limits_in_words(run, standing.key)]
    why.append(stage_remarks(run).get(standing.key, ""))
    exceptions = [not_ahead_in_words(run.quantity, found, standing), *reversals_in_words(run, standing.key)]
    notes = [*_skipped(run, before, standing), *_notes(run, standing), every_place_in_words(found, failed)]
    why, exceptions, notes = ([said for said in sentences if said] for sentences in (why, exceptions, notes))
    verdict = _few_valid(run) or _verdict(run, standing)
    return Headline(verdict, standing, leads, why, exceptions, notes, run.quantity)


def _few_valid(run: Run) -> str:
    """Return the verdict on a run most of whose trials did not work; empty for others."""
    counts = {**run.counts(), "missing": 0}  # trials that were never attempted, as after an interruption, do not count
    tried = sum(counts.values())
    if counts["ok"] >= _FEWEST_VALID * tried:
        return ""
    return f"No verdict: only {counts['ok']} of {tried} trials are valid ({lost_in_words(counts)})."


def _matter(run: Run, standing: Standing) -> list[Lead]:
    """Return the leads over unpatched modules, vanilla first, and over the second variant if that is another."""
    described = run.meta.get("variants") or {}

    def is_unpatched(name: str) -> bool:
        build = (described.get(name) or {}).get("build")
        return name in _UNPATCHED if build is None else build == UPSTREAM

    order = {name: place for place, name in enumerate(run.variants)}
    unpatched = [lead for lead in standing.leads if is_unpatched(lead.other)]
    unpatched.sort(key=lambda lead: (lead.other != run.reference, order[lead.other]))
    return [*unpatched, *(lead for lead in standing.leads[:1] if lead not in unpatched)]


def _verdict(run: Run, standing: Standing) -> str:
    best, outcome, leads = standing.best, standing.outcome, standing.leads
    absent = _absent(run, standing)
    beside = f"; {listed(absent)} {'has' if len(absent) == 1 else 'have'} no valid trial there" if absent else ""
    if outcome == "alone":
        row = standing.rows[0]
        quantity = run.quantity
        carried = run.in_its_time(quantity.text(row[quantity.of("median")], ".2f"))
        if not quantity.is_throughput:
            where = f"with {standing.where}{beside or '; nothing to compare it with'}"
            return f"{quantity.label} of {best}: {carried} in the median {where}."
        return f"{best} carried {carried} with {standing.where}{beside or '; nothing to compare it with'}."
    if outcome == "won":
        against = f" against {listed([lead.other for lead in leads])}" if absent else ""
        return f"{best} won{against}{beside}."
    if outcome == "ahead":
        if all(lead.in_every_round for lead in leads) and len({lead.n for lead in leads}) == 1:
            return f"{best} was ahead in each of the {leads[0].n} rounds that were measured{beside}."
        said = [f"of {lead.other} in {lead.rounds_ahead} of {lead.n} rounds" for lead in leads]
        return f"{best} was ahead {listed(said)}{beside}."
    if leads and all(lead.n == 1 for lead in leads):
        return f"No winner can be named from one round. {best} {run.quantity.carried_most} in it{beside}."
    said = [f"{listed([best, *standing.rivals])} are statistically indistinguishable"] if standing.rivals else []
    first = "highest" if run.quantity.higher else "lowest"
    more = run.quantity.carried_more
    said += [f"{best} has the {first} median, and {name} {more} in their rounds" for name in standing.behind]
    said += [f"{name} shares no valid round with {best}" for name in standing.unpaired]
    return f"No clear winner: {', '.join(said)}{beside}."


def _absent(run: Run, standing: Standing) -> list[str]:
    """Return the variants that were planned at a place but have no valid trial there."""
    planned = set(_at(run.planned, standing.key.place)["variant"])
    there = {row["variant"] for row in standing.rows}
    return [name for name in run.variants if name in planned and name not in there]


def _skipped(run: Run, places: Sequence[Cell], standing: Standing) -> list[str]:
    """Return a sentence on the preferred places without a result."""
    if not places:
        return []
    said = [f"{place_in_words(place)} ({lost_in_words(_counts(_at(run.planned, place)))})" for place in places]
    return [f"No trial is valid with {listed(said)}, so this is about the next largest place: {standing.where}."]


def _notes(run: Run, standing: Standing) -> list[str]:
    said = [_of_trials(run, standing)]
    if standing.higher:
        way = "higher" if run.quantity.higher else "lower"
        more = f"has a {way} median" if len(standing.higher) == 1 else f"have {way} medians"
        better = run.quantity.carried_more
        said.append(
            f"{listed(standing.higher)} {more} over all rounds; in those that both have, {standing.best} {better}."
        )
    if standing.leads and any(lead.interval.is_range for lead in standing.leads):
        said.append(
            f"Too few rounds for a 95 % interval, which needs {FEWEST_FOR_INTERVAL}: treat this as a first look."
        )
    said += mode_remarks(run, standing.key, standing.rows)
    effects = [(f"{lead.median:.2f} times {lead.other}", lead.median) for lead in _matter(run, standing)]
    said += filter(None, [floor_remark(run, standing.key, effects)])
    if run.quantity.direction:
        said.append(f"{run.quantity.label} in {run.quantity.unit}: {run.quantity.direction}.")
    labelled = {load.key for load in run.loads if limit_of(load).what == GENERATOR}
    bound = [row for row in standing.rows if row["generator_bound"] and Cell.of(row) not in labelled]
    if bound:
        names = listed([str(row["variant"]) for row in bound])
        said.append(f"{names} came close to the baseline, so the generator may be the limit.")
    return said


def _of_trials(run: Run, standing: Standing) -> str:
    """Return how many of the trials at a place are ok, and the outcome of the attempts that are not."""
    place = standing.key.place
    counts = _counts(_at(run.planned, place))
    tried = _counts(_at(run.attempts[run.attempts["kind"] == "measure"], place))
    planned = sum(counts.values())
    lost = [f"{tried[status]} attempts {what}" for status, what in _BAD.items() if tried[status] > 1]
    lost += [f"1 attempt {what}" for status, what in _BAD.items() if tried[status] == 1]
    lost += [f"{counts['missing']} not measured"] if counts["missing"] else []
    beside = listed(lost) if lost else "no attempt failed or was invalid"
    return f"With {standing.where} {counts['ok']} of {planned} trials are valid: {beside}."


_BAD = {"failed": "failed", "invalid": "broke a limit"}


def _at(trials: "pd.DataFrame", place: Cell) -> "pd.DataFrame":
    return trials[[Cell.of(row).place == place for row in trials.to_dict("records")]]


def _counts(trials: "pd.DataFrame") -> Counter[str]:
    return Counter(trials["status"])
