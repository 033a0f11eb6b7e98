# SPDX-License-Identifier: Apache-2.0
"""The ranking of variants at each place: a number of cores and tunnels, and a packet size."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.analysis.cells import cells, values_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.quantity import Quantity
from orchestrator.spec import IMIX, Cell
from orchestrator.spec.cells import more_words
from orchestrator.stats import CONFIDENCE, Interval, ahead_test, holm, paired_ratio


@dataclass(frozen=True, slots=True)
class Lead:
    """The throughput of ``variant`` as a multiple of that of ``other`` at the same place: the median of ``n`` pairs.

    If lower values are better, it is how many times as high ``other`` is as ``variant``: above 1, ``variant`` is
    better. ``rounds_ahead``: the number of rounds in which it was better; ``p``: the p-value of that, by
    `orchestrator.stats.signs.ahead_test`; ``p_holm``: after Holm's correction for all leads of the run.
    """

    variant: str
    other: str
    n: int
    rounds_ahead: int
    median: float
    interval: Interval
    p: float = 1.0
    p_holm: float = 1.0

    @property
    def is_clear(self) -> bool:
        """Return whether the 95 % interval lies above 1."""
        return not self.interval.is_range and self.interval.low > 1

    @property
    def is_ahead(self) -> bool:
        """Return whether the variant was better in every common round, of which there are at least two but too few for
        an interval."""
        return self.interval.is_range and self.in_every_round

    @property
    def in_every_round(self) -> bool:
        """Return whether the variant was better in every common round, of which there are at least two."""
        return self.n > 1 and self.rounds_ahead == self.n

    @property
    def is_behind(self) -> bool:
        """Return whether the whole interval, or the whole range, lies below 1."""
        return self.interval.high < 1

    @property
    def stands(self) -> bool:
        """Return whether it is significant even as one of all comparisons of the run."""
        return self.is_clear and self.p_holm <= 1 - CONFIDENCE

    @property
    def spread(self) -> str:
        """Return the interval and the number of pairs, in words."""
        pairs = f"n = {self.n} pair{'s' * (self.n != 1)}"
        return (
            pairs
            if self.n == 1
            else f"{self.interval.name} {self.interval.low:.2f} to {self.interval.high:.2f}, {pairs}"
        )


@dataclass(frozen=True, slots=True)
class Standing:
    """The variants that have a number at a place.

    ``rows``: those of `cells`, the best first and the others by their medians. ``leads``: of the best over each other,
    in the same order; a variant that shares no round with it has none. ``key``: the cell of the best. ``higher``:
    variants whose median is nevertheless higher, over other rounds.
    """

    key: Cell
    rows: Sequence[Mapping[str, Any]]
    leads: Sequence[Lead]
    higher: Sequence[str] = ()

    @property
    def where(self) -> str:
        """Return the place in words."""
        return place_in_words(self.key)

    @property
    def best(self) -> str:
        """Return the variant that is first."""
        return self.key.variant

    @property
    def outcome(self) -> str:
        """Return won, ahead, undecided or alone: what can be said of the best at this place."""
        if len(self.rows) < 2:
            return "alone"
        if len(self.leads) < len(self.rows) - 1:
            return "undecided"
        if all(lead.is_clear for lead in self.leads):
            return "won"
        return "ahead" if all(lead.is_clear or lead.is_ahead for lead in self.leads) else "undecided"

    @property
    def outcome_of_many(self) -> str:
        """Return the outcome among those of all places: won only if that is significant after Holm's correction."""
        outcome = self.outcome
        return "ahead" if outcome == "won" and not all(lead.stands for lead in self.leads) else outcome

    @property
    def rivals(self) -> list[str]:
        """Return the variants indistinguishable from the best: the interval or the range of their ratio contains 1."""
        return [lead.other for lead in self.leads if not (lead.is_clear or lead.is_ahead or lead.is_behind)]

    @property
    def behind(self) -> list[str]:
        """Return the variants that were better than the best in the common rounds, which other variants contradict."""
        return [lead.other for lead in self.leads if lead.is_behind]

    @property
    def unpaired(self) -> list[str]:
        """Return the variants that share no round with the best."""
        paired = {lead.other for lead in self.leads}
        return [name for name in (str(row["variant"]) for row in self.rows[1:]) if name not in paired]


