# SPDX-License-Identifier: Apache-2.0
"""The address space and the open files that a command needs, for callers that limit them (``ulimit -v``, ``-n``).

Numerical and socket libraries do not report a failed allocation or a file that cannot be opened: they end the process,
or hang.
"""

import os
import resource

from orchestrator.errors import TestbedError

_MIB = 1 << 20
# The use of a command on an idle computer, rounded up, and for each core a thread's stack, heap and buffers.
_READING_MIB, _DRAWING_MIB, _PER_CORE_MIB = 1280, 2816, 128
_READ = frozenset(("list", "verify", "loads", "explain", "compare"))
_DRAW = frozenset(("run", "report", "reproduce", "rerun", "notebook"))
# Drawing two notebooks at a time needs between 64 and 96.
DRAWING_FILES = 192
_USUAL_FILES = 1024  # the limit of most systems


def needed_mib(command: str) -> int:
    """Return the address space, in MiB, that a command needs on this computer; 0 where any limit will do."""
    if command not in _READ | _DRAW:
        return 0
    fixed = _DRAWING_MIB if command in _DRAW else _READING_MIB
    return fixed + _PER_CORE_MIB * len(os.sched_getaffinity(0))


def refuse_little(command: str) -> None:
    """Raise TestbedError if this process is limited to less than a command needs. A limit on open files that the
    process may raise itself is raised."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed = needed_mib(command)
    if limit != resource.RLIM_INFINITY and limit < needed * _MIB:
        raise TestbedError(
            f"`ulimit -v` allows {limit // _MIB} MiB of address space, and `orch {command}` needs {needed} MiB on this "
            f"computer. Raise it (`ulimit -v {needed * 1024}`, or `ulimit -v unlimited`), and try again."
        )
    if command in _DRAW and (files := _most_files()) < DRAWING_FILES:
        raise TestbedError(
            f"`ulimit -n` allows {files} open files, and `orch {command}` needs {DRAWING_FILES}. Raise it "
            f"(`ulimit -n {_USUAL_FILES}`), and try again."
        )


def _most_files() -> int:
    """Return how many files this process may have open, after raising a low limit as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = _USUAL_FILES if hard == resource.RLIM_INFINITY else min(hard, _USUAL_FILES)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return _USUAL_FILES if soft == resource.RLIM_INFINITY else soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    return allowed
