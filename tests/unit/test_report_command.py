# SPDX-License-Identifier: Apache-2.0
"""`orch report`, and the summary at the end of `orch run`."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from orchestrator.cli.app import run_command
from orchestrator.cli.summary import print_summary
from tests.unit.synthetic_run import write_run


def test_a_report_of_the_latest_run_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(tmp_path, rounds=1, variants=["vanilla"])
    assert run_command(["report", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(path / "report.html")
    assert (path / "report.html").is_file()
    assert (path / "trials.parquet").is_file()


def test_what_is_no_run_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["report", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("orch: ")
    assert "is not a run directory" in said


@pytest.mark.parametrize("taken", ["figures", "notebooks", "report.html"])
def test_what_is_in_the_way_of_a_report_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], taken: str
) -> None:
    path = write_run(tmp_path, rounds=1, variants=["vanilla"])
    if taken == "report.html":
        (path / taken).mkdir()
    else:
        (path / taken).touch()
    assert run_command(["report", str(path)]) == 2
    assert f"orch: The report of {path} cannot be written: {path / taken}: " in capsys.readouterr().err


def test_a_file_of_a_run_is_told_with_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(tmp_path, rounds=1, variants=["vanilla"])
    for command in ("report", "verify", "explain"):
        assert run_command([command, str(path / "run.json")]) == 2
        assert f"is a file of a run. Name the run's folder: {path}" in capsys.readouterr().err


def said(path: Path, width: int, **more: Any) -> list[str]:
    stream = io.StringIO()
    print_summary(path, Console(file=stream, width=width, highlight=False, **more))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_summary_says_who_won_with_a_row_a_cell_and_what_is_not_ok(tmp_path: Path, width: int) -> None:
    path = write_run(tmp_path, rounds=7, fate=lambda trial: ["failed"] if trial["order"] == 2 else ["ok"])
    lines = said(path, width)
    assert "threaded won." in lines
    assert any(line.startswith("With 2 tunnels on 2 cores threaded carried 1.") for line in lines)
    head = next(place for place, line in enumerate(lines) if line.startswith("cores"))
    table = [line.split() for line in lines[head + 1 : lines.index("", head)]]
    assert len(table) == 8
    assert [row[:3] for row in table if row[0].isdigit()] == [[c, t, "vanilla"] for c in "12" for t in "12"]
    assert all("█" in "".join(row) for row in table)
    assert max(map(len, lines)) <= width
    assert lines[-1] == "57 of 58 trials are ok; 1 failed."
    assert any(line.startswith("Claims not testable here: C1,") for line in lines)


def test_the_summary_is_coloured_where_a_terminal_shows_it_and_plain_elsewhere(tmp_path: Path) -> None:
    path = write_run(tmp_path, rounds=1)
    assert "\x1b[" in "".join(said(path, 80, force_terminal=True, color_system="truecolor"))
    assert "\x1b" not in "".join(said(path, 80))


def test_the_summary_of_a_run_in_which_nothing_worked(tmp_path: Path) -> None:
    lines = said(write_run(tmp_path, variants=["vanilla"], fate=lambda trial: ["failed"]), 80)
    assert "No valid results: none of the 12 planned trials is valid." in lines
    assert lines[-1] == "0 of 14 trials are ok; 14 failed."
