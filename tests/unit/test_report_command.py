# SPDX-License-Identifier: Apache-2.0
"""`orch report`, and the table at the end of `orch run`."""

from pathlib import Path

import pytest

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
    assert "is no run's directory" in said


def test_the_table_has_a_row_a_cell_and_says_what_is_not_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_run(tmp_path, fate=lambda trial: ["failed"] if trial["order"] == 2 else ["ok"])
    print_summary(path)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines[2:6]] == [["1", "1"], ["1", "2"], ["2", "1"], ["2", "2"]]
    assert lines[-1] == "25 of 26 trials are ok; 1 failed."
