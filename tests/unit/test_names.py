# SPDX-License-Identifier: Apache-2.0
"""A class's name stands for one class."""

import ast
from pathlib import Path

import orchestrator


def test_no_two_classes_have_the_same_name() -> None:
    found: dict[str, list[str]] = {}
    for file in sorted(Path(orchestrator.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(f"{file}:{node.lineno}")
    assert len(found) > 100
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert not twice, f"Name each class by what is particular to it: {twice}"
