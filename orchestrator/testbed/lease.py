# SPDX-License-Identifier: Apache-2.0
"""Leases on this computer: one run at a time uses a testbed that lives here.

A lease is a lock of the kernel on a file, so it goes with the process that holds it, however that ends: there are no
stale ones, only processes that hang. The file says who holds it. Testbeds of one run may hold a lease together,
whatever processes they are in: then it is a shared lock, and the file also says of which run.
"""

import contextlib
import fcntl
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.paths import cache_home
from orchestrator.store.files import try_lock, wait_for_lock
from orchestrator.testbed.computer import boot_of_computer

_OF_COMPUTER = Path("/run/lock")  # where all users of a computer meet; FHS 3.0, section 5.9
_POLL_S = 0.5  # between two looks at a lease that may be shared: to wait in the kernel would shut out one's own run


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
    """This process as a holder, as JSON values, with the name of this computer.

    ``processes`` and ``started``: where process ids mean the same as here, and when this one began, both in the
    kernel's terms; null where this is no Linux.
    """
    holder = Holder(os.getpid(), shlex.join(["orch", *sys.argv[1:]]), time.time())
    return {
        **asdict(holder),
        "host": platform.node(),
        "processes": _processes(),
        "started": _started(holder.pid),
    }


def has_ended(holder: Mapping[str, Any]) -> bool:
    """Whether a holder was a process of this computer that is there no more. ``holder``: of `holder_now`, then."""
    here = _processes()
    return here is not None and holder.get("processes") == here and holder.get("started") != _started(holder["pid"])


def _processes() -> str | None:
    """This boot of this computer and this namespace of processes."""
    try:
        return f"{boot_of_computer()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """When a process began, in ticks since the boot; None where there is none. proc_pid_stat(5), starttime"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return None


def _open(name: str) -> int:
    folder = _OF_COMPUTER if os.access(_OF_COMPUTER, os.W_OK) else cache_home() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"orch-{name}"
    with contextlib.suppress(PermissionError):
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    return os.open(path, os.O_RDONLY)  # another user's file; it can be locked all the same


def _told(fd: int) -> dict[str, Any]:
    """What the file says; {} where it says nothing."""
    try:
        told = json.loads(os.pread(fd, 65536, 0))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def _holder(fd: int) -> Holder | None:
    told = _told(fd)
    try:
        found = Holder(int(told["pid"]), str(told["command"]), float(told["since"]))
    except (KeyError, TypeError, ValueError):
        return None
    return found if Path(f"/proc/{found.pid}").exists() else None


@contextlib.contextmanager
def lease(
    name: str, *, wait: bool = True, on_wait: Callable[[str], None] = lambda said: None, run: str | None = None
) -> Iterator[None]:
    """Hold the lease ``name`` of this computer. While another process has it, wait, having told ``on_wait`` who it is.

    ``run``: share it with whoever names the same run. Raises TestbedError at once where it is taken and ``wait`` is
    false.
    """
    fd = _open(name)
    try:
        if not _take(fd, name, run):
            holder = _holder(fd)
            who = "a process of another user"
            if holder:
                who = f"{holder}; if it hangs, `kill {holder.pid}` ends it"
            if not wait:
                raise TestbedError(f"The {name} of this computer is in use by {who}. Wait until it has ended.")
            on_wait(who)
            if run is None:
                wait_for_lock(fd)
                _say_who(fd, run)
            else:
                while not _take(fd, name, run):
                    time.sleep(_POLL_S)
        yield
    finally:
        os.close(fd)


def _take(fd: int, name: str, run: str | None) -> bool:
    """Take the lock where it is free, or held by the same run, which is found out by one process at a time."""
    if run is None:
        taken = try_lock(fd)
        if taken:
            _say_who(fd, run)
        return taken
    gate = _open(f"{name}.gate")
    try:
        wait_for_lock(gate)
        if try_lock(fd):  # nobody has it: this is the first
            if not _say_who(fd, run):
                raise TestbedError(
                    f"The lease file of the {name} of this computer is another user's, so that testbeds cannot share "
                    f"it. Remove {_OF_COMPUTER}/orch-{name} as that user, or as root."
                )
            return try_lock(fd, shared=True)  # another run may have come in between
        if try_lock(fd, shared=True):
            if _told(fd).get("run") == run:
                return True
            fcntl.flock(fd, fcntl.LOCK_UN)
        return False
    finally:
        os.close(gate)


def _say_who(fd: int, run: str | None) -> bool:
    """Write into the file who holds it; False where it is another user's."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({**holder_now(), "run": run}).encode(), 0)
        return True
    return False
