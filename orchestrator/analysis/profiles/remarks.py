# SPDX-License-Identifier: Apache-2.0
"""Sentences on the difference between two variants, from their profiles."""

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.profiles.samples import Profile
from orchestrator.analysis.profiles.table import differences, ns_a_packet
from orchestrator.analysis.standings import listed, place_in_words
from orchestrator.spec import Cell

_MOST_NAMED = 4  # most stages in a sentence
_LEAST_NAMED = 0.05  # smallest share of a named stage in the sum of all differences by stage


def stage_remarks(run: Run) -> dict[Cell, str]:
    """Return {cell: sentence on its cost per packet by stage, compared with the reference variant at the same place}.

    Cells whose place has no profile of the reference are left out.
    """
    known = {one.key: one for one in run.profiles}
    references = {key.place: one for key, one in known.items() if key.variant == run.reference}
    found = {}
    for key, one in known.items():
        other = references.get(key.place)
        if other is not None and other is not one:
            found[key] = _in_words(one, other)
    return found


def _in_words(one: Profile, other: Profile) -> str:
    mine, theirs = (sum(ns_a_packet(profile).values()) for profile in (one, other))
    rows = differences(one, other)
    all_apart = sum(abs(a - b) for _, a, b in rows) or 1.0
    named = [
        f"{stage} {a:,.0f} against {b:,.0f}"
        for stage, a, b in rows[:_MOST_NAMED]
        if abs(a - b) >= _LEAST_NAMED * all_apart
    ]
    packet = f"a packet of {one.packet_bytes:.0f} bytes"
    text = f"By one profiled trial of each with {place_in_words(one.key)}, {packet} takes {mine:,.0f} ns "
    text += f"of CPU time with {one.key.variant} and {theirs:,.0f} ns with {other.key.variant}"
    return f"{text}; they differ most in {listed(named)} ns." if named else f"{text}."
