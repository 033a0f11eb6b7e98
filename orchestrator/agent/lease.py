# SPDX-License-Identifier: Apache-2.0
"""Who has this host: one run at a time."""

import contextlib
import fcntl
import json
import os
import signal
import typing

from orchestrator.agent.host import RUNTIME, AgentError, read_bytes

LEASE: "dict[str, typing.TextIO]" = {}


def lease(request):
    """Take this host for one run: {"holder": {...}}. The lock goes with this agent, however it ends.

    The answer's ``taken_by`` is null, or who has it: the ``holder`` that they gave, and the agent's process.
    """
    if "file" not in LEASE:
        os.makedirs(RUNTIME, exist_ok=True)
        LEASE["file"] = open(RUNTIME + "/lease", "a+", encoding="utf-8")  # noqa: SIM115 - held until the agent ends
    file = LEASE["file"]
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        with contextlib.suppress(ValueError):
            return {"taken_by": json.load(file)}
        return {"taken_by": {}}
    file.truncate(0)
    file.write(json.dumps({**request["holder"], "agent_pid": os.getpid()}))
    file.flush()
    return {"taken_by": None}


def break_lease(request):
    """End the agent that holds this host's lease, whose controller may be gone: {"ended": pid or null}."""
    del request
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
    os.kill(pid, signal.SIGTERM)
    return {"ended": pid}


def holder_of_lease():
    """Who has this host, as they said; None for nobody."""
    try:
        with open(RUNTIME + "/lease", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return None
            except BlockingIOError:
                return json.load(file)
    except (OSError, ValueError):
        return None
