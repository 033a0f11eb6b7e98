# SPDX-License-Identifier: Apache-2.0
"""Leases on this computer: one run at a time uses a testbed that lives here.

A lease is a kernel lock on a file, so it ends with the process that holds it, however that ends: there are no stale
leases, only processes that hang. The file names the holder. Testbeds of one run may hold a lease together, even in
different processes: it is then a shared lock, and the file also names the run.
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
_POLL_S = 0.5  # interval of polling a lease that may be shared: waiting in the kernel would lock out the own run


@dataclass(frozen=True, slots=True)
class Holder:
    """The holder of a lease: the process, its command line, and when it took the lease (seconds since the epoch)."""

    pid: int
    command: str
    since: float

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since))
        return f"process {self.pid} (`{self.command}`), since {since}"


def holder_now() -> dict[str, Any]:
    """Return this process as a holder, as JSON values, with the name of this computer.

    ``processes``: identifies the boot and the PID namespace in which the process id is valid; ``started``: when this
    process began. Both are in the kernel's terms, and None if this is not Linux.
    """
    holder = Holder(os.getpid(), shlex.join(["orch", *sys.argv[1:]]), time.time())
    return {
        **asdict(holder),
        "host": platform.node(),
        "processes": _processes(),
        "started": _started(holder.pid),
    }


def has_ended(holder: Mapping[str, Any]) -> bool:
    """Return whether a holder was a process of this computer that no longer exists. ``holder``: a result of
    `holder_now`."""
    here = _processes()
    return here is not None and holder.get("processes") == here and holder.get("started") != _started(holder["pid"])


def _processes() -> str | None:
    """Return an identifier of this boot of this computer and this PID namespace; None if this is not Linux."""
    try:
        return f"{boot_of_computer()} {os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _started(pid: int) -> str | None:
    """Return when a process began, in ticks since the boot; None if there is no such process. See starttime in
    proc_pid_stat(5)."""
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
    return os.open(path, os.O_RDONLY)  # another user's file, which can be locked nevertheless


def _told(fd: int) -> dict[str, Any]:
    """Return the content of the file; {} if it has none."""
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
    """Context manager that holds the lease ``name`` of this computer. If another process holds it, calls ``on_wait``
    with the holder and waits.

    ``run``: share the lease with processes that give the same run. Raises TestbedError immediately if it is taken and
    ``wait`` is False.
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
    """Take the lock if it is free or held by the same run, and return whether that succeeded. One process at a time
    checks which run holds it."""
    if run is None:
        taken = try_lock(fd)
        if taken:
            _say_who(fd, run)
        return taken
    gate = _open(f"{name}.gate")
    try:
        wait_for_lock(gate)
        if try_lock(fd):  # it is free, so this process is the first of its run
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
    """Write the holder into the file; return False if it is another user's file."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, json.dumps({**holder_now(), "run": run}).encode(), 0)
        return True
    return False
