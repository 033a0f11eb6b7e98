# SPDX-License-Identifier: Apache-2.0
"""Notebooks of your own: named by path in a spec or on the command line, executed for a run, and kept in it."""

import json
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest

from orchestrator.analysis import make_report
from orchestrator.analysis.notebooks import executable
from orchestrator.cli.app import run_command
from orchestrator.errors import UserError
from orchestrator.spec import SpecError, check_file, load_experiment
from orchestrator.spec.own_files import read_notebook
from tests.unit.synthetic_run import write_run

SPEC = """\
experiment: mine
notebooks: [scaling, books/mine.py]
factors: {variant: [vanilla], cores: [1], tunnels: [1]}
traffic: {duration: 3s}
"""
MINE = """\
# %% [markdown]
# # My own view of a run

# %% tags=["parameters"]
run_dir = figures_dir = "."

# %%
import orchestrator as orch

run = orch.load(run_dir)
print("cells:", len(run.cells()))

# %%
from pathlib import Path

import matplotlib.pyplot as plt

figure, axes = plt.subplots()
axes.plot(run.measured["throughput_bps"])
figure.savefig(Path(figures_dir) / "mine.svg")
(Path(figures_dir) / "mine.txt").write_text("Mine. Each trial in order.")
"""
ONE = {"rounds": 1, "cores": (1,), "tunnels": (1,), "variants": ("vanilla",)}


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "books").mkdir(parents=True)
    (folder / "books" / "mine.py").write_text(MINE)
    (folder / "mine.yaml").write_text(SPEC)
    return folder / "mine.yaml"


def ipynb(*cells: str, **about: Any) -> str:
    made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells], metadata=about)
    return str(nbformat.writes(made))


def with_notebook(run: Path, text: str = MINE, name: str = "books/mine.py") -> Path:
    """A run as if its spec had named a notebook of one's own, and no other."""
    (run / "inputs" / name).parent.mkdir(parents=True)
    (run / "inputs" / name).write_text(text)
    meta = json.loads((run / "run.json").read_text())
    meta["spec"]["notebooks"], meta["inputs"] = [name], "inputs"
    (run / "run.json").write_text(json.dumps(meta))
    return run


def outputs(run: Path, name: str) -> str:
    content = json.loads((run / "notebooks" / f"{name}.ipynb").read_text())
    return "".join("".join(one.get("text", "")) for cell in content["cells"] for one in cell.get("outputs", ()))


def refused(spec: Path, text: str) -> tuple[int, int, str]:
    spec.write_text(text)
    with pytest.raises(SpecError) as caught:
        load_experiment(spec)
    (problem,) = caught.value.problems
    assert problem.span is not None
    return problem.span.line + 1, problem.span.column + 1, problem.message


def test_a_spec_names_a_notebook_by_path_and_keeps_a_copy(spec: Path) -> None:
    experiment = load_experiment(spec)
    assert experiment.notebooks == ("scaling", "books/mine.py")
    assert experiment.inputs == {"books/mine.py": MINE.encode()}
    assert "is a valid spec" in check_file(spec)
    (spec.parent / "books" / "mine.py").write_text(MINE + "\n# more\n")
    assert load_experiment(spec).spec_hash == experiment.spec_hash


def test_a_tier_may_have_other_notebooks(spec: Path) -> None:
    (spec.parent / "other.ipynb").write_text(ipynb("1"))
    spec.write_text(SPEC + "tiers:\n  one: {notebooks: [./other.ipynb]}\n")
    assert set(load_experiment(spec, tier="one").inputs) == {"other.ipynb"}
    assert set(load_experiment(spec).inputs) == {"books/mine.py"}


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("../mine.py", "not below the folder of the spec"),
        ("books/absent.ipynb", "Cannot read"),
        ("books/two words.py", "Rename it"),
        ("books/explore.py", "Rename yours"),
        ("books/scaling.py", "orch has a notebook scaling itself"),
        ("books/broken.py", "line 2"),
        ("books/broken.ipynb", "Save it again in Jupyter"),
        ("books/old.ipynb", "version 4"),
        ("sub/mine.ipynb", "Rename one"),
        ("Mine", "ends in .ipynb or .py"),
        ("scalling", "Did you mean scaling?"),
    ],
)
def test_a_notebook_that_cannot_be_used_is_a_mistake_at_its_place(spec: Path, named: str, says: str) -> None:
    (spec.parent / "sub").mkdir()
    for name in ("two words", "explore", "scaling"):
        (spec.parent / "books" / f"{name}.py").write_text("1\n")
    (spec.parent / "books" / "broken.py").write_text("1\n2 +\n")
    (spec.parent / "books" / "broken.ipynb").write_text("{")
    (spec.parent / "books" / "old.ipynb").write_text('{"nbformat": 3, "worksheets": []}')
    (spec.parent / "sub" / "mine.ipynb").write_text(ipynb("1"))
    line, column, message = refused(spec, SPEC.replace("scaling, books/mine.py", f'books/mine.py, "{named}"'))
    assert (line, column) == (2, 28)
    assert says in message


