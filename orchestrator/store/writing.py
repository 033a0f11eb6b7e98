# SPDX-License-Identifier: Apache-2.0
"""Writing a run's directory, which only the process that owns the run does."""

import contextlib
import errno
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.listing import files_below
from orchestrator.paths import as_argument
from orchestrator.store.archive import TRIALS
from orchestrator.store.files import replace_file, sync_directory, to_json, try_lock, write_synced
from orchestrator.store.output import files_of
from orchestrator.store.reading import JOURNAL, STOPPING, as_counted, read_run, scan
from orchestrator.store.shape import SCHEMA

_FULL = (errno.ENOSPC, errno.EDQUOT)
INPUTS = "inputs"  # the folder for the files that the spec names
_RESERVE = ".reserve"
RESERVE_BYTES = 4 * 2**20  # enough for the last attempt, the journal and run.json


class StoreError(UserError):
    """Results can no longer be stored, because the disk is full or the folder is gone. Everything stored so far is
    complete."""

    exit_status = 1


def now() -> str:
    """Return the current time in UTC, in ISO 8601 to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_run_id() -> str:
    """Return a new run id that sorts by time and does not collide, such as 20260102T030405Z-9f3c."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


class RunDirectory:
    """A run's directory, open for writing, and locked against other writers until `close` or the process's end.

    An attempt is written under a temporary name, flushed and renamed: after a kill it exists completely or not at all.
    The journal is flushed line by line. Some disk space is held in reserve, so that the attempt that finds the disk
    full is still stored; `full` is then True. Methods that write raise StoreError if they cannot. `stored_bytes`: the
    size of each attempt stored since the run was opened.
    """

    def __init__(self, path: Path, description: Mapping[str, Any]) -> None:
        """Make the directory of a new run. Raises FileExistsError if it exists."""
        with _stored(path):
            (path / TRIALS).mkdir(parents=True)
        self._open(path, dict(description))
        try:
            self._write_description()
            self.journal("run-started")
        except BaseException:
            self.close()
            raise

    def _open(self, path: Path, description: dict[str, Any]) -> None:
        self.path = path
        self.full = False
        self.stored_bytes: list[int] = []
        self._description = description
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            with _stored(path):
                if not try_lock(self._lock):
                    raise UserError(f"Another process is writing {path}. Wait until it has ended, or end it.")
        except BaseException:
            os.close(self._lock)
            raise
        try:
            with _stored(path):
                self._journal = (path / JOURNAL).open("ab")
        except BaseException:
            os.close(self._lock)
            raise
        self._make_reserve()

    @classmethod
    def reopen(cls, path: Path) -> "tuple[RunDirectory, list[dict[str, Any]]]":
        """Open an existing run to resume it; return it with its attempts as they count, in no order.

        Damage by a kill, a power loss or a full disk is repaired: half-written attempts are removed; an attempt that
        cannot be read is renamed, and its trial counts as not measured. Raises UserError if there is no run, or if
        another process is writing it.
        """
        run = cls.__new__(cls)
        run._open(path, read_run(path))
        try:
            run._mend_journal()
            found = scan(path)
            run._mend(found.cut_off, list(found.damaged))
        except BaseException:
            run.close()
            raise
        return run, as_counted(found.attempts, run._description)

    def _mend_journal(self) -> None:
        file = self.path / JOURNAL
        if file.stat().st_size:
            with file.open("rb") as journal:
                journal.seek(-1, os.SEEK_END)
                torn = journal.read(1) != b"\n"
            if torn:
                self._append(b"\n")

    def _mend(self, cut_off: Sequence[Path], damaged: Sequence[Path]) -> None:
        for left in [*cut_off, *self.path.glob(".*.tmp")]:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        for folder in damaged:
            aside = folder.with_name(f"damaged-{folder.name}-{secrets.token_hex(2)}")
            folder.rename(aside)
            self.journal("attempt-damaged", attempt=str(folder.relative_to(self.path)), set_aside=aside.name)

    def _make_reserve(self) -> None:
        file = self.path / _RESERVE
        with contextlib.suppress(OSError):  # without a reserve, a full disk costs the current attempt
            fd = os.open(file, os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(fd, 0, RESERVE_BYTES)
            except OSError:
                file.unlink(missing_ok=True)
            finally:
                os.close(fd)

    def _store(self, write: Callable[[], None]) -> None:
        """Write; if the disk is full, free the reserve and write again. Raises StoreError."""
        reserve = self.path / _RESERVE
        with _stored(self.path):
            try:
                write()
            except OSError as error:
                if error.errno not in _FULL or not reserve.exists():
                    raise
                reserve.unlink()
                self.full = True
                write()

    @property
    def description(self) -> Mapping[str, Any]:
        """The content of run.json."""
        return self._description

    def _write_description(self) -> None:
        self._replace("run.json", self._description)

    def _replace(self, name: str, content: Mapping[str, Any]) -> None:
        data = to_json(content)
        self._store(lambda: replace_file(self.path / name, data))

    def update(self, **fields: Any) -> None:
        """Change top-level fields of run.json."""
        self._description.update(fields)
        self._write_description()

    def keep_inputs(self, files: Mapping[str, bytes]) -> str:
        """Store the files that the spec names, by their paths relative to the spec; return the folder's name.

        Files of an earlier session stay: if the content differs, a new folder is used.
        """
        number, name = 1, INPUTS
        while (folder := self.path / name).exists() and not _holds(folder, files):
            number += 1
            name = f"{INPUTS}-{number}"

        def write() -> None:
            temporary = self.path / f".{name}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            for path, content in files.items():
                (temporary / path).parent.mkdir(parents=True, exist_ok=True)
                (temporary / path).write_bytes(content)
            temporary.rename(folder)

        if not folder.exists():
            self._store(write)
        return name

    def write_stopping(self, cells: Sequence[Mapping[str, Any]]) -> None:
        """Store stopping.json: why each cell of each finished block has its number of rounds."""
        self._replace(STOPPING, {"schema": SCHEMA, "cells": list(cells)})

    def journal(self, event: str, **details: Any) -> None:
        """Append one event to the journal and flush it to the disk."""
        line = json.dumps({"at": now(), "event": event, **details}, allow_nan=False, ensure_ascii=False)
        data = line.encode() + b"\n"
        self._store(lambda: self._append(data))

    def _append(self, data: bytes) -> None:
        # Unbuffered: a buffer would keep what a full disk refused, and write it twice.
        fd = self._journal.fileno()
        before = os.fstat(fd).st_size
        try:
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(fd, before)
            raise

    def next_attempt(self, trial_id: str) -> int:
        """Return the number of the next attempt of a trial, from 1."""
        folder = self.path / TRIALS / trial_id
        if not folder.is_dir():
            return 1
        return 1 + max((int(entry.name) for entry in folder.iterdir() if entry.name.isdigit()), default=0)

    def add_attempt(self, attempt: Mapping[str, Any], raw: Mapping[str, str]) -> Path:
        """Store a finished attempt and its tools' output (file name -> text), see `files_of`. Return its directory.

        Raises FileExistsError if the attempt exists, because none is ever overwritten, and StoreError if it cannot be
        stored; in both cases nothing of the new attempt is left.
        """
        folder = self.path / TRIALS / str(attempt["trial_id"])
        final = folder / str(attempt["attempt"])
        if final.exists():
            raise FileExistsError(f"{final} already exists; an attempt is never overwritten")
        self._store(lambda: self._add(folder, final, attempt, raw))
        self.journal("attempt", **{name: attempt[name] for name in ("trial_id", "attempt", "status", "reasons")})
        self.stored_bytes.append(sum(entry.stat().st_size for entry in os.scandir(final)))
        return final

    def _add(self, folder: Path, final: Path, attempt: Mapping[str, Any], raw: Mapping[str, str]) -> None:
        folder.mkdir(exist_ok=True)
        temporary = folder / f".{final.name}.{secrets.token_hex(4)}.tmp"
        try:
            temporary.mkdir()
            for name, content in files_of(raw).items():
                write_synced(temporary / name, content)
            write_synced(temporary / "attempt.json", to_json(attempt).encode())
            sync_directory(temporary)
            temporary.rename(final)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync_directory(folder)
        sync_directory(folder.parent)

    def check_room(self) -> None:
        """Raise StoreError if the reserve was needed: the next attempt could not be stored."""
        if self.full:
            with _stored(self.path):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def finish(self, state: str) -> None:
        """Record how this session ended (``finished``, ``interrupted`` or ``stopped``), and close."""
        try:
            ended = now()
            sessions = [dict(session) for session in self._description.get("sessions") or ()]
            if sessions:
                sessions[-1] |= {"state": state, "ended_at": ended}
            self.update(state=state, ended_at=ended, sessions=sessions)
            self.journal("run-ended", state=state)
        finally:
            self.close()

    def close(self) -> None:
        """Close and unlock the directory; it can be reopened."""
        self._journal.close()
        with contextlib.suppress(OSError):  # if it stays, the next session uses it
            (self.path / _RESERVE).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def _holds(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Return whether a folder has exactly these files, with this content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files_below(folder)} == dict(files)


@contextlib.contextmanager
def _stored(path: Path) -> Iterator[None]:
    """Context manager that turns an OSError into a StoreError that says what to do."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        full = error.errno in _FULL
        what = "its disk is full" if full else f"{error.strerror or error}"
        remedy = "Free some space there" if full else "Fix that"
        raise StoreError(
            f"Nothing more can be stored in {path}: {what}. What was stored before is complete. "
            f"{remedy}, then go on with --resume {as_argument(path)}."
        ) from error
