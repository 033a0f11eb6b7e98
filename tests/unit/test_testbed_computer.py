# SPDX-License-Identifier: Apache-2.0
"""The stored description of the computer on which a run was made, and waiting for its other load."""

from types import SimpleNamespace

import pytest

from orchestrator.testbed import quiet
from orchestrator.testbed.computer import for_the_kernel


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("quiet isolcpus=2-3 -- --listen 2024", "quiet isolcpus=2-3"),
        ("quiet --", "quiet"),
        ("a=b--c quiet", "a=b--c quiet"),
        ("", ""),
    ],
)
def test_of_a_command_line_only_what_is_for_the_kernel_is_stored(line: str, kept: str) -> None:
    assert for_the_kernel(line) == kept


def test_waiting_ends_when_other_load_drops_or_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(quiet, "time", SimpleNamespace(monotonic=lambda: now_s))

    def load() -> float:
        nonlocal now_s
        now_s += 1.0
        return 0.5 if now_s < 4.0 else 0.1

    assert quiet.wait_until_below(load, 0.2, 10.0)
    assert now_s == 4.0
    now_s = 0.0
    assert not quiet.wait_until_below(load, 0.2, 1.5)
    assert now_s == 2.0
    now_s = 3.0
    assert quiet.wait_until_below(load, 0.2, 0.0)  # it is read once at least
