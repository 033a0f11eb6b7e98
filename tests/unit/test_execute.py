# SPDX-License-Identifier: Apache-2.0
"""Executing notebooks wherever a run is stored, and the messages if that fails; the outcome of a run is unaffected."""

import base64
import contextlib
import errno
import io
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orchestrator import paths, private
from orchestrator.analysis import background, execute
from orchestrator.analysis.notebook_host import kernels
from orchestrator.analysis.notebooks import KERNEL
from orchestrator.cli import run as run_module
from orchestrator.errors import UserError, refusal
from orchestrator.run.campaign import CampaignSummary
from tests.unit.no_room import files_of_at_most
from tests.unit.synthetic_run import write_run


@pytest.fixture
def notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write a notebook "small" of a few cells, and return a function that executes it for a folder."""

    def make(*cells: str) -> None:
        about = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=about)
        (tmp_path / "books").mkdir(exist_ok=True)
        nbformat.write(made, tmp_path / "books" / "small.ipynb")
        monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "books")

    return make


def outputs(run: Path) -> str:
    content = json.loads((run / "notebooks" / "small.ipynb").read_text())
    return "".join("".join(one.get("text", "")) for cell in content["cells"] for one in cell.get("outputs", ()))


@pytest.mark.parametrize("sockets", [True, False])
def test_any_path_is_drawn_in_and_only_the_notebook_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, notebook: Any, sockets: bool
) -> None:
    if not sockets:
        monkeypatch.setattr(private, "_can_bind", lambda base: False)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "json.py").write_text("raise SystemExit('not ours')")
    (tmp_path / "startup.py").write_text("intruder = 1")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "theirs"))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "startup.py"))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "theirs"))
    run = tmp_path / os.fsdecode(b"a {x} {0} caf\xe9, b:c")
    run.mkdir()
    notebook(
        "import json, os, sys",
        "print('intruder' in globals(), os.listdir('..'))",
        "import ipykernel; print(ipykernel.get_connection_file())",
    )
    execute.execute(["small"], run)
    told, file = outputs(run).splitlines()
    assert told.startswith("False ")
    assert "/orch-notebook-" in file
    assert not os.path.exists(os.path.dirname(file))
    assert os.listdir(run / "notebooks") == ["small.ipynb"]
    assert str(tmp_path) not in (run / "notebooks" / "small.ipynb").read_text()
    assert os.environ["PYTHONPATH"] == str(tmp_path / "theirs")


def test_a_kernel_that_is_killed_is_a_sentence_with_the_notebook_up_to_there(tmp_path: Path, notebook: Any) -> None:
    notebook("print('before')", "import os; os.kill(os.getpid(), 9)", "print('after')")
    with pytest.raises(UserError, match=r"The notebook small could not be .* kernel .* has it, up to there"):
        execute.execute(["small"], tmp_path)
    assert outputs(tmp_path) == "before\n"


class Refusing:
    """Stands for drawing, and fails in every possible way."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __call__(self, *arguments: object, **named: object) -> None:
        raise self.error


@pytest.mark.parametrize(
    "error",
    [UserError("The notebook failed."), RuntimeError("Kernel died"), KeyError("x"), OSError(28, "No space", "/x")],
    ids=lambda error: type(error).__name__,
)
def test_the_outcome_and_the_path_come_first_and_a_failed_drawing_changes_no_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException
) -> None:
    path = write_run(tmp_path, rounds=1, variants=["vanilla"])
    monkeypatch.setattr("orchestrator.analysis.make_report", Refusing(error))
    summary = CampaignSummary(path)
    summary.statuses.update({"ok": 6})
    assert run_module.conclude(summary, "orch run x", False) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == str(path)
    assert "6 of 6 trials are ok." in said.out
    assert f"No report was drawn. {error.args[0]}"[:20] in said.err
    assert f"To try again: `orch report {path}`" in said.err
    summary.statuses.update({"failed": 1})
    assert run_module.conclude(summary, "orch run x", True) == 1
    assert json.loads(capsys.readouterr().out)["run"] == str(path)


