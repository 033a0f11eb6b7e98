# SPDX-License-Identifier: Apache-2.0
"""Output to a file or a pipe is neither wrapped nor padded, and NO_COLOR removes all attributes."""

import pytest
from rich.padding import Padding
from rich.table import Table

from orchestrator.cli import consoles

LONG = "a sentence that is as long as sentences are " * 10


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("COLUMNS", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)


def test_lines_into_a_pipe_are_whole_and_end_where_their_text_ends(capsys: pytest.CaptureFixture[str]) -> None:
    console = consoles.output()
    table = Table("a", "b", box=None)
    table.add_row(LONG.strip(), "x")
    table.add_row("short", "")
    console.print(LONG)
    console.print(Padding("indented", (0, 0, 0, 4)))
    console.print(table)
    lines = capsys.readouterr().out.split("\n")
    assert lines[0] == LONG.strip()
    assert lines[1] == "    indented"
    assert lines[3].split() == [*LONG.split(), "x"]
    assert not [line for line in lines if line.endswith(" ")]


def test_columns_of_the_caller_wrap(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    consoles.output().print(LONG)
    assert max(map(len, capsys.readouterr().out.split("\n"))) <= 40


@pytest.mark.parametrize(("no_color", "plain"), [("1", True), ("", False)])
def test_no_color_leaves_no_attribute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], no_color: str, plain: bool
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", no_color)
    consoles.output().print("[bold]a[/] [red]b[/]", markup=True)
    consoles.errors().print("[dim]c[/]")
    said = capsys.readouterr()
    assert ("\x1b[" not in said.out + said.err) is plain


def test_texts_are_shown_as_they_are_also_in_tables(capsys: pytest.CaptureFixture[str]) -> None:
    text = "results/:smile:/[bold]x[/] [/b]"
    table = Table("[a/b]")
    table.add_row(text)
    consoles.output().print(text)
    consoles.output().print(table)
    said = capsys.readouterr().out
    assert said.count(text) == 2
    assert "[a/b]" in said
