# SPDX-License-Identifier: Apache-2.0
"""Reasons of an attempt with many tunnels: short enough to read, and none is hidden."""

import re

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.measure.alike import SHOWN, condensed, named

MORE = re.compile(r" \(and (\d+) more like this\)$")


def test_hundreds_of_tunnels_give_three_sentences() -> None:
    late = [("window", f"tunnel {i}: received over 2.{i} s instead of 2 s") for i in range(1, 251)]
    few = [("counters", f"tunnel {i} carried {i}00 bytes, and {i}50 were received") for i in range(1, 4)]
    assert condensed([*late, *few]) == [
        *late[:2],
        ("window", "tunnel 3: received over 2.3 s instead of 2 s (and 247 more like this)"),
        *few,
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xyz"), st.integers(0, 10**6))))
def test_every_sentence_is_shown_or_counted_with_those_of_its_kind(given: list[tuple[str, str, int]]) -> None:
    breaches = [(limit, f"{what} {number}") for limit, what, number in given]
    found = condensed(breaches)
    assert {name for name, _ in found} == {name for name, _ in breaches}
    counted = sum(int(said.group(1)) for _, sentence in found if (said := MORE.search(sentence)))
    assert len(found) + counted == len(breaches)
    assert len(found) <= SHOWN * len({(limit, what) for limit, what, _ in given})


def test_of_hundreds_of_names_three_are_shown() -> None:
    assert named([f"gateway-a/wg{number}" for number in range(1, 201)]) == (
        "gateway-a/wg1, gateway-a/wg2, gateway-a/wg3 and 197 more"
    )
    assert named([1, 2, 3, 4]) == "1, 2, 3, 4"
    assert named([7]) == "7"
