# SPDX-License-Identifier: Apache-2.0
"""Refusals by the operating system become sentences with a remedy, in one place; limits of file systems are
tolerated."""

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cli.app import run_command
from orchestrator.errors import TestbedError, UserError, refusal
from orchestrator.locks import lock
from orchestrator.publish import export_run
from orchestrator.store import RunDirectory, files
from orchestrator.store.files import replace_file, try_lock
from orchestrator.testbed.lease import lease
from tests.unit.synthetic_run import write_run


def refused(number: int, name: str | None = "/some/where") -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    "number", [errno.EACCES, errno.EROFS, errno.ENAMETOOLONG, errno.ENOTDIR, errno.ELOOP, errno.EILSEQ, errno.ENOKEY]
)
def test_what_a_path_is_refused_for_is_the_user_s_input(number: int) -> None:
    told = refusal(refused(number))
    assert type(told) is UserError
    assert str(told).startswith(f"/some/where: {os.strerror(number)}. ")
    assert len(str(refusal(refused(number, "x" * 5000)))) < 400


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.ENOSYS, errno.ENOLCK, errno.EMFILE, errno.ENOMEM])
def test_what_a_computer_or_its_file_system_lacks_is_of_the_computer(number: int) -> None:
    assert isinstance(refusal(refused(number, None)), TestbedError)


@pytest.mark.parametrize("number", [errno.ENOTCONN, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTDOWN])
def test_a_mount_whose_server_is_gone_is_of_the_computer_and_a_socket_is_not(number: int) -> None:
    told = refusal(refused(number))
    assert isinstance(told, TestbedError)
    assert "no longer connected" in str(told)
    assert refusal(refused(number, None)) is None


@pytest.mark.parametrize("number", [errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.EUCLEAN, errno.EBADMSG])
def test_a_device_that_is_gone_and_a_damaged_file_system_are_of_the_computer(number: int) -> None:
    assert isinstance(refusal(refused(number)), TestbedError)


@pytest.mark.parametrize(("number", "limit"), [(errno.EFBIG, "ulimit -f"), (errno.EMFILE, "ulimit -n")])
def test_a_limit_of_the_shell_is_named(number: int, limit: str) -> None:
    assert limit in str(refusal(refused(number)))


@pytest.mark.parametrize("number", [errno.EBADF, errno.EINVAL, errno.EEXIST])
def test_the_rest_stays_a_defect(number: int) -> None:
    assert refusal(refused(number)) is None


@pytest.mark.parametrize("command", ["verify", "report", "rerun", "compare", "notebook"])
def test_a_path_that_is_refused_is_a_sentence_in_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = ["x"] if command == "compare" else []
    for name, said in (("r" * 300, "File name too long"), ("loop", ""), ("file/below", "")):
        (tmp_path / "file").touch()
        (tmp_path / "loop").unlink(missing_ok=True)
        (tmp_path / "loop").symlink_to("loop")
        assert run_command([command, str(tmp_path / name), *more]) == 2
        found = capsys.readouterr().err
        assert found.startswith("orch: ")
        assert said in found


def closed(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Make everything below a folder inaccessible, also for root."""
    real = os.stat

    def refuse(path: Any, *arguments: Any, **named: Any) -> os.stat_result:
        if isinstance(path, str | Path) and Path(path).is_relative_to(folder) and Path(path) != folder:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, *arguments, **named)

    monkeypatch.setattr(os, "stat", refuse)


@pytest.mark.parametrize("command", ["verify", "report", "rerun"])
def test_a_folder_that_may_not_be_entered_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    closed(monkeypatch, tmp_path / "private")
    assert run_command([command, str(tmp_path / "private" / "run")]) == 2
    assert "Permission denied" in capsys.readouterr().err


@pytest.fixture
def no_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the file system unable to flush folders."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    files._WARNED.clear()


@pytest.mark.usefixtures("no_flush")
def test_a_folder_that_cannot_be_flushed_is_no_error_and_is_said_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = write_run(tmp_path, rounds=1, cores=(1,), tunnels=(1,))
    export_run(run, tmp_path / "a.zip")
    replace_file(tmp_path / "file", "content")
    opened, attempts = RunDirectory.reopen(run)
    opened.finish("finished")
    assert len(attempts) == 3
    assert capsys.readouterr().err.count("cannot flush folders") == 1


def test_a_folder_whose_device_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="Input/output"):
        replace_file(tmp_path / "file", "content")


@pytest.mark.parametrize("command", ["export", "init"])
def test_links_that_lead_in_a_circle_are_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "a.zip").symlink_to("b.zip")
    (tmp_path / "b.zip").symlink_to("a.zip")
    target = str(tmp_path / "a.zip")
    arguments = ["--output", target, str(write_run(tmp_path, rounds=1))] if command == "export" else [target]
    assert run_command([command, *arguments]) == 2
    assert target in capsys.readouterr().err


def test_the_first_error_is_told_where_what_was_begun_cannot_be_removed_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), "begun.tmp")

    (run := write_run(tmp_path, rounds=1)).joinpath("report.html").write_text("<p>drawn</p>")
    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UserError, match=rf"{tmp_path}/a\.zip cannot be written: Read-only file system"):
        export_run(run, tmp_path / "a.zip")


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_a_sentence_that_names_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], number: int
) -> None:
    def flock(fd: int, how: int) -> None:
        raise refused(number, None)

    run = write_run(tmp_path, rounds=1, cores=(1,), tunnels=(1,))
    (run / "report.html").write_text("<p>drawn</p>")
    monkeypatch.setattr(fcntl, "flock", flock)
    assert run_command(["export", str(run), "--output", str(tmp_path / "a.zip")]) == 3
    assert f"{run}: It cannot be locked" in capsys.readouterr().err
    with pytest.raises(UserError, match="It cannot be locked"):
        RunDirectory.reopen(run)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(OSError, match=r"It cannot be locked.*locks/name"), lock("name"):
        pass
    with pytest.raises(OSError, match=r"It cannot be locked.*orch-"), lease("lab of a test"):
        pass


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path, os.O_RDONLY) for _ in range(2))
    assert try_lock(first)
    assert not try_lock(second)
    os.close(first)
    assert try_lock(second, shared=True)
    os.close(second)
