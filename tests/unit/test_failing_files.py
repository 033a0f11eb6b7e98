# SPDX-License-Identifier: Apache-2.0
"""Each call to a file system may fail: then there is a sentence, nothing is lost, and nothing succeeds wrongly."""

import contextlib
import errno
import os
import random
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT
from tests.unit.synthetic_run import write_run

HERE = Path(__file__).parent


@contextlib.contextmanager
def failing() -> Iterator[tuple[str, dict[str, str]]]:
    """Yield a folder, and an environment in which calls that concern paths in its subfolder ``root`` can be failed."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    with tempfile.TemporaryDirectory(
        prefix="orch-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
    ) as name:
        library, root = Path(name, "failing.so"), Path(name, "root")
        build = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(HERE / "failing_files.c"), "-ldl"]
        subprocess.run(build, check=True)
        yield (
            name,
            {
                **os.environ,
                "LD_PRELOAD": str(library),
                "FUZZ_ROOT": str(root),
                "PYTHONPATH": str(CHECKOUT),
                "XDG_CACHE_HOME": str(Path(name, "cache")),
            },
        )


def faults(cases: int) -> list[str]:
    """Return the wrong outcomes among ``cases`` cases of each command (0 for all); the last line is their number."""
    with failing() as (name, environment):
        command = [sys.executable, "-m", "tests.unit.failing_files", name, "16", str(cases)]
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_a_sample_of_failing_calls() -> None:
    *wrong, number = faults(4)
    assert wrong == []
    assert int(number) == 4 * 4


@pytest.mark.full
def test_every_call_that_fails_once() -> None:
    *wrong, number = faults(0)
    assert wrong == []
    assert int(number) > 300


# As failing_files.c has them.
KINDS = ("open", "write", "fsync", "rename", "flock", "mkdir", "unlink")
STATE = struct.Struct(f"{len(KINDS)}llii")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.full
def test_a_sample_of_failing_calls_of_the_processes_that_draw(tmp_path: Path) -> None:
    """The commands above run in one process, and draw nothing."""
    before = write_run(tmp_path, rounds=1, cores=(1,), tunnels=(1,), variants=("vanilla",))
    with failing() as (name, environment):
        run, state = Path(name, "root", "run"), Path(name, "state")

        def report(kind: int, number: int, error: int) -> tuple[list[int], int, str]:
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(before, run)
            state.write_bytes(STATE.pack(*[0] * len(KINDS), number, kind, error))
            command = [sys.executable, "-c", "from orchestrator.cli.app import main; main()", "report", str(run)]
            done = subprocess.run(
                command,
                env={**environment, "FUZZ_STATE": str(state)},
                cwd=name,
                capture_output=True,
                text=True,
                check=False,
            )
            return list(STATE.unpack(state.read_bytes()))[: len(KINDS)], done.returncode, done.stderr

        calls, status, _ = report(-1, 0, 0)
        drawn = contents(run)
        assert status == 0
        assert calls[KINDS.index("write")] > 10
        kinds = [kind for kind, count in enumerate(calls) if count]
        cases = [(kind, number + 1) for kind in kinds for number in range(calls[kind])]
        for kind, number in random.Random(16).sample(cases, 12):
            _, status, said = report(kind, number, errno.ENOSPC)
            case = f"{KINDS[kind]} {number}: status {status}, {said}"
            assert "Traceback" not in said, case
            assert contents(run / "trials") == contents(before / "trials"), case
            assert set(contents(run)) == set(drawn) if status == 0 else said, case
