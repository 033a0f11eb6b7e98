# SPDX-License-Identifier: Apache-2.0
"""The program as others install it: a wheel with everything that the checkout has, outside the checkout."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT, RESULTS

MAIN = "import sys; from orchestrator.cli.app import main; sys.argv[0] = 'orch'; main()"


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
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, source]
    subprocess.run(build, check=True, stdin=subprocess.DEVNULL)
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