class Full(io.StringIO):
    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EIO, "Input/output error"), "Input/output error"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero."),
        (UserError("The table is damaged."), "The table is damaged."),
    ],
)
def test_a_run_is_told_and_drawn_where_no_summary_can_be_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, said: str
) -> None:
    drawn: list[Path] = []
    monkeypatch.setattr("orchestrator.analysis.make_report", lambda path, tell, **rest: drawn.append(path))
    monkeypatch.setattr("orchestrator.cli.summary.print_summary", Refusing(error))
    monkeypatch.setattr(sys, "stdout", out := Full())
    summary = CampaignSummary(tmp_path)
    summary.statuses.update({"ok": 6})
    assert run_module.conclude(summary, "orch run x", False) == 0
    assert out.getvalue() == f"{tmp_path}\n"
    assert f"orch: no summary can be shown. {said}" in capsys.readouterr().err
    assert drawn == [tmp_path]


def two_notebooks(notebook: Any, folder: Path, *cells: str) -> None:
    """Write the notebooks "small" and "other", with the same cells, to the fixture's folder."""
    notebook(*cells)
    (folder / "books" / "other.ipynb").write_bytes((folder / "books" / "small.ipynb").read_bytes())


def test_notebooks_are_executed_beside_what_the_context_does(tmp_path: Path, notebook: Any) -> None:
    wait = "import pathlib, time\nwhile not pathlib.Path('../go').exists(): time.sleep(0.02)\nprint('went')"
    two_notebooks(notebook, tmp_path, wait)
    with execute.executing(["small", "other"], tmp_path):
        (tmp_path / "go").touch()
    assert outputs(tmp_path) == "went\n"
    assert sorted(os.listdir(tmp_path / "notebooks")) == ["other.ipynb", "small.ipynb"]


def test_a_notebook_has_a_folder_of_its_own_and_this_process_keeps_its_own(tmp_path: Path, notebook: Any) -> None:
    notebook(
        "import os, pathlib, time; pathlib.Path('../begun').touch()",
        "while not pathlib.Path('../go').exists(): time.sleep(0.02)",
        "print(os.path.basename(os.getcwd()))",
    )
    here = os.getcwd()
    with execute.executing(["small"], tmp_path):
        while not (tmp_path / "begun").exists():
            time.sleep(0.02)
        beside = os.getcwd()
        (tmp_path / "go").touch()
    assert (beside, outputs(tmp_path)) == (here, "notebooks\n")


def test_a_notebook_that_fails_leaves_the_other_one_whole(tmp_path: Path, notebook: Any) -> None:
    two_notebooks(notebook, tmp_path, "print('whole')")
    (tmp_path / "books" / "other.ipynb").write_text(
        (tmp_path / "books" / "small.ipynb").read_text().replace("print('whole')", "print(1 / 0)")
    )
    with pytest.raises(UserError, match=r"The notebook other failed in its cell 2: ZeroDivisionError"):
        execute.execute(["other", "small"], tmp_path)
    assert outputs(tmp_path) == "whole\n"


def test_a_full_disk_for_temporary_files_is_told_with_its_place(tmp_path: Path, notebook: Any) -> None:
    notebook("print('much ' * 40_000)")
    write_run(tmp_path)
    with (
        kernels() as place,
        files_of_at_most(100_000),
        pytest.raises(OSError, match=r"small\.executed") as full,
    ):
        execute.execute(["small"], tmp_path, place)
    assert (full.value.errno, not refusal(full.value)) == (errno.EFBIG, False)
    assert list((tmp_path / "notebooks").iterdir()) == []


def test_an_error_beside_the_notebooks_ends_them(tmp_path: Path, notebook: Any) -> None:
    notebook("import time; time.sleep(600)")
    with pytest.raises(KeyError), execute.executing(["small"], tmp_path):
        raise KeyError("x")


DRAWING = """
import pathlib, time
from IPython.display import HTML
from orchestrator.analysis import background
png = pathlib.Path("../drawn.png")
def write():
    while not pathlib.Path("../go").exists():
        time.sleep(0.02)
    {end}
assert background.draw("drawn.png", write)
HTML("<img src='" + background.placeholder(png) + "'>")
"""


