# SPDX-License-Identifier: Apache-2.0
"""Who won, and by how much: what a reader wants to know first, said no more strongly than the numbers allow.

A variant has won at a place (a number of cores and tunnels) if it has the highest median there and the 95 % interval of
its paired ratio to each other variant lies above 1. With too few rounds for such an interval it can only be ahead, and
an interval that holds 1 tells the two not apart. The place that the headline is about is chosen before any number is
looked at: the most cores, and there one tunnel a core, else the most tunnels.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.analysis.cells import Key, cells, throughputs
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.packets import in_order, packet_cells
from orchestrator.analysis.quality import mode_remarks
from orchestrator.analysis.sensitivity import sentence, with_invalid
from orchestrator.stats import FEWEST_FOR_INTERVAL, Interval, paired_ratio
from orchestrator.store.clock import MEANING, NOT_MODELLED

_UNPATCHED = ("vanilla", "threaded")  # where a run does not say which modules are as the kernel has them


@dataclass(frozen=True, slots=True)
class Lead:
    """How many times as much ``variant`` carries as ``other`` at the same place: the median of ``n`` pairs."""

    variant: str
    other: str
    n: int
    median: float
    interval: Interval

    @property
    def is_clear(self) -> bool:
        """Whether the 95 % interval lies above 1."""
        return not self.interval.is_range and self.interval.low > 1

    @property
    def is_ahead(self) -> bool:
        """Whether the variant carried more in every round, of too few for an interval."""
        return self.interval.is_range and self.interval.low > 1

    @property
    def spread(self) -> str:
        """The interval and the number of pairs, in words."""
        pairs = f"n = {self.n} pair{'s' * (self.n != 1)}"
        return (
            pairs
            if self.n == 1
            else f"{self.interval.name} {self.interval.low:.2f} to {self.interval.high:.2f}, {pairs}"
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """The variants that have a number at a place, the best first: ``rows`` of `cells`, with the ``leads`` of the first
    over each other, in their order; a variant that shares no round with it has none. ``key``: the best one's cell."""

    key: Key
    rows: Sequence[Mapping[str, Any]]
    leads: Sequence[Lead]

    @property
    def where(self) -> str:
        """The place in words."""
        _, cores, tunnels, *packets = str(self.key).split(", ")
        return ", ".join([f"{tunnels} on {cores}", *packets])

    @property
    def best(self) -> str:
        """The variant with the highest median."""
        return self.key.variant

    @property
    def outcome(self) -> str:
        """won, ahead, undecided, or alone: what can be said of the best."""
        if len(self.rows) < 2:
            return "alone"
        if len(self.leads) < len(self.rows) - 1:
            return "undecided"
        if all(lead.is_clear for lead in self.leads):
            return "won"
        return "ahead" if all(lead.is_clear or lead.is_ahead for lead in self.leads) else "undecided"

    @property
    def rivals(self) -> list[str]:
        """The variants that are not told apart from the best."""
        sure = {lead.other for lead in self.leads if lead.is_clear or lead.is_ahead}
        return [name for name in (str(row["variant"]) for row in self.rows[1:]) if name not in sure]


@dataclass(frozen=True, slots=True)
class Headline:
    """What came out, in words. ``verdict``: a sentence; ``leads``: the ratios that matter, most of them against
    unpatched modules; ``remarks``: sentences that belong to it."""

    verdict: str
    standing: Standing | None
    leads: Sequence[Lead]
    remarks: Sequence[str]

    @property
    def ratios(self) -> str:
        """The ratios as a sentence; empty where there is none."""
        if not self.leads or self.standing is None:
            return ""
        said = [f"{lead.median:.2f} times as much as {lead.other} ({lead.spread})" for lead in self.leads]
        return f"With {self.standing.where} {self.leads[0].variant} carried {listed(said)}."


def standings(run: Run) -> list[Standing]:
    """Who is how far at each place that has a valid trial, in the order of cores and tunnels."""
    values = throughputs(run.measured)
    places: dict[Any, list[Any]] = {}
    for row in cells(run).to_dict("records"):
        if row["n"] > 0:
            places.setdefault(Key.of(row).place, []).append(row)
    found = []
    for rows in places.values():
        rows.sort(key=lambda row: -row["median_bps"])
        best = Key.of(rows[0])
        leads = []
        for row in rows[1:]:
            ratio = paired_ratio(values[best], values[Key.of(row)])
            if ratio is not None:
                leads.append(Lead(best.variant, str(row["variant"]), ratio.n, ratio.median, ratio.interval))
        found.append(Standing(best, rows, leads))
    return found


def headline(run: Run, found: Sequence[Standing] | None = None) -> Headline:
    """What a run came to. ``found``: its `standings`, where they are at hand."""
    found = standings(run) if found is None else found
    first = _of(run, found)
    if (included := with_invalid(run)) is not None and first.standing is not None:
        other = _of(included.run, standings(included.run))
        remark = sentence(included, _conclusion(first), _conclusion(other))
        first = replace(first, remarks=[*first.remarks, remark])
    time = run.virtual_time
    if time is None or not (found or run.counts_packets):
        return first
    verdict = f"{first.verdict.removesuffix('.')} ({time.label})."
    return replace(first, verdict=verdict, remarks=[*first.remarks, MEANING, NOT_MODELLED])


