# SPDX-License-Identifier: Apache-2.0
"""Logging in to a lab machine over a socket that the lab's keeper provides."""

import contextlib
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.agent.complaints import KNOWN
from orchestrator.testbed.login import ANSWER_TIMEOUT_S, HostLost, LoginRefused

if TYPE_CHECKING:
    import fabric
    import paramiko

# The kernel detects a lost host in about 11 s, without waking the controller while traffic runs. See tcp(7).
_KEEPALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
}
# In seconds, TCP_USER_TIMEOUT in milliseconds. They are longer for a slow host, but by a limited factor: a keepalive
# answer costs a host little, and a lost host must not be waited for too long.
_KEEPALIVE_TIMES = {
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 5,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 2,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 11_000,
}
_MOST_KEEPALIVE_PATIENCE = 4.0

_TIME = re.compile(r"^\[ *\d+\.\d+\] ")  # the kernel's, before each line of its console
_KILLED = re.compile(r"^Out of memory: Killed process \d+ \((.*?)\)")
_MOST_QUOTED = 3


@dataclass(frozen=True, slots=True)
class LabLogin:
    """A login to a lab machine.

    ``alias``: the name of its key in ``known_hosts``; ``open_socket``: returns a socket connected to its sshd; ``key``:
    the file of the private key to log in with; ``console``: returns what the machine has printed on its console so far;
    ``exit_status``: returns that of the machine's program, negative for a signal, or None while it runs.
    """

    host: str
    alias: str
    user: str
    known_hosts: Path
    open_socket: Callable[[], socket.socket]
    key: Path
    become: str = "none"
    password: str | None = None
    console: Callable[[], str] = str
    exit_status: Callable[[], int | None] = lambda: None

    def run(self, command: str, patience: float = 1.0) -> "LabChannel":
        """See Login.run."""
        import paramiko

        before = len(self.console())
        connection = self._connect(patience)
        transport = connection.client.get_transport()
        if transport is None:
            raise HostLost(f"{self.host}: the SSH connection closed at once.")
        timeout_s = ANSWER_TIMEOUT_S * patience
        try:
            with _deadline(timeout_s, transport.close):
                channel = transport.open_session(timeout=timeout_s)
                channel.exec_command(command)
        except (OSError, EOFError, paramiko.SSHException) as error:
            connection.close()
            raise HostLost(f"{self.host}: no SSH channel ({error}).") from error
        return LabChannel(connection, channel, lambda: quoted(self.console()[before:], self.exit_status()))

    def _connect(self, patience: float) -> "fabric.Connection":
        import fabric
        import paramiko

        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # errors are raised as exceptions
        try:
            sock = self.open_socket()
        except OSError as error:
            raise HostLost(f"{self.host}: no SSH connection ({error}).") from error
        keep_alive(sock, patience)
        connection = fabric.Connection(
            host=self.alias,
            user=self.user,
            config=fabric.Config(lazy=True, runtime_ssh_path=None, ssh_config=paramiko.SSHConfig()),
            connect_kwargs={
                "sock": sock,
                "key_filename": [str(self.key)],
                "look_for_keys": False,
                "allow_agent": False,
                "banner_timeout": ANSWER_TIMEOUT_S * patience,
                "auth_timeout": ANSWER_TIMEOUT_S * patience,
            },
        )
        connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
        try:
            connection.client.load_host_keys(str(self.known_hosts))
            connection.open()
        except (paramiko.BadHostKeyException, paramiko.AuthenticationException) as error:
            sock.close()
            raise LoginRefused(f"{self.host}: the login to the lab machine was refused ({error}).") from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            sock.close()
            raise HostLost(f"{self.host}: no SSH connection ({error or 'it was closed at once'}).") from error
        return connection


class LabChannel:
    """A command on a lab machine; see Channel. ``why`` returns what the machine shows of a reason for its end."""

    def __init__(self, connection: "fabric.Connection", channel: "paramiko.Channel", why: Callable[[], str]) -> None:
        self._connection = connection
        self._channel = channel
        self._why = why
        self.settimeout, self.sendall, self.recv = channel.settimeout, channel.sendall, channel.recv

    def said(self) -> str:
        """See Channel.said. If the command said nothing, the reason may be on the console: a panic, or no memory."""
        with contextlib.suppress(Exception):
            self._channel.settimeout(0.2)
            text: str = self._channel.recv_stderr(65536).decode(errors="replace").strip()
            if text:
                return text.splitlines()[-1]
        return self._why()

    @property
    def closed(self) -> bool:
        """See Channel.closed."""
        return bool(self._channel.closed)

    def close(self) -> None:
        """See Channel.close."""
        with contextlib.suppress(Exception):
            self._channel.close()
        with contextlib.suppress(Exception):
            self._connection.close()


def quoted(console: str, exit_status: int | None) -> str:
    """Return what a machine shows about the end of a command: that memory ran out and what to do, or up to three lines
    of its console that report a fault of the kernel, and how its program ended. It is empty if there is none of these.
    """
    lines = [_TIME.sub("", line.strip()) for line in console.splitlines()]
    if killed := [match[1] for match in map(_KILLED.match, lines) if match]:
        first = ", ".join(list(dict.fromkeys(killed))[:_MOST_QUOTED])
        return (
            f"the machine ran out of memory, and its kernel killed {first}: give it more `memory` in the testbed file"
        )
    said = [line for line in lines if KNOWN.search(line)][:_MOST_QUOTED]
    if exit_status is not None:
        how = f"by signal {-exit_status}" if exit_status < 0 else f"with status {exit_status}"
        said.append(f"The machine ended {how}")
    return f"its console: {' | '.join(said)}" if said else ""


def keep_alive(sock: socket.socket, patience: float = 1.0) -> None:
    """Have the kernel detect a lost peer. ``patience`` multiplies the time that this takes, by at most 4."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        slower = min(max(1.0, patience), _MOST_KEEPALIVE_PATIENCE)
        for option, value in _KEEPALIVE.items():
            sock.setsockopt(*option, value)
        for option, value in _KEEPALIVE_TIMES.items():
            sock.setsockopt(*option, round(value * slower))


@contextlib.contextmanager
def _deadline(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Context manager that calls ``end`` if the block takes longer than this, for calls without a time-out of their
    own."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
