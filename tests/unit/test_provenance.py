# SPDX-License-Identifier: Apache-2.0
"""Changes of a checkout that make its source unavailable to others."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.run import provenance


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a committed Git repository with a file in each folder that a run reads; it stands for this checkout."""
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


def test_the_repository_is_the_checkout_s_whatever_git_s_variables_say(
    checkout: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = provenance.source_identity()
    other = tmp_path_factory.mktemp("other")
    subprocess.run(["git", "init", "--quiet", other], check=True)
    for name, value in (("GIT_DIR", ".git"), ("GIT_WORK_TREE", ""), ("GIT_INDEX_FILE", ".git/index")):
        monkeypatch.setenv(name, str(other / value))  # as Git sets them for a hook
    assert provenance.source_identity() == before
    assert before["commit"]


def test_a_checkout_of_another_user_has_its_commit(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = provenance.source_identity()
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    doubted = subprocess.run(["git", "-C", checkout, "rev-parse", "HEAD"], capture_output=True, text=True)
    assert "dubious ownership" in doubted.stderr
    assert provenance.source_identity() == before


def test_a_checkout_in_the_folder_of_a_repository_without_it_has_no_commit(checkout: Path) -> None:
    (checkout / ".gitignore").write_text("*\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    for arguments in (["rm", "-r", "--quiet", "--cached", "."], [*identity, "commit", "--quiet", "-m", "b"]):
        subprocess.run(["git", "-C", checkout, *arguments], check=True, stdin=subprocess.DEVNULL)
    found = provenance.source_identity()
    assert (found["commit"], found["dirty"]) == (None, None)
