# SPDX-License-Identifier: Apache-2.0
"""The identity of the measuring program: the files and packages that a trial uses, and no others."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT
from orchestrator.run import program
from orchestrator.store.changes import changes_between

LOADED = """
import sys, orchestrator.run.worker, orchestrator.agent.agent
layers = tuple(f"orchestrator.{layer}." for layer in ("agent", "measure", "run", "search", "testbed"))
for name, module in list(sys.modules.items()):
    if name.startswith(layers) and not module.__file__.endswith("__init__.py"):
        print(module.__file__)
"""
FILES = {
    "__init__": "def load():\n    from orchestrator.figures import draw\n",
    "run/__init__": "",
    "run/worker": "from orchestrator.search import hunt\nimport yaml\n",
    "agent/__init__": "",
    "agent/agent": "from orchestrator.agent.parts import part\n",
    "agent/parts": "part = 1\n",
    "search/__init__": "from orchestrator.search.fast import hunt\nfrom orchestrator.search.other import thing\n",
    "search/fast": "if TYPE_CHECKING:\n    from orchestrator.plans import P\n"
    "def hunt():\n    from orchestrator import late\n",
    "search/other": "thing = 1\n",
    "plans": "P = 1\n",
    "late": "import pydantic.fields\n",
    "figures": "import matplotlib\n",
    "testbed/sent": "# to a host\n",
}


def clear() -> None:
    for cached in (program.program_files, program.program_packages, program._modules, program._imports):
        cached.cache_clear()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a checkout of a few files that stands for this one."""
    for name, text in FILES.items():
        path = tmp_path / "orchestrator" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks" / "x.yml").write_text("a: 1\n")
    monkeypatch.setattr(program, "CHECKOUT", tmp_path)
    monkeypatch.setattr(program, "PLAYBOOKS", tmp_path / "playbooks")
    clear()
    yield tmp_path
    clear()


def names(checkout: Path) -> set[str]:
    return {path.relative_to(checkout).as_posix() for path in program.program_files()}


def test_what_a_trial_imports_is_the_program_and_what_only_readers_import_is_not(small: Path) -> None:
    wanted = ("run/worker", "agent/agent", "agent/parts", "search/fast", "late", "testbed/sent")
    assert names(small) == {*(f"orchestrator/{name}.py" for name in wanted), "playbooks/x.yml"}
    assert set(program.program_packages()) >= {"PyYAML", "pydantic"}
    assert "matplotlib" not in program.program_packages()


@pytest.mark.parametrize(("file", "differs"), [("search/fast", True), ("late", True), ("figures", False)])
def test_a_change_shows_where_it_can_change_a_measurement(small: Path, file: str, differs: bool) -> None:
    before = program.program_hash()
    path = small / "orchestrator" / f"{file}.py"
    path.write_text(path.read_text() + "# changed\n")
    clear()
    assert (program.program_hash() != before) == differs


def test_the_search_of_rates_and_its_package_are_part_of_this_program() -> None:
    found = names(CHECKOUT)
    assert {
        "orchestrator/tools/pktgen/rate_search.py",
        "orchestrator/search/mlr.py",
        "orchestrator/search/binary.py",
    } <= found
    assert {"MLRsearch", "paramiko"} <= set(program.program_packages())
    assert not {name for name in found if name.startswith(("orchestrator/cli/", "orchestrator/analysis/"))}


def test_all_that_python_loads_to_measure_is_part_of_it() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    loaded = {Path(line).relative_to(CHECKOUT).as_posix() for line in done.stdout.splitlines()}
    assert "orchestrator/measure/judge.py" in loaded
    assert loaded <= names(CHECKOUT)


def test_another_version_of_a_package_that_measures_is_a_change() -> None:
    def run(**packages: str) -> dict[str, dict[str, object]]:
        return {"source": {"program_hash": "p", "packages": packages}}

    (change,) = changes_between(run(MLRsearch="1.2.1", fabric="3"), run(MLRsearch="1.3.0", fabric="3"))
    assert str(change) == "the program that measures: MLRsearch: 1.2.1 -> 1.3.0"
    assert change.concerns is None
    assert changes_between({"source": {"program_hash": "p"}}, run(fabric="3")) == []  # of an older version
