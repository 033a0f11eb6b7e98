# SPDX-License-Identifier: Apache-2.0
"""The program as others install it: a wheel with everything that the checkout has, outside the checkout."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT, RESULTS
from tests.unit.synthetic_run import write_run

MAIN = "import sys; from orchestrator.cli.app import main; sys.argv[0] = 'orch'; main()"
# What an analyst does with a run in a script.
_FRAMES = """
import sys, orchestrator
run = orchestrator.load(sys.argv[1])
print(len(run.cells()) > 0, len(run.trials) > 0, len(run.verify()) > 0)
print(len(run.compare(run).cells) > 0)
"""
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def names(requirements: list[str]) -> set[str]:
    """Return the normalized names of the distributions that requirements name."""
    return {re.sub(r"[-_.]+", "-", re.split(r"[><=\[; ]", one)[0].lower()) for one in requirements}


def only_for_hosts() -> set[str]:
    """Return the distributions that the program needs and reading runs does not."""
    return names(PROJECT["project"]["dependencies"]) - names(PROJECT["dependency-groups"]["analysis"])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build a wheel from the files that git knows, as they are now."""
    folder = tmp_path_factory.mktemp("wheel")
    known = subprocess.run(["git", "ls-files", "-z"], cwd=CHECKOUT, capture_output=True, check=True).stdout
    source = folder / "source"
    with tarfile.open(folder / "source.tar", "w") as tar:
        for name in filter(None, known.decode().split("\0")):
            if not name.startswith("results/") and (CHECKOUT / name).exists():
                tar.add(CHECKOUT / name, name, recursive=False)
    with tarfile.open(folder / "source.tar") as tar:
        tar.extractall(source, filter="data")
    build = [sys.executable, "-m", "pip", "wheel", "-v", "--no-deps", "--no-build-isolation", "-w", folder, source]
    with (folder / "build.log").open("w") as log:
        subprocess.run(build, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path) -> Path:
    """Return the folder of the unpacked wheel; its dependencies are in the environment of the tests."""
    folder = wheel.parent / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def python(installed: Path, cwd: Path, program: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-P", "-c", program, *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def orch(installed: Path, cwd: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return python(installed, cwd, MAIN, *arguments)


def test_the_wheel_has_every_file_of_the_folders_that_the_program_reads(installed: Path) -> None:
    for name in ("experiments", "kernel", "notebooks", "playbooks", "orchestrator"):
        known = subprocess.run(["git", "ls-files", "-z", name], cwd=CHECKOUT, capture_output=True, check=True).stdout
        wanted = {Path(one) for one in known.decode().split("\0") if one and (CHECKOUT / one).exists()}
        assert len(wanted) > 5
        folder = installed if name == "orchestrator" else installed / "orchestrator" / "shipped"
        assert {one for one in wanted if not (folder / one).is_file()} == set()


def test_the_build_of_the_wheel_warns_of_no_folder(wheel: Path) -> None:
    log = (wheel.parent / "build.log").read_text()
    assert "adding 'orchestrator/__init__.py'" in log
    assert [line for line in log.splitlines() if "would be ignored" in line] == []


def test_the_wheel_has_the_extras_that_are_documented(installed: Path) -> None:
    (info,) = installed.glob("orch-*.dist-info")
    extras = metadata.Distribution.at(info).metadata.get_all("Provides-Extra")
    assert set(extras or ()) == {"analysis", "dask", "jupyter"}


def test_an_installed_program_plans_judges_and_knows_its_variants(installed: Path, tmp_path: Path) -> None:
    planned = orch(installed, tmp_path, "plan", "exp/scaling.yaml", "--tier", "smoke", "--testbed", "lab")
    assert planned.returncode == 0, planned.stderr
    assert "trials" in planned.stdout
    assert "batched" in orch(installed, tmp_path, "kernel", "list").stdout
    judged = orch(installed, tmp_path, "verify", RESULTS / "example", "--json")
    assert judged.returncode in (0, 1, 4), judged.stderr
    refused = orch(installed, tmp_path, "test")
    assert refused.returncode == 2
    assert "Clone the project" in refused.stderr


def test_an_installed_program_says_where_it_comes_from(installed: Path, tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()  # a foreign checkout around the environment says nothing about the program
    show = (
        "from orchestrator import paths; from orchestrator.run.provenance import source_identity; "
        "print(paths.IS_CHECKOUT, source_identity()['commit'], len(paths.licence()))"
    )
    said = python(installed, tmp_path, show)
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == ["False", "None", str((CHECKOUT / "LICENSE").stat().st_size)]


def test_what_reads_runs_is_a_part_of_what_the_program_needs() -> None:
    analysis = PROJECT["dependency-groups"]["analysis"]
    assert set(analysis) <= set(PROJECT["project"]["dependencies"])
    assert {"ansible-core", "ansible-runner", "fabric", "paramiko", "qemu-qmp"} <= only_for_hosts()


def test_runs_are_judged_and_compared_without_the_packages_for_hosts(installed: Path, tmp_path: Path) -> None:
    absent = only_for_hosts()
    modules = [one for one, of in metadata.packages_distributions().items() if names(of) & absent]
    assert {"ansible", "fabric", "paramiko"} <= set(modules)
    without = f"import sys; sys.modules.update(dict.fromkeys({modules!r})); {MAIN}"
    refused = python(installed, tmp_path, f"import sys; sys.modules.update(dict.fromkeys({modules!r})); import fabric")
    assert "ModuleNotFoundError" in refused.stderr
    one, other = (write_run(tmp_path / name, rounds=6) for name in ("one", "other"))
    (one / "report.html").write_text("<p>drawn</p>")
    for arguments in (
        ("verify", one, "--json"),
        ("compare", one, other),
        ("explain", one),
        ("list", "one"),
        ("export", one, "--output", tmp_path / "one.zip", "--allow", "dirty"),
        ("verify", tmp_path / "one.zip"),
    ):
        said = python(installed, tmp_path, without, *arguments)
        assert said.returncode in (0, 4), (arguments, said.stderr)
        assert "Traceback" not in said.stderr


@pytest.mark.full
def test_the_packages_of_the_group_analysis_are_enough_to_draw_a_run(wheel: Path, tmp_path: Path) -> None:
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "own"], check=True)
    python = tmp_path / "own" / "bin" / "python"
    install = [*uv, "pip", "install", "--python", python]
    group = f"{CHECKOUT / 'pyproject.toml'}:analysis"
    subprocess.run([*install, "-c", CHECKOUT / "requirements.lock", "--group", group], check=True)
    subprocess.run([*install, "--no-deps", wheel], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    shutil.copytree(RESULTS / "example", tmp_path / "run", ignore=shutil.ignore_patterns("figures", "report.html"))

    def started(*arguments: object) -> "subprocess.CompletedProcess[str]":
        command = [python, *map(str, arguments)]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert started("-c", "import fabric").returncode == 1
    assert started("-c", "import ansible").returncode == 1
    judged = started(python.with_name("orch"), "verify", tmp_path / "run", "--json")
    assert judged.returncode in (0, 1, 4), judged.stderr
    drawn = started(python.with_name("orch"), "report", tmp_path / "run")
    assert drawn.returncode == 0, drawn.stderr
    assert len(list((tmp_path / "run" / "figures").glob("*.svg"))) > 5
    frames = started("-c", _FRAMES, tmp_path / "run")
    assert frames.returncode == 0, frames.stderr
    assert frames.stdout.split() == ["True", "True", "True", "True"]
    exported = started(python.with_name("orch"), "export", tmp_path / "run", "--output", "run.zip", "--allow", "dirty")
    assert exported.returncode == 0, exported.stderr
    assert started("-c", _FRAMES, tmp_path / "run.zip").stdout.split() == ["True", "True", "True", "True"]
    for arguments in (("run", "exp/scaling.yaml", "--tier", "smoke", "--yes"), ("rerun", tmp_path / "run", "--yes")):
        refused = started(python.with_name("orch"), *arguments)
        assert refused.returncode == 3, refused.stderr
        assert "Traceback" not in refused.stderr
        assert "lacks ansible-core, ansible-runner, fabric, paramiko" in refused.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.full
def test_a_wheel_in_an_environment_of_its_own_reads_a_run(wheel: Path, tmp_path: Path) -> None:
    uv = [str(Path(sys.executable).with_name("uv")), "--quiet"]
    subprocess.run([*uv, "venv", "--python", sys.executable, tmp_path / "own"], check=True)
    python = tmp_path / "own" / "bin" / "python"
    subprocess.run([*uv, "pip", "install", "--python", python, "-c", CHECKOUT / "requirements.lock", wheel], check=True)
    show = "import sys, orchestrator; print(len(orchestrator.load(sys.argv[1]).cells()))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    said = subprocess.run(
        [python, "-c", show, RESULTS / "example"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(said.stdout) > 0
    planned = subprocess.run(
        [python.with_name("orch"), "plan", "exp/scaling.yaml", "--tier", "smoke"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert planned.returncode == 0, planned.stderr
