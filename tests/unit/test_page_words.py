# SPDX-License-Identifier: Apache-2.0
"""Values and texts as the page shows them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from orchestrator.analysis.page_words import FILTERS, coded, limit, recorded


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("percent", 0.163, "16 %"),
        ("share", 0.03769, "3.77 %"),
        ("share", 0.123, "12.3 %"),
        ("whole", 11283436, "11,283,436"),
        ("percent", None, "-"),
        ("share", float("nan"), "-"),
        ("whole", None, "-"),
    ],
)
def test_numbers_are_short_and_have_their_unit(name: str, value: float | None, shown: str) -> None:
    assert FILTERS[name](value) == shown


def test_a_limit_is_shown_as_a_spec_has_it() -> None:
    assert limit(0.005, False) == "0.5 %"
    assert limit(0.1, False) == "10 %"
    assert limit(0.5, True) == "500 ms"
    assert limit(None, True) == "None"


def test_what_was_recorded_of_a_computer_is_text() -> None:
    assert recorded(["AMD EPYC", "other"]) == "AMD EPYC, other"
    assert recorded({"b": None, "a": [True, 1]}) == "a: yes, 1; b: not readable here"


def test_backticks_are_code_and_nothing_else_is_markup() -> None:
    assert coded("`repetitions.boots` measures <several>") == (
        "<code>repetitions.boots</code> measures &lt;several&gt;"
    )


@given(st.text())
def test_a_text_with_code_has_the_same_characters(text: str) -> None:
    plain = str(coded(text)).replace("<code>", "`").replace("</code>", "`")
    assert plain == str(escape(text))
