# SPDX-License-Identifier: Apache-2.0
"""The code of docs/extending.md is run as it stands, and what an extension needs is counted."""

import json
import re
from pathlib import Path
from typing import Any, Self

import pytest

from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import CHECKOUT
from orchestrator.plan import make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.running import run_experiment
from orchestrator.spec import SpecError, load_experiment, load_testbed
from orchestrator.testbed import open_testbed
from orchestrator.testbed.provider import provider_of
from tests.unit.test_run_campaign import FakeTestbed, Quiet, ok

PAGE = CHECKOUT / "docs" / "extending.md"


class Lab(FakeTestbed):
    """In the lab's place, without machines. ``reserved``: whether it was reserved when it was entered."""

    def __init__(self, testbed: Any, progress: Any, **more: Any) -> None:
        super().__init__()
        self.name = testbed.testbed  # type: ignore[misc]

    reserved: bool | None = None

    def __enter__(self) -> Self:
        Lab.reserved = Path("reserved.txt").exists()
        return self

    def __exit__(self, *exception: object) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the files of the page: each is a block whose first line names it."""
    for text in re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        path = tmp_path / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("orchestrator.testbed.uml.provider.UmlTestbed", Lab)
    monkeypatch.setattr("orchestrator.run.work.run_attempt", lambda *arguments: ok())
    monkeypatch.setattr("orchestrator.run.work.make_links", lambda *arguments: None)
    return tmp_path


def bench_of(folder: Path) -> Any:
    return load_testbed(str(folder / "bench.yaml"))


def test_a_factor_of_any_key_is_a_line_of_the_spec(folder: Path) -> None:
    plan = make_plan(load_experiment(folder / "mtu.yaml"), lab_capabilities(1, ("vanilla", "inline")))
    cells = [trial.levels.more for trial in plan.iterate() if trial.levels.variant == "inline"]
    levels = {(cell["tunnel.mtu"], cell["traffic.streams"]) for cell in cells}
    assert levels == {(1280, 1), (1280, 4), (1420, 1), (1420, 4)}


def test_a_provider_is_one_folder_and_runs_a_spec(folder: Path) -> None:
    assert [path.name for path in (folder / "reserved").iterdir()] == ["__init__.py"]
    run = run_experiment("mtu.yaml", testbed="bench.yaml", results=folder / "results")
    assert set(run.trials["status"]) == {"ok"}
    assert len(run.trials) > 0
    assert Lab.reserved is True
    assert not Path("reserved.txt").exists()
    told = json.loads((run.path / "run.json").read_text())
    assert told["testbed"]["provider"] == "reserved"
    extension = bench_of(folder).extension
    assert extension is not None
    assert told["source"]["extensions"] == {"providers reserved": {"from": "./reserved", "hash": extension.digest}}


def test_a_run_is_not_resumed_with_a_provider_that_has_changed_without_a_word(folder: Path) -> None:
    run = run_experiment("mtu.yaml", testbed="bench.yaml", results=folder / "results")
    with (folder / "reserved" / "__init__.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(UserError, match=r"the program that measures: providers reserved\.hash"):
        run_experiment("mtu.yaml", testbed="bench.yaml", results=folder / "results", resume=run.path)


def test_a_testbed_that_cannot_be_reserved_is_not_used(folder: Path) -> None:
    bench = folder / "bench.yaml"
    bench.write_text(bench.read_text().replace("[touch, reserved.txt]", "[ls, /no/such/file]"))
    with pytest.raises(TestbedError, match=r"bench cannot be reserved: .*no/such/file"):
        open_testbed(bench_of(folder), Quiet()).__enter__()  # type: ignore[arg-type]


def test_a_provider_comes_by_its_entry_point_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    described = folder / "reserved_lab-0.3.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: reserved-lab\nVersion: 0.3\n")
    entry = re.findall(r'```toml\n\[project.entry-points."(.*?)"\]\n(.*?) = "(.*?)"\n```', PAGE.read_text())
    assert len(entry) == 1
    group, name, target = entry[0]
    (described / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    bench = folder / "bench.yaml"
    bench.write_text(bench.read_text().replace("./reserved", "reserved"))
    testbed = bench_of(folder)
    assert testbed.extension.origin == "reserved-lab 0.3"
    assert provider_of(testbed).summary == "the lab, reserved by a command"


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("./elsewhere", "bench.yaml:3:11: ./elsewhere is no module: there is no file"),
        ("reservd", "There is no provider reservd; there are: uml .*, qemu .*, ssh .*, pool"),
        ("./uml", "./uml would go by the name uml, which is one of this program's own providers"),
    ],
)
def test_a_provider_that_is_not_there_is_said_with_its_place(folder: Path, provider: str, said: str) -> None:
    (folder / "uml").mkdir()
    (folder / "uml" / "__init__.py").write_text("PROVIDER = 1\n")
    bench = folder / "bench.yaml"
    bench.write_text(bench.read_text().replace("./reserved", provider))
    with pytest.raises(SpecError, match=said):
        bench_of(folder)
