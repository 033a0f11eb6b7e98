# SPDX-License-Identifier: Apache-2.0
"""What a headline says about limits and about the order of variants for each busy core."""

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.rankings import reversals
from orchestrator.analysis.limits.rules import NONE, PROBABLY, limit_of
from orchestrator.analysis.standings import listed, place_in_words
from orchestrator.spec import Cell

_MOST_NAMED = 3  # places in a sentence


def limits_in_words(run: Run, at: Cell) -> str:
    """What limited each variant at the place of a cell, in a sentence; empty where no CPU was sampled there."""
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
    """What a headline about the place ``at`` says of `reversals`: the sentence of that place, and at which others
    the order clearly changes; empty where it nowhere does."""
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
