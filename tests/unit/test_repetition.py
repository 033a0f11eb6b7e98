# SPDX-License-Identifier: Apache-2.0
"""Code that is repeated between providers and between tools: at most a third of what it was in commit d5b06d2."""

import subprocess

import pytest

from orchestrator.paths import CHECKOUT
from tests.unit.test_stats_boots import benchmark

repetition = benchmark("repetition")
EARLIER = "d5b06d2"
THEN = {
    "providers": {"lines 6": 12, "lines 4": 44, "statements 3": 34},
    "tools": {"lines 6": 0, "lines 4": 10, "statements 3": 0},
}
WAITING = '''
def wait(until):
    """Wait."""
    deadline = time.monotonic() + until  # {0}
    while not done():
        {0} = ask({1})
        if time.monotonic() > deadline:
            return False
    return True
'''


@pytest.mark.parametrize("part", THEN)
def test_a_third_of_what_was_repeated_is_left_at_most(part: str) -> None:
    found = repetition.count(repetition.modules()[part])
    assert {what: number for what, number in found.items() if number > THEN[part][what] / 3} == {}


def test_what_was_repeated_is_what_the_earlier_commit_has() -> None:
    known = subprocess.run(["git", "cat-file", "-e", EARLIER], cwd=CHECKOUT, capture_output=True, check=False)
    if known.returncode != 0:
        pytest.skip("this checkout has no history")
    assert {part: repetition.count(texts) for part, texts in repetition.modules(EARLIER).items()} == THEN


def test_no_more_is_repeated_than_docs_say() -> None:
    text = (CHECKOUT / "docs" / "extending.md").read_text()
    for what, name in (
        ("lines 6", "lines, in runs of 6 or more"),
        ("lines 4", "lines, in runs of 4 or more"),
        ("statements 3", "statements, in runs of 3 or more"),
    ):
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        cells = [int(cell) for cell in row.split("|")[2:-1]]
        assert cells[::2] == [THEN[part][what] for part in ("providers", "tools")]
        found = [repetition.count(repetition.modules()[part])[what] for part in ("providers", "tools")]
        assert all(number <= said for number, said in zip(found, cells[1::2], strict=True)), found


def test_a_run_counts_in_each_file_that_has_it() -> None:
    twice = {"a.py": WAITING.format("told", "1"), "b.py": "import x\n\n" + WAITING.format("told", "1")}
    assert repetition.count(twice) == {"lines 6": 14, "lines 4": 14, "statements 3": 12}
    differing = {"a.py": WAITING.format("told", "1"), "b.py": WAITING.format("said", "2")}
    assert repetition.count(differing) == {"lines 6": 0, "lines 4": 0, "statements 3": 6}


def test_what_one_file_repeats_and_what_only_declares_is_not_counted() -> None:
    inside = {"a.py": WAITING.format("told", "1") * 2, "b.py": "x = 1\n"}
    assert set(repetition.count(inside).values()) == {0}
    fields = "class {}:\n    a: int\n    b: int\n    c: int\n    d: int\n    e: int\n    f: int\n"
    declared = {"a.py": fields.format("A"), "b.py": fields.format("B")}
    assert repetition.count(declared) == {"lines 6": 12, "lines 4": 12, "statements 3": 0}


def test_line_breaks_hide_no_statement() -> None:
    one = "a = f(1, 2)\nb = g(a, 3)\nc = h(b, 4)\n"
    other = "a = f(\n    1,\n    2,\n)\nb = g(\n    a,\n    3,\n)\nc = h(\n    b,\n    4,\n)\n"
    assert repetition.count({"a.py": one, "b.py": other}) == {"lines 6": 0, "lines 4": 0, "statements 3": 6}
