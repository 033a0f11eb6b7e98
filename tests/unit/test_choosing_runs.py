# SPDX-License-Identifier: Apache-2.0
"""Which run a path means, the list of runs, archives that are named, and what is not overwritten."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from orchestrator.cli.app import run_command
from orchestrator.cli.notebook import latest
from orchestrator.cli.runs import writable_run
from orchestrator.publish import export_run
from orchestrator.store import find_run
from orchestrator.store.reading import newest_first, runs_below
from tests.unit.synthetic_run import write_run


def run_of(root: Path, name: str, began: str | None = None) -> Path:
    """Return a run in a folder with a name; its run.json says when it began."""
    made = write_run(root / "made", rounds=1, cores=(2,), tunnels=(1,))
    folder = root / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    made.rename(folder)
    shutil.rmtree(root / "made")
    if began is not None:
        file = folder / "run.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "started_at": began}))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    run_of(tmp_path, "results/scaling/20260301T100000Z-aaaa")
    run_of(tmp_path, "results/scaling/20260302T100000Z-bbbb")
    run_of(tmp_path, "results/example", "2026-03-01T12:00:00.000Z")
    return tmp_path / "results"


def test_the_newest_run_is_the_one_that_began_last_whatever_its_name(runs: Path, tmp_path: Path) -> None:
    order = [runs / "scaling/20260302T100000Z-bbbb", runs / "example", runs / "scaling/20260301T100000Z-aaaa"]
    assert newest_first(order[::-1]) == order
    assert find_run(runs) == order[0].resolve()
    run_of(tmp_path, "results/a-copy", "2026-03-02T10:30:00+01:00")  # later when compared as text
    assert find_run(runs) == order[0].resolve()
    later = run_of(tmp_path, "results/the-last", "2026-03-02T10:30:00.000Z")
    assert find_run(runs) == later.resolve()


def test_a_run_that_does_not_say_when_it_began_has_the_time_of_its_file(runs: Path, tmp_path: Path) -> None:
    copy = run_of(tmp_path, "results/copy")
    (copy / "run.json").write_text("{")
    os.utime(copy / "run.json", (0, 0))
    assert newest_first([copy, runs / "example"]) == [runs / "example", copy]


@pytest.mark.parametrize("command", ["verify", "compare", "export"])
def test_the_run_that_a_folder_means_is_named(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = {"compare": [str(runs / "example")], "export": ["--output", str(tmp_path / "a.zip")]}.get(command, [])
    newest = runs / "scaling/20260302T100000Z-bbbb"
    (newest / "report.html").write_text("drawn")
    run_command([command, str(runs), *more])
    assert f"the newest run in {runs} is {newest.resolve()}" in capsys.readouterr().err
    run_command([command, str(newest), *more])
    assert "the newest run" not in capsys.readouterr().err


def test_the_list_has_every_run_the_newest_first(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "example" / "run.json").write_text('{"state": 1}')
    os.utime(runs / "example" / "run.json", (0, 0))
    assert run_command(["list", str(runs), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [Path(run["path"]).name for run in found] == ["20260302T100000Z-bbbb", "20260301T100000Z-aaaa", "example"]
    assert (found[0]["ok"], found[0]["trials"], found[0]["experiment"]) == (3, 3, "synthetic")
    assert "is not a valid run of orch" in found[2]["damaged"]
    assert run_command(["list", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert (
        shown.index("bbbb") < shown.index("aaaa") < shown.index("damaged") < shown.index("is not a valid run of orch")
    )
    assert "3 of 3" in shown


@pytest.mark.parametrize("width", [20, 60, 80, 250])
def test_the_list_breaks_no_path(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int
) -> None:
    (runs / "example" / "run.json").write_text('{"state": 1}')
    monkeypatch.setenv("COLUMNS", str(width))
    assert run_command(["list", str(runs)]) == 0
    shown = capsys.readouterr().out
    assert all(any(line.endswith(str(run)) for line in shown.splitlines()) for run in runs_below(runs))
    assert ("began" in shown) == (width == 250)


def test_the_list_counts_a_run_whose_tables_are_not_written(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = runs / "scaling/20260302T100000Z-bbbb"
    shutil.rmtree(sorted((newest / "trials").iterdir())[0])
    run_command(["list", str(runs), "--json"])
    assert json.loads(capsys.readouterr().out)["runs"][0]["ok"] == 2


def test_the_list_of_a_run_is_that_run(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = runs / "scaling/20260302T100000Z-bbbb"
    assert run_command(["list", str(run), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert (found["path"], found["ok"]) == (str(run), 3)


def test_a_folder_without_runs_has_no_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["list", str(tmp_path / "nothing")]) == 2
    assert "There is no run in" in capsys.readouterr().err


def test_the_notebook_s_own_choice_is_the_newest_run_that_is_no_example(runs: Path) -> None:
    assert latest(runs).name == "20260302T100000Z-bbbb"


def test_an_archive_is_unpacked_beside_it_once(runs: Path, tmp_path: Path) -> None:
    archive = tmp_path / "there" / "a run.zip"
    archive.parent.mkdir()
    export_run(runs / "example", archive)
    folder = writable_run(archive, None)
    assert folder == archive.with_suffix("")
    (folder / "notes.txt").write_text("mine")
    assert writable_run(archive, None) == folder
    assert (folder / "notes.txt").read_text() == "mine"
    assert writable_run(archive, tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_verdicts_on_an_archive_name_the_archive(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "a.zip"
    export_run(runs / "example", archive)
    run_command(["verify", str(archive), "--json"])
    assert json.loads(capsys.readouterr().out)["run"] == str(archive.resolve())


def test_an_archive_is_replaced_only_when_asked(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, archive = runs / "example", tmp_path / "a.zip"
    (run / "report.html").write_text("drawn")
    archive.write_text("another")
    assert run_command(["export", str(run), "--output", str(archive)]) == 2
    assert archive.read_text() == "another"
    assert "already exists" in capsys.readouterr().err
    assert run_command(["export", str(run), "--output", str(archive), "--force"]) == 0
    assert archive.read_bytes()[:2] == b"PK"


def test_a_run_that_cannot_be_copied_is_a_sentence(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = find_run(runs)
    os.mkfifo(run / "pipe")
    assert run_command(["report", str(run), "--output", str(tmp_path / "copy")]) == 2
    assert re.search(r"/pipe cannot be copied: .*is a named pipe.* `--output` names another", capsys.readouterr().err)
    assert not (tmp_path / "copy").exists()


def test_a_run_without_the_text_of_its_spec_is_not_repeated(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = find_run(runs)
    meta = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({name: value for name, value in meta.items() if name != "spec_text"}))
    assert run_command(["rerun", str(run), "--yes"]) == 2
    assert "run.json does not have the text of the run's spec" in capsys.readouterr().err
