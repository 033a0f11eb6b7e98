# SPDX-License-Identifier: Apache-2.0
"""Reversals of the ranking of variants when throughput is divided by the number of busy cores."""

from dataclasses import dataclass

import pandas as pd

from orchestrator.analysis.cells import values_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.costs import of_gateways
from orchestrator.analysis.limits.loads import busy_share
from orchestrator.analysis.standings import place_in_words
from orchestrator.spec import Cell
from orchestrator.stats import PairedRatio, paired_ratio


@dataclass(frozen=True)
class Reversal:
    """A place (all levels but the variant) at which the variant with the highest median throughput, ``fastest``, is not
    the one with the highest median throughput per busy core, ``cheapest``.

    ``core``: what a busy core is here, in words. ``rate``: the ratio of the fastest's throughput to the cheapest's,
    paired by round; ``each``: the ratio of the cheapest's throughput per busy core to the fastest's.
    """

    place: Cell
    fastest: str
    cheapest: str
    core: str
    rate: PairedRatio
    each: PairedRatio

    @property
    def is_clear(self) -> bool:
        """Return whether the cheapest is significantly ahead per busy core: the whole 95 % interval lies above 1."""
        return _is_above(self.each)

    @property
    def sentence(self) -> str:
        """Return a sentence with both ratios and their intervals."""
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
    """Return the number of busy cores in each sampled trial, by trial_id: of the two gateways, or of the host if roles
    share its CPUs."""
    samples = of_gateways(run)
    busy: pd.Series = busy_share(samples)
    return busy.groupby(samples["trial_id"]).sum()


def core_in_words(run: Run) -> str:
    """Return the meaning of a core in `busy_cores`: a busy core of the gateways, or simply a busy core."""
    return "busy core" if (run.per_core["role"] == "").all() else "busy gateway core"


def reversals(run: Run) -> list[Reversal]:
    """Return the places of a run at which the ranking differs per busy core, in the order of places.

    Only trials whose CPUs were sampled count, and only if both variants share a round.
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
