# SPDX-License-Identifier: Apache-2.0
"""`orch init` writes what validates, plans and can be run."""

import shlex
from pathlib import Path

import pytest

from orchestrator.cli.init import init
from orchestrator.errors import UserError
from orchestrator.kernel.variants import shipped
from orchestrator.plan import make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.spec import check_file, load_experiment, load_testbed
from tests.unit.no_room import files_of_at_most


def test_what_it_writes_is_valid_and_plans(tmp_path: Path) -> None:
    folder = tmp_path / "my-idea"
    init(folder)
    spec = folder / "my-idea.yaml"
    assert "is a valid spec" in check_file(spec)
    assert "my-idea-lab" in check_file(folder / "testbed.yaml")
    assert check_file(folder / "variants.yaml").endswith("is a valid variants file: longer-queue.")
    assert load_testbed(str(folder / "testbed.yaml")).testbed == "my-idea-lab"
    experiment = load_experiment(spec, "smoke")
    assert experiment.experiment == "my-idea"
    assert load_testbed(experiment.testbed_name_or_path).testbed == "my-idea-lab"
    assert f"orch run {spec} --tier smoke" in experiment.text
    plan = make_plan(experiment, lab_capabilities(1, shipped().names).with_own(experiment.own_variants, shipped()))
    assert not plan.left_out
    assert {trial.levels.variant for trial in plan.iterate()} >= {"vanilla", "longer-queue"}


@pytest.mark.parametrize("parent", ["my ideas; $x", "a\nb", "\u202f"])
def test_it_may_be_anywhere_and_its_commands_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parent: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path(parent) / "mine"
    init(folder)
    assert "is a valid spec" in check_file(folder / "mine.yaml")
    said = capsys.readouterr().out.split("Next: ")[1]
    assert shlex.split(said.replace(", then", ""))[:3] == ["orch", "validate", f"{parent}/mine/mine.yaml"]


def test_it_says_which_files_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path / "mine")
    said = capsys.readouterr().out.splitlines()[0]
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == sorted(
        said.partition(": ")[2].rstrip(".").replace(" and ", ", ").split(", ")
    )


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="already exists"):
        init(tmp_path / "there")
    assert not list((tmp_path / "there").iterdir())
    with pytest.raises(UserError, match="is not a valid name for an experiment"):
        init(tmp_path / "My Idea")


def test_a_folder_that_cannot_be_written_whole_is_not_there(tmp_path: Path) -> None:
    with (
        files_of_at_most(200),
        pytest.raises(UserError, match=r"Cannot write .*: File too large\. Name another folder"),
    ):
        init(tmp_path / "mine")
    assert not (tmp_path / "mine").exists()
    init(tmp_path / "mine")
