# SPDX-License-Identifier: Apache-2.0
"""Executors: where the work on testbeds is done. `DirectExecutor` does one piece after another; `ConcurrentExecutor`
has a thread for each testbed of a pool.

An executor does the work and returns its result. It never writes to a run's directory; only the run's owner does.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, Self

from orchestrator.errors import TestbedError
from orchestrator.run.work import Tell, Work
from orchestrator.testbed.protocol import OpenTestbed


class WorkerLost(TestbedError):
    """The worker that used a testbed is lost, and with it the work that it was doing."""


class Executor(Protocol):
    """Does work on testbeds that are open, one piece at a time on each."""

    @property
    def testbeds(self) -> Sequence[str]:
        """The names of the testbeds."""
        ...

    @property
    def computers(self) -> Mapping[str, str]:
        """For each testbed that shares its computer with another one here: that computer."""
        ...

    def submit(self, testbed: str, work: Work, tell: Tell) -> "Future[Any]":
        """Begin work on a testbed. The future has its result, or raises TestbedError or WorkerLost."""
        ...


class DirectExecutor:
    """An executor with one testbed, opened by this process; submitting work does it at once."""

    def __init__(self, testbed: OpenTestbed) -> None:
        self._testbed = testbed
        self.testbeds = [testbed.name]
        self.computers: Mapping[str, str] = {}

    def submit(self, testbed: str, work: Work, tell: Tell) -> "Future[Any]":
        assert testbed == self._testbed.name
        future: Future[Any] = Future()
        try:
            future.set_result(work.carry_out(self._testbed, tell))
        except Exception as error:
            future.set_exception(error)
        return future


class ConcurrentExecutor(ABC):
    """An executor with a thread for each testbed, which does the work there or waits for it.

    Use it as a context manager: leaving it cancels the work that is still in progress.
    """

    def __init__(self, testbeds: Sequence[str], computers: Mapping[str, str]) -> None:
        self.testbeds, self.computers = testbeds, computers
        self._threads = {name: ThreadPoolExecutor(1, f"testbed-{name}") for name in testbeds}
        self._last: dict[str, Future[Any]] = {}

    def submit(self, testbed: str, work: Work, tell: Tell) -> "Future[Any]":
        future = self._threads[testbed].submit(self._do, testbed, work, tell)
        self._last[testbed] = future
        return future

    @abstractmethod
    def _do(self, testbed: str, work: Work, tell: Tell) -> Any:
        """Do work on a testbed, or have it done, and wait for it."""

    @abstractmethod
    def _break_off(self, testbed: str) -> None:
        """Cancel the work in progress on a testbed, so that `_do` returns soon."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for name, future in self._last.items():
            if not future.done():
                self._break_off(name)
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)


class LocalExecutor(ConcurrentExecutor):
    """An executor with several testbeds, opened by this process."""

    def __init__(self, testbeds: Mapping[str, OpenTestbed], computers: Mapping[str, str]) -> None:
        super().__init__(list(testbeds), computers)
        self._opened = testbeds

    def _do(self, testbed: str, work: Work, tell: Tell) -> Any:
        return work.carry_out(self._opened[testbed], tell)

    def _break_off(self, testbed: str) -> None:
        self._opened[testbed].interrupt()
