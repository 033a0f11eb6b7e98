# SPDX-License-Identifier: Apache-2.0
"""Sentences for a headline on limits and on the ranking of variants per busy core."""

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.rankings import reversals
from orchestrator.analysis.limits.rules import NONE, PROBABLY, limit_of
from orchestrator.analysis.standings import listed, place_in_words
from orchestrator.spec import Cell

_MOST_NAMED = 3  # most places in a sentence


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
            said.append(f"{'probable ' if sure == PROBABLY else ''}limit of {listed(variants)}: {label}")
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
