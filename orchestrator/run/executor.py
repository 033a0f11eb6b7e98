# SPDX-License-Identifier: Apache-2.0
"""Where the work on testbeds is done: here, one piece after another; or in a thread for each testbed of a pool.

An executor does the work and gives it back. It writes nothing of a run's directory, which its owner alone does.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, Self

from orchestrator.errors import TestbedError
from orchestrator.run.work import Tell, Work
from orchestrator.testbed.protocol import Testbed


class WorkerLost(TestbedError):
    """Whoever did the work on a testbed is gone, and what it was doing with it."""


class Executor(Protocol):
    """Does work on testbeds that are open, one piece at a time on each."""

    @property
    def testbeds(self) -> Sequence[str]:
        """The names of the testbeds."""
        ...

    @property
    def computers(self) -> Mapping[str, str]:
        """Of each testbed that shares its computer with another of them: that computer."""
        ...

    def submit(self, testbed: str, work: Work, tell: Tell) -> "Future[Any]":
        """Begin work on a testbed; the future has what it gives, or TestbedError, or WorkerLost."""
        ...


class Here:
    """An opened testbed of this process; work is done at once, where it is submitted."""

    def __init__(self, testbed: Testbed) -> None:
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


class Lanes(ABC):
    """An executor with a thread for each testbed, in which it waits for what is done there, or does it.

    Use it as a context manager: leaving it breaks off what is still being done.
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
        """Have work done on a testbed, and wait for it."""

    @abstractmethod
    def _break_off(self, testbed: str) -> None:
        """End what is being done on a testbed, so that `_do` returns soon."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for name, future in self._last.items():
            if not future.done():
                self._break_off(name)
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)


class Threads(Lanes):
    """Several opened testbeds of this process."""

    def __init__(self, testbeds: Mapping[str, Testbed], computers: Mapping[str, str]) -> None:
        super().__init__(list(testbeds), computers)
        self._opened = testbeds

    def _do(self, testbed: str, work: Work, tell: Tell) -> Any:
        return work.carry_out(self._opened[testbed], tell)

    def _break_off(self, testbed: str) -> None:
        self._opened[testbed].interrupt()
