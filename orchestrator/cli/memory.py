# SPDX-License-Identifier: Apache-2.0
"""The address space that a command needs, for callers that limit it (``ulimit -v``).

Numerical and socket libraries do not report a failed allocation: they end the process, or hang.
"""

import os
import resource

from orchestrator.errors import TestbedError

_MIB = 1 << 20
# The use of a command on an idle computer, rounded up, and for each core a thread's stack, heap and buffers.
_READING_MIB, _DRAWING_MIB, _PER_CORE_MIB = 1280, 2816, 128
_READ = frozenset(("list", "verify", "loads", "explain", "compare"))
_DRAW = frozenset(("run", "report", "reproduce", "rerun", "notebook"))


def needed_mib(command: str) -> int:
    """Return the address space, in MiB, that a command needs on this computer; 0 where any limit will do."""
    if command not in _READ | _DRAW:
        return 0
    fixed = _DRAWING_MIB if command in _DRAW else _READING_MIB
    return fixed + _PER_CORE_MIB * len(os.sched_getaffinity(0))


def refuse_little(command: str) -> None:
    """Raise TestbedError if this process is limited to less address space than a command needs."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = needed_mib(command)
    if limit != resource.RLIM_INFINITY and limit < needed * _MIB:
        raise TestbedError(
            f"`ulimit -v` allows {limit // _MIB} MiB of address space, and `orch {command}` needs {needed} MiB on this "
            f"computer. Raise it (`ulimit -v {needed * 1024}`, or `ulimit -v unlimited`), and try again."
        )