def in_order_of_size(keys: Iterable[Cell]) -> list[Cell]:
    """Return the places of cells in the order in which a headline prefers them.

    First come the most cores; among these one tunnel per core, which is the subject of the paper, then the most
    tunnels; among these the smallest packets, mixtures last.
    """
    places = {key.place for key in keys}
    return sorted(
        places,
        key=lambda place: (
            -place.cores,
            place.cores != place.tunnels,
            -place.tunnels,
            place.packet_size == IMIX,
            place,
        ),
    )


def standings(run: Run) -> list[Standing]:
    """Return the ranking at each place that has a valid trial, in the order of cores and tunnels.

    The best is the one with the best median (the highest, unless lower values are better), unless another was better in
    the common rounds by its whole interval: then it is the first that no other contradicts in this way. If each is
    contradicted, it is the best median.
    """
    values = values_of(run, run.measured)
    places: dict[Any, list[Any]] = {}
    for row in cells(run).to_dict("records"):
        if row["n"] > 0:
            places.setdefault(Cell.of(row).place, []).append(row)
    found = [_standing(run.quantity, rows, values) for rows in places.values()]
    corrected = iter(holm([lead.p for one in found for lead in one.leads]))
    return [
        replace(one, leads=[replace(lead, p_holm=p) for lead, p in zip(one.leads, corrected, strict=False)])
        if one.leads
        else one
        for one in found
    ]


def _standing(quantity: Quantity, rows: list[Any], values: Mapping[Cell, Mapping[tuple[Any, ...], float]]) -> Standing:
    median = quantity.of("median")
    rows.sort(key=lambda row: -row[median] if quantity.higher else row[median])
    every = [_leads(row, rows, values, higher=quantity.higher) for row in rows]
    place = next((i for i, leads in enumerate(every) if not any(lead.is_behind for lead in leads)), 0)
    others = [row for row in rows if row is not rows[place]]
    return Standing(
        Cell.of(rows[place]), [rows[place], *others], every[place], [str(row["variant"]) for row in rows[:place]]
    )


def _leads(
    mine: Any, rows: Sequence[Any], values: Mapping[Cell, Mapping[tuple[Any, ...], float]], *, higher: bool
) -> list[Lead]:
    found = []
    best = Cell.of(mine)
    for row in rows:
        other = Cell.of(row)
        above, below = (values[best], values[other]) if higher else (values[other], values[best])
        ratio = None if other == best else paired_ratio(above, below)
        if ratio is not None:
            ahead = sum(value > below[turn] > 0 for turn, value in above.items() if turn in below)
            p = ahead_test(ratio, ahead)
            found.append(Lead(best.variant, other.variant, ratio.n, ahead, ratio.median, ratio.interval, p))
    return found


def place_in_words(key: Cell) -> str:
    """Return a place as text, such as: 2 tunnels on 4 cores; or 2 tunnels on 4 cores (streams 8)."""
    further = more_words(key.more)
    _, cores, tunnels, *others = key.words()
    said = ", ".join([f"{tunnels} on {cores}", *others[: len(others) - len(further)]])
    return f"{said} ({', '.join(further)})" if further else said


def lost_in_words(counts: Mapping[str, int]) -> str:
    """Return the numbers of trials that are not ok as text, such as: 2 failed, 8 invalid."""
    lost = [f"{counts[status]} {status}" for status in ("failed", "invalid", "missing") if counts.get(status)]
    return ", ".join(lost) or "none planned"


def listed(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