def test_a_run_draws_with_the_copy_of_its_own_notebook(tmp_path: Path) -> None:
    run = with_notebook(write_run(tmp_path, **ONE))
    page = make_report(run, own=True)
    assert outputs(run, "mine") == "cells: 1\n"
    assert "My own view of a run" in (run / "notebooks" / "mine.ipynb").read_text()
    assert str(tmp_path) not in (run / "notebooks" / "mine.ipynb").read_text()
    assert '<b id="mine-title">Mine.</b>' in page.read_text()
    assert "Each trial in order." in page.read_text()
    assert not (run / "notebooks" / "scaling.ipynb").exists()


def test_a_report_executes_a_stored_notebook_only_if_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = with_notebook(write_run(tmp_path, **ONE), "open('../executed', 'w')\n")
    monkeypatch.chdir(tmp_path)
    assert run_command(["report", str(run)]) == 0
    said = capsys.readouterr()
    assert not (run / "executed").exists()
    assert "--notebook books/mine.py" in said.err
    assert said.out.strip() == str(run / "report.html")
    assert run_command(["report", str(run), "--notebook", "books/mine.py"]) == 0
    assert (run / "executed").exists()
    assert "--notebook" not in capsys.readouterr().err


def test_a_notebook_of_jupyter_is_executed_by_path_whatever_kernel_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = with_notebook(write_run(tmp_path, **ONE), "1\n")
    (tmp_path / "here").mkdir()
    other = {"kernelspec": {"name": "conda-env-mine", "display_name": "mine", "language": "python"}}
    (tmp_path / "here" / "view.ipynb").write_text(ipynb("run_dir = '?'", "print('run', run_dir)", **other))
    monkeypatch.chdir(tmp_path / "here")
    assert run_command(["report", str(run), "--notebook", "view.ipynb"]) == 0
    assert outputs(run, "view") == "run ?\n"  # no cell is tagged as parameters, so that the notebook's own value counts


@pytest.mark.parametrize("name", ["mine.py", "mine.ipynb"])
def test_the_byte_order_mark_of_some_editors_is_not_code(tmp_path: Path, name: str) -> None:
    text = "print('first')\n" if name.endswith(".py") else ipynb("print('first')")
    (tmp_path / name).write_text("\ufeff" + text)
    read_notebook(tmp_path / name)
    (cell,) = json.loads(executable(tmp_path / name))["cells"]
    assert "".join(cell["source"]) == "print('first')"


def test_a_notebook_that_fails_costs_the_run_neither_its_page_nor_what_was_executed(tmp_path: Path) -> None:
    run = with_notebook(write_run(tmp_path, **ONE), "print('before')\n\n# %%\n1 / 0\n")
    with pytest.raises(UserError, match=r"The notebook mine failed in its cell \d: ZeroDivisionError.* up to there"):
        make_report(run, own=True)
    assert outputs(run, "mine") == "before\n"
    assert "</html>" in (run / "report.html").read_text()


@pytest.mark.parametrize(
    ("named", "says"),
    [("absent.ipynb", r"Cannot read .*absent\.ipynb"), ("quality.py", "orch has a notebook quality itself")],
)
def test_a_file_that_is_no_notebook_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], named: str, says: str
) -> None:
    run = write_run(tmp_path, **ONE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "quality.py").write_text("1\n")
    assert run_command(["report", str(run), "--notebook", named]) == 2
    assert re.search(says, capsys.readouterr().err)


def test_a_run_that_lost_its_copy_is_a_sentence(tmp_path: Path) -> None:
    run = with_notebook(write_run(tmp_path, **ONE))
    (run / "inputs" / "books" / "mine.py").unlink()
    with pytest.raises(UserError, match=r"has no inputs/books/mine\.py, which its spec names"):
        make_report(run, own=True)
