# SPDX-License-Identifier: Apache-2.0
"""What a worker of Dask does for the owner of a run: it opens a testbed, works on it, and closes it.

A testbed stays open between two pieces of work, in this process, under a name that its opening was given. Work for an
opening that is not here means that the process which had it was lost. When nothing is heard of the owner any more, the
testbed is closed.
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
from orchestrator.spec import Testbed as Described
from orchestrator.testbed import open_testbed
from orchestrator.testbed.pool import MemberCapabilities, look
from orchestrator.testbed.protocol import Sharing, Testbed

SILENCE_S = 60.0  # without a word of the owner, who says one every few seconds
_openings: dict[str, "Station"] = {}
_lock = threading.Lock()


def look_there(testbed: Described) -> tuple[MemberCapabilities, str]:
    """Look at a testbed from the worker; and a hash of the program that measures, as the worker has it."""
    return look(testbed), str(source_identity()["program_hash"])


class Relay:
    """A Progress whose words go to the owner."""

    def __init__(self, send: Callable[[dict[str, Any]], None]) -> None:
        self._send = send

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        if title:  # also that it waits for another run
            self._send({"call": "message", "text": title})

    def detail(self, text: str, share: float | None = None) -> None:
        self._send({"call": "detail", "text": text})

    def message(self, text: str) -> None:
        self._send({"call": "message", "text": text})


class Station:
    """An open testbed in a worker."""

    def __init__(self, testbed: Testbed, send: Callable[[dict[str, Any]], None]) -> None:
        self._testbed, self._send = testbed, send
        self._working = threading.Lock()
        self._ended = False
        self._heard = time.monotonic()
        threading.Thread(target=self._listen, daemon=True).start()

    def hear(self) -> None:
        """The owner is there."""
        self._heard = time.monotonic()

    def work(self, work: Work) -> Any:
        """Do one piece of work. Raises TestbedError."""
        with self._working:
            if self._ended:
                raise TestbedError(f"The testbed {self._testbed.name} is being closed.")
            try:
                return work.carry_out(self._testbed, lambda text: self._send({"call": "traffic", "text": text}))
            finally:
                self.hear()

    def break_off(self) -> None:
        """End the work that is being done; there will be no more."""
        self._ended = True
        if self._working.locked():
            self._testbed.interrupt()

    def close(self) -> None:
        """Give the testbed back."""
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
    opening: str, testbed: Described, sharing: Sharing | None, wait: bool, send: Callable[[dict[str, Any]], None]
) -> None:
    """Open a testbed, for work under the name ``opening``. Raises TestbedError."""
    entered = open_testbed(testbed, Relay(send), wait=wait, sharing=sharing).__enter__()
    with _lock:
        _openings[opening] = Station(entered, send)


def work_there(opening: str, work: Work) -> Any:
    """Do work on an open testbed. Raises WorkerLost where this process has not opened it."""
    return _station(opening).work(work)


def close_there(opening: str) -> None:
    """Close an open testbed."""
    with suppress(WorkerLost):
        station = _station(opening)
        _forget(station)
        station.close()


def hear_there(opening: str) -> None:
    """That the owner is there; from any thread."""
    with suppress(WorkerLost):
        _station(opening).hear()


def break_off_there(opening: str) -> None:
    """End the work that is being done on a testbed; from any thread."""
    with suppress(WorkerLost):
        station = _station(opening)
        threading.Thread(target=station.break_off, daemon=True).start()


def _station(opening: str) -> Station:
    with _lock:
        found = _openings.get(opening)
    if found is None:
        raise WorkerLost("the worker that had this testbed open was lost; another process answers in its place")
    return found


def _forget(station: Station) -> None:
    with _lock:
        for opening in [name for name, one in _openings.items() if one is station]:
            del _openings[opening]
