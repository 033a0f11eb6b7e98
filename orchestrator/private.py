# SPDX-License-Identifier: Apache-2.0
"""Private folders that live as long as this process, for sockets, keys and unpacked archives.

A folder is locked while it is in use. A killed process leaves its folder unlocked; the next process that asks for a
folder for the same purpose removes it.
"""

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from orchestrator.errors import TestbedError

# A socket's path has at most 107 bytes (unix(7)), and the names of a lab's sockets have up to 40.
LONGEST_BYTES = 107 - 40
# Characters that separate arguments of User-Mode Linux, QEMU, OpenSSH, make or a shell; not all of them allow quoting.
_SEPARATORS = frozenset(" \t\n\r,:;\"'\\$#%&|<>()*?[]{}!`~=")


@dataclass(frozen=True, slots=True)
class Private:
    """A private folder. ``has_sockets``: whether sockets can be created in it."""

    path: Path
    has_sockets: bool


def odd_characters(path: Path | str) -> str:
    """Return, without duplicates, the characters of a path that programs of the lab take for separators, and those that
    stand for bytes that are not UTF-8."""
    odd = (character for character in str(path) if character in _SEPARATORS or "\ud800" <= character <= "\udfff")
    return "".join(dict.fromkeys(odd))


def bases() -> list[Path]:
    """Return the folders for temporary files, the user's choice first."""
    chosen = [tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm"]
    usable = [name for name in chosen if os.path.isabs(name) and os.path.isdir(name) and os.access(name, os.W_OK)]
    return [Path(name) for name in dict.fromkeys(usable)]


def socket_base(name_bytes: int = 32) -> Path | None:
    """Return the first of `bases` in which sockets can be created, in a folder with a name of up to ``name_bytes``
    bytes; None if there is none. Its path has no character that a program of the lab takes for a separator."""
    for base in bases():
        fits = len(os.fsencode(base)) + 1 + name_bytes <= LONGEST_BYTES
        if fits and not odd_characters(base) and _can_bind(base):
            return base
    return None


def lab_base() -> Path:
    """Return the folder found by `socket_base`. Raises TestbedError if there is none."""
    found = socket_base()
    if found is None:
        raise _no_sockets()
    return found


def _no_sockets() -> TestbedError:
    return TestbedError(
        f"No socket can be created in any of {', '.join(map(str, bases()))}: these paths are too long, have "
        "spaces or other separators, or their file systems have no sockets. Set TMPDIR to a short path such as /tmp."
    )


def _can_bind(base: Path) -> bool:
    try:
        with (
            tempfile.TemporaryDirectory(prefix="orch-try-", dir=base) as folder,
            socket.socket(socket.AF_UNIX) as tried,
        ):
            tried.bind(os.path.join(folder, "s"))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def private_folder(purpose: str, *, sockets: bool = False) -> Iterator[Private]:
    """Yield a folder orch-PURPOSE-… that only this user can read, and remove it when the context is left.

    ``sockets``: prefer a place in which sockets can be created to the user's folder for temporary files.
    """
    with_sockets = socket_base() if sockets else None
    base = with_sockets or Path(tempfile.gettempdir())
    _clear_abandoned(base, purpose)
    fresh = Path(tempfile.mkdtemp(prefix=f".orch-{purpose}-", dir=base))
    lock = os.open(fresh, os.O_RDONLY | os.O_DIRECTORY)
    path = fresh.with_name(fresh.name.removeprefix("."))
    owner = os.getpid()
    try:
        with contextlib.suppress(OSError):  # without locks, no other process removes it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fresh.rename(path)
        yield Private(path, with_sockets is not None)
    finally:
        if os.getpid() == owner:  # not in a process that was forked from it
            shutil.rmtree(path, ignore_errors=True)
            shutil.rmtree(fresh, ignore_errors=True)
        os.close(lock)


def socket_folder() -> Path:
    """Return the folder for the sockets of this process and its children; it is removed when the process ends.

    Its path is short and has no separators. Raises TestbedError if there is no place for one.
    """
    return _socket_folder_of(os.getpid())


@functools.cache
def _socket_folder_of(process: int) -> Path:
    with contextlib.ExitStack() as kept:
        made = kept.enter_context(private_folder("ssh", sockets=True))
        if not made.has_sockets:
            raise _no_sockets()
        atexit.register(kept.pop_all().close)
    return made.path


def _clear_abandoned(base: Path, purpose: str) -> None:
    """Remove this user's folders for a purpose that no process has locked."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(base):
            if entry.name.startswith(f"orch-{purpose}-") and entry.stat(follow_symlinks=False).st_uid == os.getuid():
                _clear_if_abandoned(entry.path)


def _clear_if_abandoned(path: str) -> None:
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)
