# SPDX-License-Identifier: Apache-2.0
"""The interface of logins, through which agents are reached, and the errors of a login."""

from typing import Protocol

from orchestrator.errors import TestbedError

ANSWER_TIMEOUT_S = 20
# The prefix with which a command runs as root, without ever asking for a password.
BECOME = {"none": (), "sudo": ("sudo", "-n")}
# The prefix if there is a password. It is read from standard input, if it is needed, and not remembered from earlier.
BECOME_BY_PASSWORD = {"sudo": ("sudo", "-S", "-k", "-p", "")}


class HostLost(TestbedError):
    """A host, or its agent, does not answer."""


class LoginRefused(TestbedError):
    """A host answers but cannot be used: its key, the login or the privileges are wrong. Retrying does not help until
    that is corrected."""


class Channel(Protocol):
    """A command that runs on a host: `sendall` writes to its standard input, and `recv` reads its standard output."""

    def settimeout(self, seconds: float, /) -> None:
        """Set how long each `sendall` or `recv` may take before it raises TimeoutError."""

    def sendall(self, data: bytes, /) -> None:
        """Send all data. Raises OSError if the command or the connection has ended."""

    def recv(self, size: int, /) -> bytes:
        """Return at most ``size`` bytes of what has arrived; empty at the end. Raises OSError."""

    def said(self) -> str:
        """Return the last line of standard error, of the command or of the program that carries the connection, once
        the command has ended."""

    @property
    def closed(self) -> bool:
        """True if either end has closed the channel."""

    def close(self) -> None:
        """Close the command's input and the connection. Never raises."""


class Login(Protocol):
    """A way to log in to a host. The host key is checked, there are no interactive questions, and failures become
    sentences."""

    @property
    def host(self) -> str:
        """The host's name in the testbed file."""

    @property
    def become(self) -> str:
        """How to become root on the host: one of BECOME."""

    @property
    def password(self) -> str | None:
        """The password for that; None if there is none."""

    def run(self, command: str, patience: float = 1.0) -> Channel:
        """Log in and start a shell command on the host. ``patience`` multiplies all time-outs. Raises HostLost if
        nobody answers, or LoginRefused."""