def test_a_figure_drawn_in_the_background_is_awaited_and_is_in_the_notebook(tmp_path: Path, notebook: Any) -> None:
    notebook(
        DRAWING.format(end="png.write_bytes(b'first')"),
        "assert not png.exists()\npathlib.Path('../go').touch()",
        DRAWING.format(end="time.sleep(0.5); png.write_bytes(png.read_bytes() + b' and second')"),
    )
    execute.execute(["small"], tmp_path)
    assert (tmp_path / "drawn.png").read_bytes() == b"first and second"
    content = (tmp_path / "notebooks" / "small.ipynb").read_text()
    assert content.count(base64.b64encode(b"first and second").decode()) == 2
    assert "drawn-in-background:" not in content
    assert str(tmp_path) not in content


def test_a_background_drawing_that_fails_is_a_sentence(tmp_path: Path, notebook: Any) -> None:
    (tmp_path / "go").touch()
    notebook(DRAWING.format(end="1 / 0"), "print('after')")
    with pytest.raises(
        UserError, match=r"The notebook small failed in drawing drawn\.png: ZeroDivisionError: .* up to"
    ):
        execute.execute(["small"], tmp_path)
    assert outputs(tmp_path) == "after\n"
    assert "drawn-in-background:" not in (tmp_path / "notebooks" / "small.ipynb").read_text()


def test_a_background_drawing_that_finds_no_space_is_a_sentence_without_a_traceback(
    tmp_path: Path, notebook: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "go").touch()
    notebook(DRAWING.format(end="raise OSError(28, 'No space left on device')"))
    with pytest.raises(UserError, match=r"failed in drawing drawn\.png: No space left on device\. .* try again\. /"):
        execute.execute(["small"], tmp_path)
    assert "Traceback" not in capfd.readouterr().err


def test_a_figure_whose_error_finds_no_space_either_is_told(tmp_path: Path) -> None:
    drawings = background.Drawings(tmp_path / "drawings")
    drawings.check()
    (tmp_path / "drawings" / "1.json").touch()
    with pytest.raises(UserError, match=f"failed in drawing a figure: {tmp_path} has no space left"):
        drawings.check()


def test_a_picture_that_cannot_be_read_is_not_left_out(tmp_path: Path) -> None:
    assert background.with_pictures(f"<{background.placeholder(tmp_path / 'missing.png')}>") == "<>"
    with pytest.raises(OSError, match="Is a directory"):
        background.with_pictures(background.placeholder(tmp_path))


def test_a_process_that_draws_and_is_killed_is_told_though_an_earlier_figure_is_there(
    tmp_path: Path, notebook: Any
) -> None:
    for name in ("go", "drawn.png"):
        (tmp_path / name).touch()
    notebook(DRAWING.format(end="import os; os.kill(os.getpid(), 9)"))
    with pytest.raises(UserError, match=r"The notebook small failed in drawing drawn\.png: its process was killed"):
        execute.execute(["small"], tmp_path)


def test_what_draws_ends_with_its_notebook(tmp_path: Path, notebook: Any) -> None:
    notebook(
        DRAWING.format(end="png.write_bytes(b'late')"),
        "import os\npathlib.Path('../drawing').write_text(str(background._drawing['drawn.png']))",
        "os.kill(os.getpid(), 9)",
    )
    with pytest.raises(UserError, match="its kernel ended"):
        execute.execute(["small"], tmp_path)
    (tmp_path / "go").touch()
    with contextlib.suppress(FileNotFoundError):  # else nobody has collected its status
        about = Path(f"/proc/{(tmp_path / 'drawing').read_text()}/stat").read_text()
        assert about.rpartition(")")[2].split()[0] == "Z"
    assert not (tmp_path / "drawn.png").exists()


def test_without_locks_a_notebook_draws_itself(tmp_path: Path, notebook: Any) -> None:
    (tmp_path / "go").touch()
    refused = "import fcntl\ndef flock(*arguments): raise OSError(38, 'Function not implemented')\nfcntl.flock = flock"
    drawing = DRAWING.format(end="png.write_bytes(b'here')").replace("assert background", "assert not background")
    notebook(refused, drawing)
    execute.execute(["small"], tmp_path)


def test_nothing_is_drawn_in_the_background_outside_a_report() -> None:
    assert not background.draw("drawn.png", lambda: os._exit(1))
