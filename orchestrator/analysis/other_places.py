# SPDX-License-Identifier: Apache-2.0
"""Sentences for a headline on the places of a run besides its own."""

from collections import Counter
from collections.abc import Sequence

from orchestrator.analysis.quantity import Quantity
from orchestrator.analysis.standings import Standing, listed, place_in_words
from orchestrator.spec import Cell

_MOST_NAMED = 3  # most places in a sentence


def not_ahead_in_words(quantity: Quantity, found: Sequence[Standing], at: Standing) -> str:
    """Return a sentence on the places where the best variant at one place, ``at``, is not ahead of all others; empty if
    there is none, or if it is not ahead at that place either."""
    best = at.best
    if at.outcome not in ("won", "ahead"):
        return ""
    others = [
        one
        for one in found
        if one.key.place != at.key.place
        and any(row["variant"] == best for row in one.rows)
        and one.outcome != "alone"
        and not (one.best == best and one.outcome in ("won", "ahead"))
    ]
    if not others:
        return ""
    median = f"has the {'highest' if quantity.higher else 'lowest'} median"
    said = []
    for one in others:
        if one.best == best:
            why = f"indistinguishable from {listed(one.rivals)}" if one.rivals else "undecided"
        elif one.outcome in ("won", "ahead"):
            why = f"{one.best} {'won' if one.outcome == 'won' else 'was ahead'}"
        else:
            against = f", but is indistinguishable from {best}" if best in one.rivals else ""
            why = f"{one.best} {median}{against}"
        said.append(f"with {one.where} ({why})")
    if len(said) > _MOST_NAMED:
        said = [*said[:_MOST_NAMED], f"at {len(said) - _MOST_NAMED} more places"]
    return f"{best} is not ahead {listed(said)}."


def every_place_in_words(found: Sequence[Standing], failed: Sequence[Cell]) -> str:
    """Return a sentence on the outcomes at all planned places; empty if there is only one place.

    ``failed``: the places without a valid trial.
    """
    places = len(found) + len(failed)
    if places < 2:
        return ""
    outcomes = Counter((one.best, one.outcome_of_many) for one in found if one.outcome_of_many in ("won", "ahead"))
    words = {"won": "won", "ahead": "was ahead in"}
    said = [f"{best} {words[outcome]} {n}" for (best, outcome), n in outcomes.most_common()]
    for outcome, what in (("undecided", "undecided"), ("alone", "without a comparison")):
        if number := sum(one.outcome == outcome for one in found):
            said.append(f"{number} {'are' if number != 1 else 'is'} {what}")
    if failed:
        named = listed([place_in_words(place) for place in failed])
        said.append(f"{len(failed)} {'have' if len(failed) != 1 else 'has'} no valid trial ({named})")
    comparisons = sum(len(one.leads) for one in found)
    kinds = {outcome for _, outcome in outcomes}
    how = f"Holm's correction for all {comparisons} comparisons"
    note = f" Each by its own numbers: none is significant after {how}." if kinds else ""
    if "won" in kinds:
        note = (
            f" Won: significant after {how}{'; ahead: by the numbers of that place alone' if 'ahead' in kinds else ''}."
        )
    of = "cores, tunnels and further factors" if any(one.key.more for one in found) else "cores and tunnels"
    return f"Of all {places} planned combinations of {of}, {listed(said)}.{note}"
