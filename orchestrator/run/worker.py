# SPDX-License-Identifier: Apache-2.0
"""The functions that a Dask worker runs for the owner of a run: opening a testbed, working on it, and closing it.

A testbed stays open in this process between two pieces of work, under the name of its opening. If the opening is not
here, the process that had it was lost. If the owner is silent for too long, the testbed is closed.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.run.executor import WorkerLost
from orchestrator.run.provenance import source_identity
from orchestrator.run.work import Work
from orchestrator.spec import Testbed
from orchestrator.testbed import open_testbed
from orchestrator.testbed.pool import MemberCapabilities, look
from orchestrator.testbed.protocol import OpenTestbed, Sharing

SILENCE_S = 60.0  # after which the owner counts as lost; it sends a sign of life every few seconds
_openings: dict[str, "WorkerTestbed"] = {}
_lock = threading.Lock()


def look_there(testbed: Testbed) -> tuple[MemberCapabilities, str]:
    """Return a testbed's capabilities, and a hash of the program that measures, both as this worker sees them."""
    return look(testbed), str(source_identity()["program_hash"])


class Relay:
    """A Progress that sends its texts to the owner."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if title:  # such as that it waits for another run
            self._send({"call": "message", "text": title})

    def detail(self, text: str, share: float | None = None) -> None:
        self._send({"call": "detail", "text": text})

    def message(self, text: str) -> None:
        self._send({"call": "message", "text": text})


class WorkerTestbed:
    """A testbed that a worker has open."""

    def __init__(self, testbed: OpenTestbed, send: Callable[[dict[str, Any]], None]) -> None:
        self._testbed, self._send = testbed, send
        self._working = threading.Lock()
        self._ended = False
        self._heard = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()

    def hear(self) -> None:
        """Note that the owner is alive."""
        self._heard = time.monotonic()

    def work(self, work: Work) -> Any:
        """Do one piece of work and return its result. Raises TestbedError."""
        with self._working:
            if self._ended:
                raise TestbedError(f"The testbed {self._testbed.name} is being closed.")
            try:
                return work.carry_out(self._testbed, lambda text: self._send({"call": "traffic", "text": text}))
            finally:
                self.hear()

    def break_off(self) -> None:
        """Cancel the work in progress, and refuse any further work."""
        self._ended = True
        if self._working.locked():
            self._testbed.interrupt()

    def close(self) -> None:
        """Release the testbed."""
        self.break_off()
        with self._working:
            testbed, self._ended = self._testbed, True
            testbed.__exit__(None, None, None)

    def _listen(self) -> None:
        while not self._ended:
            time.sleep(SILENCE_S / 10)
            if time.monotonic() - self._heard > SILENCE_S and not self._working.locked():
                _forget(self)
                self.close()


def open_there(
    opening: str, testbed: Testbed, sharing: Sharing | None, wait: bool, send: Callable[[dict[str, Any]], None]
) -> None:
    """Open a testbed under the name ``opening``. Raises TestbedError."""
    entered = open_testbed(testbed, Relay(send), wait=wait, sharing=sharing).__enter__()
    with _lock:
        _openings[opening] = WorkerTestbed(entered, send)


def work_there(opening: str, work: Work) -> Any:
    """Do work on an open testbed and return its result. Raises WorkerLost if it is not open in this process."""
    return _held(opening).work(work)


def close_there(opening: str) -> None:
    """Close an open testbed; do nothing if it is not open here."""
    with suppress(WorkerLost):
        held = _held(opening)
        _forget(held)
        held.close()


def hear_there(opening: str) -> None:
    """Note that the owner of an opening is alive. May be called from any thread."""
    with suppress(WorkerLost):
        _held(opening).hear()


def break_off_there(opening: str) -> None:
    """Cancel the work in progress on a testbed. May be called from any thread."""
    with suppress(WorkerLost):
        held = _held(opening)
        threading.Thread(target=held.break_off, daemon=True).start()


def _held(opening: str) -> WorkerTestbed:
    with _lock:
        found = _openings.get(opening)
    if found is None:
        raise WorkerLost("the worker that had this testbed open was lost; another process answers in its place")
    return found


def _forget(held: WorkerTestbed) -> None:
    with _lock:
        for opening in [name for name, one in _openings.items() if one is held]:
            del _openings[opening]
