# SPDX-License-Identifier: Apache-2.0
"""docs/own-experiment.md: its commands exist with their options, its steps before a measurement work, and its changes
of the spec are valid."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from orchestrator.cli.app import load, run_command
from orchestrator.kernel.variants import shipped
from orchestrator.paths import CHECKOUT
from orchestrator.plan import make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.spec import check_file, load_experiment

PAGE = (CHECKOUT / "docs" / "own-experiment.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    orch (.+)$", PAGE, re.MULTILINE)
CARRIED_OUT = ("init", "validate", "plan")


def test_the_page_leads_from_a_folder_to_an_archive() -> None:
    used = [command.split()[0] for command in COMMANDS]
    assert list(dict.fromkeys(used)) == [
        *("init", "validate", "kernel", "plan", "run", "notebook", "compare", "export", "rerun")
    ]


@pytest.mark.parametrize("command", COMMANDS)
def test_its_commands_have_these_arguments(command: str) -> None:
    name, *arguments = shlex.split(command)
    load(name).make_context(name, arguments)


def test_its_steps_before_a_measurement_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS:
        if command.startswith(CARRIED_OUT):
            assert run_command(shlex.split(command)) == 0, capsys.readouterr()
    files = re.findall(r"^\| `([\w.-]+)` \|", PAGE, re.MULTILINE)
    assert {path.name for path in (tmp_path / "my-idea").iterdir()} == set(files)


def test_its_changes_of_the_spec_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_command(["init", "my-idea"]) == 0
    extending = (CHECKOUT / "docs" / "extending.md").read_text(encoding="utf-8")
    for name in ("view.py", "my-claims.yaml"):
        (text,) = re.findall(rf"```\w+\n(# {re.escape(name)}\n.*?)```", extending, re.DOTALL)
        Path("my-idea", name).write_text(text, encoding="utf-8")
    (changes,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    spec = Path("my-idea", "my-idea.yaml")
    changed = yaml.safe_load(spec.read_text(encoding="utf-8")) | yaml.safe_load(changes)
    spec.write_text(yaml.safe_dump(changed), encoding="utf-8")
    assert "is a valid spec" in check_file(spec)
    experiment = load_experiment(spec, "full")
    assert experiment.notebooks == ("scaling", "view.py")
    plan = make_plan(experiment, lab_capabilities(2, shipped().names).with_own(experiment.own_variants, shipped()))
    measured = [trial.levels for trial in plan.iterate() if trial.kind == "measure"]
    cells = {(levels.variant, levels.cores, levels.tunnels) for levels in measured}
    assert ("longer-queue", 2, 8) in cells
    assert not [cell for cell in cells if cell[1:] in ((1, 4), (1, 8))]
