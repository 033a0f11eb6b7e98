# SPDX-License-Identifier: Apache-2.0
"""File operations that a run needs: writing files completely or not at all, and locking."""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

# Errors of file systems that cannot flush a folder, such as those of VirtualBox, of Windows and of some archives.
_NO_FLUSH = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTTY)
_NO_LOCKS = (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)
_WARNED: list[bool] = []  # not empty once this process has said that folders cannot be flushed


def to_json(value: Any) -> str:
    """Return a value as JSON as it is stored: with sorted keys and a newline at the end. Raises ValueError for NaN,
    which JSON lacks."""
    return json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n"


def sync_directory(path: Path) -> None:
    """Make renames and new names inside ``path`` survive a power loss.

    A file system that cannot do so is not an error: a warning on standard error says it, once.
    """
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
        _say_no_flush()
    finally:
        os.close(fd)


def leave_warnings_to_client() -> None:
    """Do not warn in this process that folders cannot be flushed, because the process for which it works does."""
    _WARNED.append(True)


def _say_no_flush() -> None:
    if _WARNED:
        return
    _WARNED.append(True)
    said = "orch: this file system cannot flush folders: a power loss may cost what was written last."
    print(said, file=sys.stderr, flush=True)


def try_lock(fd: int, *, shared: bool = False) -> bool:
    """Lock a file or folder without waiting; return False if another process holds the lock. It ends with the process.

    Raises OSError with ENOLCK and the path if the file system has no locks.
    """
    try:
        wait_for_lock(fd, shared=shared, nonblocking=True)
    except BlockingIOError:
        return False
    return True


def wait_for_lock(fd: int, *, shared: bool = False, nonblocking: bool = False) -> None:
    """Lock a file or folder, waiting while another process holds the lock. It ends with the process.

    ``nonblocking``: raise BlockingIOError instead of waiting. Raises OSError with ENOLCK and the path if the file
    system has no locks.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (fcntl.LOCK_NB if nonblocking else 0))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno in _NO_LOCKS:
            path = os.readlink(f"/proc/self/fd/{fd}")
            raise OSError(errno.ENOLCK, "It cannot be locked", path) from error
        raise


def write_synced(path: Path, data: bytes) -> None:
    """Write a file and flush it to the disk. The caller must flush its folder."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_file(path: Path, data: bytes | str, *, synced: bool = True) -> None:
    """Put ``data`` at ``path`` atomically: a reader sees the old content or the new one, never a part.

    ``synced``: also flush it to the disk, so that it survives a power failure. Files that can be rebuilt need not wait
    for a slow disk.
    """
    raw = data.encode() if isinstance(data, str) else data
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        if synced:
            write_synced(temporary, raw)
        else:
            temporary.write_bytes(raw)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # not there, or the first error says more
            temporary.unlink()
        raise
    if synced:
        sync_directory(path.parent)
