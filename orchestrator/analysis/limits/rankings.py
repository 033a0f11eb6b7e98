# SPDX-License-Identifier: Apache-2.0
"""Where the order of variants changes when throughput is divided by the cores that it kept busy."""

from dataclasses import dataclass

import pandas as pd

from orchestrator.analysis.cells import values_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.costs import of_gateways
from orchestrator.analysis.standings import place_in_words
from orchestrator.spec import Cell
from orchestrator.stats import PairedRatio, paired_ratio


@dataclass(frozen=True)
class Reversal:
    """A place (all levels but the variant) at which the variant with the highest median of throughput, ``fastest``, is
    not the one with the highest median of throughput for each busy core, ``cheapest``.

    ``core``: what a busy core is here, in words. ``rate``: how many times as much as the cheapest the fastest carries,
    paired by round; ``each``: how many times as much as the fastest the cheapest carries for each busy core.
    """

    place: Cell
    fastest: str
    cheapest: str
    core: str
    rate: PairedRatio
    each: PairedRatio

    @property
    def is_clear(self) -> bool:
        """Whether the cheapest is ahead for each busy core by more than chance: all of a 95 % interval lies above 1."""
        return _is_above(self.each)

    @property
    def sentence(self) -> str:
        """In a sentence, with both ratios and how far each can be told from 1."""
        each, interval = self.each, self.each.interval
        spread = f"{interval.name} {interval.low:.2f} to {interval.high:.2f}, " if each.n > 1 else ""
        text = f"With {place_in_words(self.place)} {self.cheapest} carries {each.median:.2f} times as much as "
        text += f"{self.fastest} for each {self.core} ({spread}n = {each.n})"
        text += "" if _is_above(self.each) else ", which shows no difference"
        apart = "" if _is_above(self.rate) else ", which shows no difference"
        return f"{text}; in all {self.fastest} carries {self.rate.median:.2f} times as much{apart}."


def _is_above(ratio: PairedRatio) -> bool:
    return not ratio.interval.is_range and ratio.interval.low > 1


def busy_cores(run: Run) -> pd.Series:
    """How many cores each sampled trial kept busy, by trial_id: of the two gateways, or of the host where roles share
    its CPUs."""
    samples = of_gateways(run)
    busy = (1 - samples["idle"] - samples["iowait"] - samples["steal"]).clip(0, 1)
    return busy.groupby(samples["trial_id"]).sum()


def core_in_words(run: Run) -> str:
    """What a busy core of `busy_cores` is: a busy core of the gateways, or simply a busy core."""
    return "busy core" if (run.per_core["role"] == "").all() else "busy gateway core"


def reversals(run: Run) -> list[Reversal]:
    """The places of a run at which the order of variants changes for each busy core, in the order of places.

    Only of trials whose CPUs were sampled, and only where both variants share a round.
    """
    if not run.quantity.is_throughput or run.counts_packets or run.per_core.empty:
        return []
    spent = run.measured["trial_id"].map(busy_cores(run)).astype("float64")
    trials = run.measured[spent > 0]
    rates = values_of(run, trials)
    each = values_of(run, trials.assign(throughput_bps=trials["throughput_bps"] / spent[spent > 0]))
    places: dict[Cell, list[Cell]] = {}
    for key in rates:
        places.setdefault(key.place, []).append(key)
    found = []
    for place in sorted(places):
        fastest = max(places[place], key=lambda key: pd.Series(rates[key]).median())
        cheapest = max(places[place], key=lambda key: pd.Series(each[key]).median())
        rate, price = paired_ratio(rates[fastest], rates[cheapest]), paired_ratio(each[cheapest], each[fastest])
        if fastest != cheapest and rate is not None and price is not None:
            found.append(Reversal(place, fastest.variant, cheapest.variant, core_in_words(run), rate, price))
    return found
