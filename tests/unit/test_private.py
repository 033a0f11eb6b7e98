# SPDX-License-Identifier: Apache-2.0
"""Private folders: where they are created, and that nothing remains of them."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchestrator import cache, private
from orchestrator.doctor import checks
from orchestrator.errors import TestbedError, UserError
from orchestrator.kernel import source
from orchestrator.paths import CHECKOUT, cache_home, state_home
from orchestrator.private import odd_characters, private_folder, socket_base
from orchestrator.progress import Silent
from orchestrator.testbed.lab import standing
from orchestrator.testbed.lab.lab import Lab


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a short folder that stands for the user's temporary files."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_it_is_private_and_goes_whatever_happens(temporary: Path) -> None:
    def used() -> None:
        with private_folder("test") as made:
            assert made.path.parent == temporary
            assert made.path.stat().st_mode & 0o077 == 0
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        used()
    assert not list(temporary.iterdir())


def test_what_a_killed_process_left_is_cleared_away_and_what_is_used_is_not(temporary: Path) -> None:
    code = (
        "import sys, time; from orchestrator.private import private_folder\n"
        "with private_folder('test') as made:\n    print(made.path, flush=True)\n    time.sleep(60)"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(CHECKOUT)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    theirs = Path(process.stdout.readline().strip())
    with private_folder("test"):
        assert theirs.is_dir()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert theirs.is_dir()
    with private_folder("other"):
        assert theirs.is_dir()
    with private_folder("test"):
        assert not theirs.exists()


@pytest.mark.parametrize("name", ["u" * 80, "with space", "a,b", "c:d", "e{f}"])
def test_sockets_are_made_elsewhere_where_the_path_is_long_or_odd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    found = socket_base()
    assert found is not None
    assert found != tmp_path / name
    with private_folder("test", sockets=True) as made, socket.socket(socket.AF_UNIX) as tried:
        assert made.has_sockets
        tried.bind(str(made.path / ("s" * 32)))


def test_without_sockets_anywhere_it_is_where_temporary_files_are(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "_can_bind", lambda base: False)
    assert socket_base() is None
    with private_folder("test", sockets=True) as made:
        assert (made.path.parent, made.has_sockets) == (temporary, False)


def test_the_characters_that_programs_of_the_lab_do_not_take() -> None:
    assert odd_characters(Path("/a b/c,d e")) == " ,"
    assert odd_characters(Path("/home/josé/x-1_2.3+4@5")) == ""
    assert odd_characters(Path("/home/jos\udce9")) == "\udce9"


def test_the_folder_for_sockets_is_one_of_the_process_and_goes_with_it(temporary: Path) -> None:
    code = (
        "import os\nfrom orchestrator.private import socket_folder\n"
        "assert socket_folder() == socket_folder()\nprint(socket_folder(), flush=True)\n"
        "child = os.fork()\n"
        "assert not child or os.waitpid(child, 0)[1] == 0\n"
        "assert child or print(socket_folder(), flush=True) is None\n"
        "assert os.path.isdir(socket_folder())"
    )
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(CHECKOUT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    parent, child = map(Path, done.stdout.split())
    assert parent != child
    assert not parent.exists()
    assert not child.exists()


def test_no_place_for_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "socket_base", lambda: None)
    private._socket_folder_of.cache_clear()
    with pytest.raises(TestbedError, match=r"No socket can be created in any of .*Set TMPDIR"):
        private.socket_folder()


class Refusing(Silent):
    """Progress of an operation that must not begin."""

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        raise AssertionError(f"{title} began")


def test_a_cache_whose_path_separates_is_told_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, odd in (("t mp", "' '"), ("c,d", "','"), ("e:f", "':'")):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / name))
        with pytest.raises(TestbedError, match=f"has {odd} in it"):
            cache.obtain("lab-kernel", {}, lambda folder: {}, Silent(), title="x", estimate_s=1)
        with pytest.raises(TestbedError, match=f"has {odd} in it"):
            source.obtain_source(Refusing())
        seen = checks.folders()
        assert not seen.found
        assert "XDG_CACHE_HOME" in seen.remedy


@pytest.mark.parametrize("below", ["", "further/down"])
def test_a_cache_that_cannot_be_written_is_told_before_anything_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file" / below))
    monkeypatch.delenv("ORCH_SOURCE_DIR", raising=False)
    with pytest.raises(TestbedError, match=r"nothing can be written there: Not a directory.*XDG_CACHE_HOME"):
        source.obtain_source(Refusing())


def test_a_lab_without_a_place_for_sockets_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private, "_can_bind", lambda base: False)
    with pytest.raises(TestbedError, match="Set TMPDIR"):
        Lab.start()
    assert "TMPDIR" in checks.folders().remedy


@pytest.mark.parametrize("home", ["", "here", "../there"])
def test_a_home_that_is_no_absolute_path_is_told(monkeypatch: pytest.MonkeyPatch, home: str) -> None:
    monkeypatch.setenv("HOME", home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with pytest.raises(UserError, match=f"HOME is '{home}', which is not an absolute path"):
        cache_home()


def test_without_a_home_the_sentence_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", unknown)
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for folder in (cache_home, state_home):
        with pytest.raises(UserError, match="Set HOME"):
            folder()


def test_a_runtime_folder_that_cannot_be_written_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After `su`, XDG_RUNTIME_DIR may be another user's."""
    real = os.access
    with tempfile.TemporaryDirectory(dir="/tmp") as theirs:
        monkeypatch.setenv("XDG_RUNTIME_DIR", theirs)
        monkeypatch.setattr(standing, "lab_base", lambda: tmp_path)
        assert standing._folder() == Path(theirs) / "orch" / "lab"
        monkeypatch.setattr(os, "access", lambda path, mode: str(path) != theirs and real(path, mode))
        assert standing._folder() == tmp_path / f"orch-{os.getuid()}" / "lab"
