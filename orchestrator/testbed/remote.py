# SPDX-License-Identifier: Apache-2.0
"""The connection to the agent on a host, over one SSH channel.

The agent's program is sent over the channel at the beginning, and leaves nothing on the host.
"""

import contextlib
import json
import shlex
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from orchestrator.agent import program
from orchestrator.agent.host_messages import ClockRequest
from orchestrator.agent.messages import Request, check_answer
from orchestrator.errors import TestbedError
from orchestrator.testbed.login import ANSWER_TIMEOUT_S, BECOME, BECOME_BY_PASSWORD, HostLost, Login, LoginRefused

Answer = TypeVar("Answer")

_ASKS = ("a password is required", "a terminal is required", "no tty present", "Authorization required")
_WRONG = ("incorrect password attempt", "no password was provided", "incorrect authentication attempt")


def _given(password: str | None) -> bytes:
    """Return what a program that asks for a password reads: with the empty line it gives up if that was wrong."""
    return b"" if password is None else password.encode(errors="surrogateescape") + b"\n\n"


class AgentFailure(TestbedError):
    """The agent reported that an operation failed: the host is reachable, but the operation did not work."""


class Agent:
    """The agent on one host. Requests are JSON lines; the modules ``*_messages`` of orchestrator/agent define them."""

    def __init__(self, login: Login, patience: float = 1.0) -> None:
        """Log in and start the agent. ``patience`` multiplies all time-outs. Raises HostLost or LoginRefused."""
        self.patience = patience
        self.name = login.host
        self._become, self._has_password = login.become, login.password is not None
        self._pending = b""
        self._asked: list[Request[Any]] = []
        command, source = program()
        as_root = (BECOME_BY_PASSWORD if self._has_password else BECOME)[login.become]
        self._channel = login.run(f"exec {shlex.join([*as_root, *command])}", patience)
        self._channel.settimeout(ANSWER_TIMEOUT_S * patience)
        with contextlib.suppress(OSError, EOFError):  # if it has ended, the first request reports why
            self._channel.sendall(_given(login.password) + source)

    def request(self, request: Request[Answer], timeout_s: float = 30) -> Answer:
        """Request an operation and return its answer.

        ``timeout_s``: seconds on real processors, multiplied by the agent's patience. Raises AgentFailure if the
        operation failed on the host or its answer is not as declared, or HostLost if no answer arrived in time or the
        connection broke. After HostLost, the connection is unusable.
        """
        self.ask(request)
        answer: Answer = self.answer(timeout_s)
        return answer

    def ask(self, request: Request[Any]) -> None:
        """Send a request without waiting. Each `ask` must be followed by one `answer`. Raises HostLost."""
        try:
            self._channel.settimeout(ANSWER_TIMEOUT_S * self.patience)
            self._channel.sendall(json.dumps({"op": request.operation, **request.arguments()}).encode() + b"\n")
        except (OSError, EOFError) as error:
            raise self._gone(request.operation, error) from error
        self._asked.append(request)

    def answer(self, timeout_s: float = 30) -> Any:
        """Return the answer to the oldest request that has none yet; see `request`."""
        request = self._asked[0]
        operation = request.operation
        timeout_s *= self.patience
        try:
            answer = json.loads(self._line(time.monotonic() + timeout_s))
        except TimeoutError as error:
            self.close()
            raise HostLost(f"{self.name}: no answer to {operation!r} within {timeout_s:g} s.") from error
        except (OSError, EOFError, ValueError) as error:
            raise self._gone(operation, error) from error
        self._asked.pop(0)
        if not answer.pop("ok"):
            raise AgentFailure(f"{self.name}: {answer['error']}")
        if trouble := check_answer(type(request), answer):
            raise AgentFailure(f"{self.name}: {trouble}")
        return answer

    def _gone(self, operation: str, error: Exception) -> TestbedError:
        said = self._channel.said()
        self.close()
        if self._has_password and any(mark in said for mark in _WRONG):
            return LoginRefused(
                f"{self.name}: {self._become} refuses the ansible_become_password that Ansible has for it ({said})."
            )
        if any(mark in said for mark in _ASKS):
            return LoginRefused(
                f"{self.name}: {self._become} asks for a password, and there is none ({said}). Allow passwordless "
                f"{self._become} for this login (for sudo: NOPASSWD), give ansible_become_password in a vault of an "
                "inventory, or log in as root."
            )
        if f"{self._become}: not found" in said or f"{self._become}: command not found" in said:
            return LoginRefused(
                f"{self.name}: there is no {self._become} there ({said}). Install it, or log in as root."
            )
        if "command not found" in said or "not found" in said.split(": ")[-1:]:
            return LoginRefused(f"{self.name}: the agent cannot be started ({said}). It needs Python 3.9 or later.")
        if "not allowed" in said or "not in the sudoers" in said:
            return LoginRefused(f"{self.name}: this login may not become root with {self._become} ({said}).")
        return HostLost(f"{self.name}: the agent was lost during {operation!r} ({said or error or 'no word'}).")

    def _line(self, deadline: float) -> bytes:
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._channel.settimeout(left)
            try:
                more = self._channel.recv(1 << 20)
            except TimeoutError as error:
                raise TimeoutError from error
            if not more:
                raise EOFError("end of output")
            self._pending += more
        line, self._pending = self._pending.split(b"\n", 1)
        return line

    @property
    def in_step(self) -> bool:
        """True if the connection can be used further: it is open, and every request has been answered."""
        return not self._asked and not self._channel.closed

    def answers(self) -> bool:
        """Return whether the agent still answers."""
        try:
            self.request(ClockRequest(), timeout_s=10)
        except TestbedError:
            return False
        return True

    def clock_skew_s(self) -> float:
        """Return how many seconds the host's clock is ahead of this computer's, from the fastest of a few answers."""
        found = []
        for _ in range(3):
            asked = time.time()
            at = self.request(ClockRequest())["clock_s"]
            answered = time.time()
            found.append((answered - asked, at - (asked + answered) / 2))
        return float(min(found)[1])

    def close(self) -> None:
        """End the agent, which sees the end of its input, and close the connection."""
        self._channel.close()


def request_all(
    agents: Mapping[str, Agent], requests: Mapping[str, Request[Answer]], timeout_s: float = 30
) -> dict[str, Answer]:
    """Run one operation on several hosts at the same time: {host: its request} -> {host: its answer}.

    ``timeout_s``: as for `Agent.request`. All hosts are waited for. Of several failures, the one that lost a host is
    raised, otherwise the first.
    """
    asked, failures = [], []
    answers: dict[str, Answer] = {}
    for host, request in requests.items():
        try:
            agents[host].ask(request)
            asked.append(host)
        except TestbedError as error:
            failures.append(error)
    began = time.monotonic()
    for host in asked:
        spent_s = (time.monotonic() - began) / agents[host].patience
        try:
            answers[host] = agents[host].answer(max(0.1, timeout_s - spent_s))
        except TestbedError as error:
            failures.append(error)
    if failures:
        raise min(failures, key=lambda error: isinstance(error, AgentFailure))
    return answers
