# SPDX-License-Identifier: Apache-2.0
"""The page's descriptions of variants."""

from typing import Any

import pytest

from orchestrator.analysis.page_words import described

INLINE: dict[str, Any] = {
    "build": "multitunnel",
    "threaded": False,
    "pinned": False,
    "settings": {"transmit": "inline", "receive": "inline"},
}


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("inline", {}, "Our WireGuard, a packet is encrypted by the CPU that sends it"),
        (
            "inline",
            {"description": "Mine"},
            "Mine (our module, build multitunnel; receive = inline, transmit = inline)",
        ),
        ("inline", {"threaded": True}, "our module, build multitunnel; NAPI polls in threads; receive = inline"),
        ("inline", {"build": "other"}, "our module, build other; receive = inline"),
        ("mine", {}, "our module, build multitunnel; receive = inline"),
        ("mine", {"build": "own-0123456789ab", "settings": {}}, "own code, build own-0123456789ab"),
        (
            "threaded",
            {"build": "upstream", "threaded": True, "settings": {}},
            "Unmodified WireGuard, NAPI polls",
        ),
        ("pinned", {"pinned": True, "settings": {"transmit": "queued", "receive": "queued"}}, "Our WireGuard with the"),
    ],
)
def test_a_run_from_before_descriptions_gets_the_shipped_one_only_for_the_same_settings(
    name: str, changes: dict[str, Any], says: str
) -> None:
    assert described(name, {**INLINE, **changes}).startswith(says)
    assert described(name, None) == "not described in this run"
