# SPDX-License-Identifier: Apache-2.0
"""What the lab tests share: running `orch` as a user does, and looking for what it left behind."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import store
from orchestrator.paths import CHECKOUT
from orchestrator.plan import Plan

ORCH = [sys.executable, "-c", "from orchestrator.cli.app import main; main()"]
SPEC = str(CHECKOUT / "exp" / "scaling.yaml")


def short_and_full(short: Iterable[Any], every: Iterable[Any]) -> list[Any]:
    """Return all cases of several parameters, named by their values; those that are not ``short`` are marked `full`."""
    chosen = list(short)
    marked = [
        pytest.param(*case, id="-".join(_words(case)), marks=[] if case in chosen else [pytest.mark.full])
        for case in every
    ]
    assert len([case for case in marked if not case.marks]) == len(chosen), chosen
    return marked


def _words(value: Any) -> list[str]:
    return [word for part in value for word in _words(part)] if isinstance(value, tuple) else [str(value)]


def orch(*arguments: str | Path, timeout_s: float = 1500) -> "subprocess.CompletedProcess[str]":
    """Run `orch` to its end, as from a script: no terminal, no input."""
    return subprocess.run(
        [*ORCH, *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=timeout_s,
        check=False,
    )


def start_orch(*arguments: str | Path, log: Path) -> "subprocess.Popen[bytes]":
    """Start `orch` in a session of its own, its output in a file."""
    with log.open("wb") as out:
        return subprocess.Popen(
            [*ORCH, *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextlib.contextmanager
def running_orch(*arguments: str | Path, log: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """`orch` while a test does something beside it; it does not outlive the block."""
    process = start_orch(*arguments, log=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def last_object(output: str) -> dict[str, Any]:
    """The JSON object on the last line of an output."""
    value = json.loads(output.strip().splitlines()[-1])
    assert isinstance(value, dict)
    return value


def lab_processes() -> list[int]:
    """Processes of any lab of this user: keepers and machines, which have the lab's folder in their command lines."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(b"/orch-lab-" in word for word in words):
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return as soon as a condition holds; AssertionError when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.05)


def runs_in(results: Path) -> list[Path]:
    """Directories of runs below a results folder."""
    return sorted(path.parent for path in results.glob("*/*/run.json"))


def attempts_in(results: Path) -> int:
    """How many attempts the runs in a folder have so far."""
    return len(list(results.glob("*/*/trials/*/*/attempt.json")))


def all_ok_once(run: Path) -> None:
    """Every trial of the plan has exactly one ok attempt, and nothing half-written is left."""
    plan = Plan.from_json(store.read_run(run)["plan"])
    ok = Counter(attempt["trial_id"] for attempt in store.read_attempts(run) if attempt["status"] == "ok")
    assert ok == Counter(trial.trial_id for trial in plan.iterate())
    assert not list(run.rglob("*.tmp"))
    trials, _ = store.tables(run)
    assert set(trials.column("status").to_pylist()) == {"ok"}
