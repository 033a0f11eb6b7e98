# SPDX-License-Identifier: Apache-2.0
"""What every way of logging in to a host offers to a conversation with its agent, and how it fails."""

from typing import Protocol

from orchestrator.errors import TestbedError

ANSWER_TIMEOUT_S = 20
# What precedes a command, so that it runs as root: never with a question.
BECOME = {"none": (), "sudo": ("sudo", "-n")}


class HostLost(TestbedError):
    """A host, or its agent, does not answer."""


class LoginRefused(TestbedError):
    """A host answers, and cannot be used as it is: its key, the login, or the right to be root. Trying again is no use
    before somebody has put that right."""


class Channel(Protocol):
    """A command that runs on a host: `sendall` goes to its standard input, `recv` has its standard output."""

    def settimeout(self, seconds: float, /) -> None:
        """How long each `sendall` or `recv` may take; after it they raise TimeoutError."""

    def sendall(self, data: bytes, /) -> None:
        """Raises OSError where the command or the connection has ended."""

    def recv(self, size: int, /) -> bytes:
        """What came, at most ``size`` bytes; empty at the end. Raises OSError."""

    def said(self) -> str:
        """The last line on its standard error, or of what carries the connection; for a command that has ended."""

    @property
    def closed(self) -> bool:
        """Whether either end has closed it."""

    def close(self) -> None:
        """End the command's input, and the connection. Raises nothing."""


class Login(Protocol):
    """How a host is logged in to: its key is checked, no question is asked, and what fails becomes a sentence."""

    @property
    def host(self) -> str:
        """The host's name in the testbed file."""

    @property
    def become(self) -> str:
        """How to be root there, of BECOME."""

    def run(self, command: str, patience: float = 1.0) -> Channel:
        """Log in and start a command of the host's shell. ``patience``: all time-outs are so many times as long.
        Raises HostLost where nobody answers, LoginRefused."""
