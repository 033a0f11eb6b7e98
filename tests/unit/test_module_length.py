# SPDX-License-Identifier: Apache-2.0
"""A module has one subject, and fits on a few screens."""

import ast

from orchestrator.paths import CHECKOUT

MOST_LINES = 300
REASON = "Longer than other modules: "


def test_a_module_that_is_longer_than_others_says_why_in_its_head() -> None:
    folders = ("orchestrator", "benchmarks", "docs", "kernel", "playbooks")
    files = [file for folder in folders for file in sorted((CHECKOUT / folder).rglob("*.py"))]
    assert len(files) > 100
    longer = {file: text for file in files if len((text := file.read_text()).splitlines()) > MOST_LINES}
    silent = [str(file) for file, text in longer.items() if REASON not in (ast.get_docstring(ast.parse(text)) or "")]
    assert not silent, f"Split these by subject, or say why not in the head, after {REASON!r}: {silent}"
