# SPDX-License-Identifier: Apache-2.0
"""Each call to a file system may fail: then there is a sentence, nothing is lost, and nothing succeeds wrongly."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator.paths import CHECKOUT

HERE = Path(__file__).parent


def faults(cases: int) -> list[str]:
    """Return the wrong outcomes among ``cases`` cases of each command (0 for all); the last line is their number."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    with tempfile.TemporaryDirectory(
        prefix="orch-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
    ) as name:
        library, root = Path(name, "failing.so"), Path(name, "root")
        build = [compiler, "-shared", "-fPIC", "-O1", "-w", "-o", str(library), str(HERE / "failing_files.c"), "-ldl"]
        subprocess.run(build, check=True)
        environment = {
            **os.environ,
            "LD_PRELOAD": str(library),
            "FUZZ_ROOT": str(root),
            "PYTHONPATH": str(CHECKOUT),
            "XDG_CACHE_HOME": str(Path(name, "cache")),
        }
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
