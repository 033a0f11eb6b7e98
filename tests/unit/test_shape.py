# SPDX-License-Identifier: Apache-2.0
"""The fast check of a shape agrees with the slow one, which describes errors in words."""

import copy
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from orchestrator.store.shape import Each, Maybe, _check_of, misfit

LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.sampled_from(["ok", "a b", ""])
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3)
)
_KINDS: list[Any] = [str, int, float, bool, dict, list, ("ok", "failed"), re.compile(r"\w+")]
SHAPES = st.recursive(
    st.sampled_from(_KINDS),
    lambda inner: st.one_of(
        st.builds(Maybe, inner),
        st.builds(Each, inner),
        inner.map(lambda shape: [shape]),
        st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    ),
    max_leaves=6,
)


@given(value=VALUES, shape=SHAPES)
def test_the_quick_check_agrees_with_the_words(value: Any, shape: Any) -> None:
    slow = misfit(value, shape, "here")  # with a place, the top level is not checked by the fast path
    assert _check_of(copy.deepcopy(shape))(value) == (slow is None)
    assert (misfit(value, shape) is None) == (slow is None)
