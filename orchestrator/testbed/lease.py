# SPDX-License-Identifier: Apache-2.0
"""Leases on this computer: one run at a time uses a testbed that lives here.

A lease is a lock of the kernel on a file, so it goes with the process that holds it, however that ends: there are no
stale ones, only processes that hang. The file says who holds it.
"""

import contextlib
import fcntl
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.paths import cache_home

_OF_COMPUTER = Path("/run/lock")  # where all users of a computer meet; FHS 3.0, section 5.9


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease: the process, its command line, and since when (seconds of the epoch)."""

    pid: int
    command: str
    since: float

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} (`{self.command}`), since {since}"


def holder_now() -> dict[str, Any]:
    """This process as a holder, as JSON values, with the name of this computer."""
    holder = Holder(os.getpid(), shlex.join(["orch", *sys.argv[1:]]), time.time())
    return {**asdict(holder), "host": platform.node()}


def _open(name: str) -> int:
    folder = _OF_COMPUTER if os.access(_OF_COMPUTER, os.W_OK) else cache_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"orch-{name}"
    with contextlib.suppress(PermissionError):
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    return os.open(path, os.O_RDONLY)  # another user's file; it can be locked all the same


def _holder(fd: int) -> Holder | None:
    try:
        told = json.loads(os.pread(fd, 65536, 0))
        found = Holder(told["pid"], told["command"], told["since"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if Path(f"/proc/{found.pid}").exists() else None


@contextlib.contextmanager
def lease(name: str, *, wait: bool = True, on_wait: Callable[[str], None] = lambda said: None) -> Iterator[None]:
    """Hold the lease ``name`` of this computer. While another process has it, wait, having told ``on_wait`` who it is.

    Raises TestbedError at once where it is taken and ``wait`` is false.
    """
    fd = _open(name)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = _holder(fd)
            who = "a process of another user"
            if holder:
                who = f"{holder}; if it hangs, `kill {holder.pid}` ends it"
            if not wait:
                raise TestbedError(
                    f"The {name} of this computer is in use by {who}. Wait until it has ended."
                ) from None
            on_wait(who)
            fcntl.flock(fd, fcntl.LOCK_EX)
        with contextlib.suppress(OSError):
            os.ftruncate(fd, 0)
            os.pwrite(fd, json.dumps(holder_now()).encode(), 0)
        yield
    finally:
        os.close(fd)
