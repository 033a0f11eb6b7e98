# SPDX-License-Identifier: Apache-2.0
"""Which changes of a checkout make its source one that nobody else can get."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.run import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of Git with a file in each folder that a run reads, committed, in place of this checkout."""
    for name in ("orchestrator/a.py", "playbooks/a.yml", "kernel/a.c", "notebooks/a.ipynb", "experiments/a.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("as committed\n")
    (tmp_path / "results" / "example" / "figures").mkdir(parents=True)
    (tmp_path / "results" / "example" / "report.html").write_text("as committed\n")
    (tmp_path / "exp").symlink_to("experiments")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["init", "--quiet"], ["add", "."], [*identity, "commit", "--quiet", "-m", "a"]):
        subprocess.run(["git", "-C", tmp_path, *arguments], check=True, stdin=subprocess.DEVNULL)
    for name in ("CHECKOUT", "HOME"):
        monkeypatch.setattr(provenance, name, tmp_path)
    monkeypatch.setattr(provenance, "IS_CHECKOUT", True)
    return tmp_path


def test_a_checkout_as_committed_is_not_changed(checkout: Path) -> None:
    assert provenance.changed_files() == []


def test_a_spec_a_notebook_and_a_report_of_ones_own_are_no_change(checkout: Path) -> None:
    (checkout / "exp" / "mine.yaml").write_text("experiment: mine\n")
    (checkout / "notebooks" / "mine.ipynb").write_text("{}\n")
    (checkout / "results" / "example" / "notebooks").mkdir()
    (checkout / "results" / "example" / "notebooks" / "explore.ipynb").write_text("{}\n")
    (checkout / "results" / "example" / "report.html").write_text("drawn again\n")
    assert provenance.changed_files() == []
    found = provenance.source_identity()
    assert (found["dirty"], "changes" in found) == (False, False)


@pytest.mark.parametrize("name", ["orchestrator/a.py", "playbooks/a.yml", "kernel/a.c"])
def test_a_change_of_what_measures_is_named(checkout: Path, name: str) -> None:
    (checkout / name).write_text("changed\n")
    (checkout / "kernel" / "new.c").write_text("new\n")
    found = provenance.source_identity()
    assert (found["dirty"], found["changes"]) == (True, sorted({name, "kernel/new.c"}))


def test_what_is_staged_or_removed_counts_too(checkout: Path) -> None:
    (checkout / "playbooks" / "a.yml").write_text("changed\n")
    subprocess.run(["git", "-C", checkout, "add", "."], check=True)
    (checkout / "kernel" / "a.c").unlink()
    assert provenance.changed_files() == ["kernel/a.c", "playbooks/a.yml"]


def test_without_git_nothing_is_known(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "IS_CHECKOUT", False)
    found = provenance.source_identity()
    assert (found["commit"], found["dirty"], "changes" in found) == (None, None, False)
