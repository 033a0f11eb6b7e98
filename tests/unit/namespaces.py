# SPDX-License-Identifier: Apache-2.0
"""A separate host for the agent: new namespaces of this computer, in which `ip` talks to the real kernel."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
INSIDE = Path(__file__).with_name("inside_namespaces.py")
ENTER = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--pid", "--fork", "--mount-proc")
Step = str | Mapping[str, Any]
Done = subprocess.CompletedProcess[str]


def _here(cases: str) -> Done:
    """Carry out cases (see inside_namespaces.py) under this computer's kernel."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*ENTER, sys.executable, INSIDE],
        input=cases,
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=ROOT,
    )


# The function that carries out cases, which selects the kernel.
where: ContextVar[Callable[[str], Done]] = ContextVar("where", default=_here)


@dataclass(frozen=True)
class Case:
    """The steps on a host.

    A step is a shell script, which must succeed and whose result is its output, or a request to the agent, whose result
    is the answer; the result of ``{"op": "way"}`` is the reason why each interface cannot be used. ``connection``:
    SSH_CONNECTION in the agent's environment. ``needs``: the kinds of interfaces that the kernel must have, and of
    queueing disciplines (qdisc ...).
    """

    steps: Sequence[Step]
    connection: str = ""
    needs: Sequence[str] = ()


def on_a_host(*steps: Step, connection: str = "") -> list[Any]:
    """Carry out steps on a new host, and return the result of each. The test is skipped if there can be no such
    host."""
    return on_hosts({"": Case(steps, connection)})[""]


def on_hosts(cases: Mapping[str, Case]) -> dict[str, list[Any]]:
    """Carry out each case on a new host, and return the results of its steps.

    A case whose needs the kernel does not meet is left out; if none is left, or no such host is possible, the test is
    skipped.
    """
    done = where.get()(json.dumps({name: asdict(case) for name, case in cases.items()}))
    if done.returncode and "unshare" in done.stderr:
        pytest.skip(f"no namespaces of one's own here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    found = dict(json.loads(done.stdout))
    if not found:
        pytest.skip(f"the kernel has none of {', '.join(sorted({n for c in cases.values() for n in c.needs}))}")
    return found
