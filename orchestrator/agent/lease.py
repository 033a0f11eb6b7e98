# SPDX-License-Identifier: Apache-2.0
"""Who has this host: one run at a time."""

import contextlib
import fcntl
import json
import os
import signal
import time
import typing

from orchestrator.agent.host import RUNTIME, AgentError, read_bytes
from orchestrator.agent.host_messages import BreakLeaseAnswer, BreakLeaseRequest, LeaseAnswer, LeaseRequest

LEASE: "dict[str, typing.TextIO]" = {}  # file: the lease; held: the same, while this agent has it


def lease(request: LeaseRequest) -> LeaseAnswer:
    """Take this host for one run: {"holder": {...}}. The lock goes with this agent, however it ends.

    The answer's ``taken_by`` is null, or who has it: the ``holder`` that they gave, the agent's process, and
    ``silent_s``, for how long its controller has asked nothing.
    """
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
    """End the agent that holds this host's lease, whose controller may be gone: {"ended": pid or null}.

    ``hard``: so that it gives nothing back, since it did not end when it was asked to.
    """
    try:
        with open(RUNTIME + "/lease", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return {"ended": None}
            except BlockingIOError:
                pid = int(json.load(file)["agent_pid"])
    except FileNotFoundError:
        return {"ended": None}
    if b"orch-agent" not in read_bytes("/proc/%d/cmdline" % pid):
        raise AgentError("the lease names process %d, which is no agent; nothing was ended." % pid)
    os.kill(pid, signal.SIGKILL if request.hard else signal.SIGTERM)
    return {"ended": pid}


def holder_in(file):
    """Who has the host, as they said; None where that cannot be read."""
    file.seek(0)
    with contextlib.suppress(ValueError):
        return json.load(file)
    return None


def silent_s(file):
    """For how long the agent that has the lease was asked nothing, in seconds."""
    return max(0.0, time.time() - os.fstat(file.fileno()).st_mtime)


def note_request():
    """Say in the lease, if this agent has it, that its controller still asks."""
    if "held" in LEASE:
        with contextlib.suppress(OSError):
            os.utime(LEASE["held"].fileno())


def holder_of_lease():
    """Who has this host, as they said; None for nobody."""
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
