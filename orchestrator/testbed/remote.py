# SPDX-License-Identifier: Apache-2.0
"""A conversation with the agent on a host, over one SSH channel."""

import contextlib
import io
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.agent import INSTALLED_AT
from orchestrator.errors import TestbedError

if TYPE_CHECKING:
    import fabric
    import paramiko


# The kernel finds out that a host is gone, in about 11 s, without waking the controller while traffic runs. tcp(7)
_KEEPALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 5,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 2,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 11_000,  # milliseconds
}
START_TIMEOUT_S = 20


class AgentFailure(TestbedError):
    """The agent answered that an operation failed: the host is reachable, the operation did not work."""


class HostLost(TestbedError):
    """The host or its agent no longer answers."""


class Agent:
    """The agent on one host. Requests are JSON lines; see orchestrator/agent/agent.py for the operations."""

    def __init__(self, name: str, connection: "fabric.Connection") -> None:
        self.name = name
        self._connection = connection
        self._pending = b""
        try:
            connection.open()
            transport = connection.client.get_transport()
            if transport is None:
                raise HostLost(f"{name}: the SSH connection closed at once.")
            with _deadline(START_TIMEOUT_S, transport.close):
                self._channel: paramiko.Channel = transport.open_session(timeout=START_TIMEOUT_S)
                self._channel.exec_command(f"exec python3 -I -S {INSTALLED_AT}")
        except (OSError, EOFError) as error:
            raise HostLost(f"{name}: no SSH connection ({error}).") from error
        except _ssh_errors() as error:
            raise HostLost(f"{name}: SSH refused ({error}).") from error

    def request(self, operation: str, timeout_s: float = 30, **arguments: Any) -> dict[str, Any]:
        """Ask for an operation and wait for its answer.

        Raises AgentFailure when the operation failed on the host, HostLost when no answer came within ``timeout_s``
        (seconds) or the connection broke; after HostLost the conversation is over.
        """
        try:
            self._channel.settimeout(timeout_s)
            self._channel.sendall(json.dumps({"op": operation, **arguments}).encode() + b"\n")
            answer = json.loads(self._line(time.monotonic() + timeout_s))
        except TimeoutError as error:
            self.close()
            raise HostLost(f"{self.name}: no answer to {operation!r} within {timeout_s:g} s.") from error
        except (OSError, EOFError, ValueError) as error:
            said = self._said()
            self.close()
            raise HostLost(f"{self.name}: the agent is gone during {operation!r} ({said or error}).") from error
        if not answer.pop("ok"):
            raise AgentFailure(f"{self.name}: {answer['error']}")
        return dict(answer)

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

    def _said(self) -> str:
        """The end of what the agent wrote to its standard error."""
        with contextlib.suppress(Exception):
            self._channel.settimeout(0.2)
            text = self._channel.recv_stderr(65536).decode(errors="replace").strip()
            return text.splitlines()[-1] if text else ""
        return ""

    def close(self) -> None:
        """End the agent (it sees the end of its input) and the connection."""
        with contextlib.suppress(Exception):
            self._channel.close()
        with contextlib.suppress(Exception):
            self._connection.close()


@contextlib.contextmanager
def _deadline(seconds: float, end: Callable[[], None]) -> Iterator[None]:
    """Call ``end`` if the block takes longer: for calls that have no time-out of their own."""
    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _ssh_errors() -> tuple[type[Exception], ...]:
    import paramiko

    return (paramiko.SSHException,)


def open_connection(
    sock: socket.socket, user: str, host_alias: str, key: Path, known_hosts: Path
) -> "fabric.Connection":
    """A fabric connection over a given socket, to a host whose key is pinned; an unknown or changed key is refused."""
    import fabric
    import paramiko

    for option, value in _KEEPALIVE.items():
        sock.setsockopt(*option, value)
    connection = fabric.Connection(
        host=host_alias,
        user=user,
        config=fabric.Config(lazy=True, runtime_ssh_path=None, ssh_config=paramiko.SSHConfig()),
        connect_kwargs={
            "sock": sock,
            "pkey": paramiko.Ed25519Key.from_private_key(io.StringIO(key.read_text())),
            "look_for_keys": False,
            "allow_agent": False,
            "banner_timeout": 20,
            "auth_timeout": 20,
        },
    )
    connection.client.set_missing_host_key_policy(paramiko.RejectPolicy())
    connection.client.load_host_keys(str(known_hosts))
    return connection
