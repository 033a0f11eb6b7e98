# SPDX-License-Identifier: Apache-2.0
"""The project's statements about itself agree with its content."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from orchestrator import __version__
from orchestrator.cli.app import COMMANDS
from orchestrator.cli.artifact import appendix
from orchestrator.doctor import checks
from orchestrator.learned import learn
from orchestrator.paths import CHECKOUT

PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
LOCK = (CHECKOUT / "requirements.lock").read_text()


def test_every_package_is_listed() -> None:
    root = CHECKOUT / "orchestrator"
    there = {".".join(file.parent.relative_to(CHECKOUT).parts) for file in root.rglob("__init__.py")}
    shipped = {f"orchestrator.shipped.{name}" for name in ("experiments", "kernel", "notebooks", "playbooks")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == there | shipped


def test_the_lock_holds_every_requirement_with_hashes_and_names_no_host() -> None:
    extras = PROJECT["project"]["optional-dependencies"].values()
    lists = [PROJECT["project"]["dependencies"], *extras, *PROJECT["dependency-groups"].values()]
    wanted = [re.split(r"[<>=\[]", requirement)[0] for one in lists for requirement in one]
    locked = re.findall(r"^([a-z0-9-]+)==", LOCK, re.MULTILINE)
    assert len(wanted) > 20
    assert {name.lower() for name in wanted} <= set(locked)
    assert "://" not in LOCK
    for entry in re.split(r"\n(?=[a-z0-9])", LOCK.split("\n", 2)[2]):
        assert "--hash=sha256:" in entry


def test_versions_agree() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert citation["version"] == __version__
    lowest = ".".join(map(str, checks.PYTHONS[0]))
    assert PROJECT["project"]["requires-python"] == f">={lowest}"
    supported = ", ".join(map(str, checks.PYTHONS[0])), ", ".join(map(str, checks.PYTHONS[1]))
    assert "({}) <= sys.version_info < ({})".format(*supported) in (CHECKOUT / "orch").read_text()


def test_the_citation_names_one_licence_since_several_mean_a_choice() -> None:
    citation = yaml.safe_load((CHECKOUT / "CITATION.cff").read_text())
    assert citation["license"] == "Apache-2.0"
    assert PROJECT["project"]["license"] == "Apache-2.0 AND GPL-2.0-only"


def test_the_artifact_appendix_is_what_specs_and_claims_make() -> None:
    committed = (CHECKOUT / "docs" / "artifact.md").read_text()
    assert committed == f"{appendix()}\n", "Write it again: orch artifact > docs/artifact.md"


def test_the_artifact_appendix_does_not_depend_on_the_computer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = appendix()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for what in ("overhead", "prepare", "disk"):
        learn(f"{what}/uml", 1e6)
    assert appendix() == before


PAGES = [CHECKOUT / "README.md", *sorted((CHECKOUT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_commands_and_files_that_there_are(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"(?:^    |`)(?:\./)?orch ([a-z]+)", text, re.MULTILINE))
    assert named <= set(COMMANDS)
    files = re.findall(r"`((?:docs|benchmarks|experiments|kernel|playbooks)/[\w./-]+\.\w+)`", text)
    assert [file for file in files if not (CHECKOUT / file).is_file()] == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        file, _, anchor = target.partition("#")
        linked = (page.parent / file).resolve() if file else page
        assert linked.is_relative_to(CHECKOUT), target
        assert linked.is_file(), target
        assert not anchor or anchor in anchors(linked), target


def test_the_index_of_the_documentation_has_every_page() -> None:
    index = (CHECKOUT / "docs" / "index.md").read_text()
    linked = set(re.findall(r"\]\(([\w-]+\.md)\)", index))
    assert linked == {page.name for page in (CHECKOUT / "docs").glob("*.md")} - {"index.md"}


def test_the_licence_of_the_kernel_s_parts_is_the_kernel_s() -> None:
    assert "Version 2, June 1991" in (CHECKOUT / "kernel" / "COPYING").read_text()
    assert "Apache License" in (CHECKOUT / "LICENSE").read_text()
