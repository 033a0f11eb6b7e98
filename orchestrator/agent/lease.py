# SPDX-License-Identifier: Apache-2.0
"""The lease of this host, which one run at a time can hold."""

import contextlib
import fcntl
import json
import os
import signal
import time
import typing

from orchestrator.agent.host import RUNTIME, AgentError, read_bytes
from orchestrator.agent.host_messages import BreakLeaseAnswer, BreakLeaseRequest, LeaseAnswer, LeaseRequest

LEASE: "dict[str, typing.TextIO]" = {}  # file: the lease; held: the same file, while this agent has it


def lease(request: LeaseRequest) -> LeaseAnswer:
    """Take this host for one run, or return its present holder. The lock ends with this agent, however it ends."""
    if "file" not in LEASE:
        os.makedirs(RUNTIME, exist_ok=True)
        LEASE["file"] = open(RUNTIME + "/lease", "a+", encoding="utf-8")  # noqa: SIM115 - held until the agent ends
    file = LEASE["file"]
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return {"taken_by": {**(holder_in(file) or {}), "silent_s": silent_s(file)}}
    file.truncate(0)
    file.write(json.dumps({**request.holder, "agent_pid": os.getpid()}))
    file.flush()
    LEASE["held"] = file
    return {"taken_by": None}


def break_lease(request: BreakLeaseRequest) -> BreakLeaseAnswer:
    """End the agent that holds this host's lease, whose controller may be gone.

    ``hard`` kills it, so that it restores nothing, because it did not end when asked to. Raises AgentError if the lease
    names a process that is not an agent.
    """
    try:
        with open(RUNTIME + "/lease", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return {"ended": None}
            except BlockingIOError:
                holder = holder_in(file)
    except FileNotFoundError:
        return {"ended": None}
    if holder is None:  # as after a disk was full
        raise AgentError("the lease is held and does not name its holder; nothing was ended.")
    pid = int(holder["agent_pid"])
    if b"orch-agent" not in read_bytes("/proc/%d/cmdline" % pid):
        raise AgentError("the lease names process %d, which is not an agent; nothing was ended." % pid)
    os.kill(pid, signal.SIGKILL if request.hard else signal.SIGTERM)
    return {"ended": pid}


def holder_in(file):
    """Return the holder that a lease names; None if it cannot be read."""
    file.seek(0)
    with contextlib.suppress(ValueError):
        return json.load(file)
    return None


def silent_s(file):
    """Return the seconds since the last request to the agent that has the lease."""
    return max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)


def note_request():
    """Update the time of the lease, if this agent has it, to show that its controller is active."""
    if "held" in LEASE:
        with contextlib.suppress(OSError):
            os.utime(LEASE["held"].fileno())


def holder_of_lease():
    """Return the holder of this host as it named itself; None if there is none."""
    try:
        with open(RUNTIME + "/lease", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                holder = holder_in(file)
                return None if holder is None else {**holder, "silent_s": silent_s(file)}
    except (OSError, ValueError):
        return None
