# SPDX-License-Identifier: Apache-2.0
"""The stored description of the computer on which a run was made."""

import pytest

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
