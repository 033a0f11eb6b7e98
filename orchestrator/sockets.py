# SPDX-License-Identifier: Apache-2.0
"""Private folders for sockets: a socket's path has 107 bytes at most, and programs that take it may expand it."""

import atexit
import os
import re
import shutil
import socket
import tempfile
from functools import cache
from pathlib import Path

from orchestrator.errors import TestbedError

# unix(7): 108 bytes with the one that ends it. OpenSSH first binds a name that is 17 longer; ours are shorter than 24.
_LONGEST_FOLDER = 107 - 17 - 24
_PLAIN = re.compile(r"[A-Za-z0-9/._+-]+")  # nothing that a shell, OpenSSH or a URL would take for something else


def make_socket_folder(prefix: str) -> Path:
    """Make a folder of this user's own in which sockets can be bound, whatever TMPDIR is. The caller removes it.

    It is in the first of TMPDIR, XDG_RUNTIME_DIR, /tmp, /var/tmp and /dev/shm that will do. Raises TestbedError.
    """
    said = []
    for parent in dict.fromkeys(
        (tempfile.gettempdir(), os.environ.get("XDG_RUNTIME_DIR", ""), "/tmp", "/var/tmp", "/dev/shm")
    ):
        if not os.path.isabs(parent):
            continue
        if len(os.fsencode(parent)) + len(prefix) + 9 > _LONGEST_FOLDER or not _PLAIN.fullmatch(parent):
            said.append(f"the path {parent!r} is too long, or not of plain characters")
            continue
        try:
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        except OSError as error:
            said.append(f"{parent}: {error.strerror}")
            continue
        try:
            with socket.socket(socket.AF_UNIX) as tried:
                tried.bind(str(folder / "tried"))
            (folder / "tried").unlink()
        except OSError as error:
            said.append(f"{parent} has no room for a socket: {error.strerror}")
            shutil.rmtree(folder, ignore_errors=True)
            continue
        return folder
    raise TestbedError(f"There is no folder for sockets: {'; '.join(said)}. Set TMPDIR to a short path such as /tmp.")


def socket_folder() -> Path:
    """The folder for the sockets of this process; it goes when the process ends."""
    return _of_process(os.getpid())


@cache
def _of_process(process: int) -> Path:
    folder = make_socket_folder("orch-")
    atexit.register(_remove, folder, process)
    return folder


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:
        shutil.rmtree(folder, ignore_errors=True)