def _conclusion(found: Headline) -> str:
    """What a headline comes to, without numbers: the verdict, and which ratios are above 1, below it, or neither."""
    said = [found.verdict.removesuffix(".")]
    for lead in found.leads:
        sign = "more than" if lead.interval.low > 1 else "less than" if lead.interval.high < 1 else "no clear ratio to"
        said.append(f"{lead.variant} {'carried ' if ' than' in sign else 'has '}{sign} {lead.other}")
    return ", ".join(said)


def _of(run: Run, found: Sequence[Standing]) -> Headline:
    if run.counts_packets:
        return Headline(_packets(run), None, [], [])
    if not found:
        planned = run.trials[run.trials["kind"] == "measure"]
        return Headline(f"Nothing came out: none of the {len(planned)} planned trials is valid.", None, [], [])
    standing = _chosen(found)
    leads = _matter(run, standing)
    return Headline(_verdict(run, standing), standing, leads, [*_remarks(run, standing, leads), *_elsewhere(found)])


def _packets(run: Run) -> str:
    """The highest medians at the smallest packets, most cores and tunnels, each variant's, and no more than that."""
    every = packet_cells(run)
    rows = [row for row in every.to_dict("records") if row["n"] > 0 and row["goal"] == every["goal"].iloc[0]]
    if not rows:
        planned = int((run.trials["kind"] == "measure").sum())
        return f"Nothing came out: none of the {planned} planned trials is valid."
    cores, tunnels = max(Key.of(row).place[:2] for row in rows)
    there = [row for row in rows if (row["cores"], row["tunnels"]) == (cores, tunnels)]
    smallest = min(there, key=lambda row: in_order(Key.of(row)))["packet_size"]
    there = sorted((row for row in there if row["packet_size"] == smallest), key=lambda row: -row["median_pps"])
    said = [f"{row['variant']} {row['median_pps'] / 1e3:.3g}" for row in there]
    size = f"packets of {smallest} bytes" if str(smallest).isdigit() else f"the mixture {smallest}"
    unit = run.in_its_time("kpps")
    place = f"{tunnels} tunnel{'s' * (tunnels != 1)} on {cores} core{'s' * (cores != 1)}"
    return f"With {place} and {size}, {unit} in the median: {listed(said)}."


def _chosen(found: Sequence[Standing]) -> Standing:
    cores = max(standing.key.cores for standing in found)
    there = [standing for standing in found if standing.key.cores == cores]
    per_core = [standing for standing in there if standing.key.tunnels == cores]
    return per_core[0] if per_core else max(there, key=lambda standing: standing.key.tunnels)


def _matter(run: Run, standing: Standing) -> list[Lead]:
    """The leads over unpatched modules, vanilla first, and over the second where that is another."""
    described = run.meta.get("variants") or {}

    def is_unpatched(name: str) -> bool:
        build = (described.get(name) or {}).get("build")
        return name in _UNPATCHED if build is None else build == "upstream"

    order = {name: place for place, name in enumerate(run.variants)}
    unpatched = [lead for lead in standing.leads if is_unpatched(lead.other)]
    unpatched.sort(key=lambda lead: (lead.other != run.reference, order[lead.other]))
    return [*unpatched, *(lead for lead in standing.leads[:1] if lead not in unpatched)]


def _verdict(run: Run, standing: Standing) -> str:
    best, outcome = standing.best, standing.outcome
    if outcome == "alone":
        row = standing.rows[0]
        carried = run.in_its_time(f"{row['median_bps'] / 1e9:.2f} Gbit/s")
        return f"{best} carried {carried} with {standing.where}; nothing to compare it with."
    if outcome == "won":
        return f"{best} won."
    if outcome == "ahead":
        rounds = min(lead.n for lead in standing.leads)
        return f"{best} was ahead in {'the one round' if rounds == 1 else 'every round'} that was measured."
    return f"No clear winner: {listed([best, *standing.rivals])} are not told apart."


def _remarks(run: Run, standing: Standing, leads: Sequence[Lead]) -> list[str]:
    said = []
    if standing.leads and any(lead.interval.is_range for lead in standing.leads):
        said.append(f"Too few rounds for a 95 % interval, which takes {FEWEST_FOR_INTERVAL}: take it as a first look.")
    place = standing.key.place
    here = [row for row in cells(run).to_dict("records") if Key.of(row).place == place]
    said += mode_remarks(run, standing.key, standing.rows)
    if leads:
        said.append(f"Invalid attempts in these cells: {sum(row['invalid_attempts'] for row in here) or 'none'}.")
    absent = [str(row["variant"]) for row in here if row["n"] == 0]
    if absent:
        said.append(f"Without a valid trial there: {listed(absent)}.")
    bound = [str(row["variant"]) for row in standing.rows if row["generator_bound"]]
    if bound:
        said.append(f"{listed(bound)} came close to the baseline, so the generator may be the limit.")
    return said


def _elsewhere(found: Sequence[Standing]) -> list[str]:
    """One sentence over all places, where there are several."""
    if len(found) < 2:
        return []
    outcomes = Counter((standing.best, standing.outcome) for standing in found if standing.outcome in ("won", "ahead"))
    said = [
        f"{best} {'won' if outcome == 'won' else 'was ahead in'} {n}" for (best, outcome), n in outcomes.most_common()
    ]
    undecided = sum(standing.outcome == "undecided" for standing in found)
    if undecided:
        said.append(f"{undecided} {'are' if undecided != 1 else 'is'} undecided")
    return [f"Of all {len(found)} combinations of cores and tunnels, {listed(said)}."] if said else []


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
