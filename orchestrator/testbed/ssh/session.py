# SPDX-License-Identifier: Apache-2.0
"""Logging in to a host with OpenSSH: a command runs there, with its input and output connected to a socket here."""

import contextlib
import os
import re
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.errors import TestbedError
from orchestrator.testbed.login import HostLost, LoginRefused
from orchestrator.testbed.ssh.failures import is_about_host_key, quoted, sentence
from orchestrator.testbed.ssh.keys import refusal, words_of_end
from orchestrator.testbed.ssh.route import ENVIRONMENT, SshRoute

# To connect, also through jump hosts, and to log in, also with a hardware key that must be touched.
_LOGIN_TIMEOUT_S = 60
_ENDS_WITHIN_S = 2.0
_FAILED_ITSELF = 255  # ssh(1), EXIT STATUS
_MOST_NOISE = 1 << 20
_MOST_SAID = 1 << 16
_DEBUG = re.compile(r"debug\d: ")  # printed if the inventory gives -v
_running: list["subprocess.Popen[bytes]"] = []  # ended processes are reaped when the next one is started


@dataclass(frozen=True, slots=True)
class HostLogin:
    """A Login through OpenSSH. ``testbed_file``: the name with which a user enrols the host's key."""

    route: SshRoute
    testbed_file: str

    @property
    def host(self) -> str:
        """See Login.host."""
        return self.route.host

    @property
    def become(self) -> str:
        """See Login.become."""
        return self.route.become

    @property
    def password(self) -> str | None:
        """See Login.password."""
        return self.route.password

    def run(self, command: str, patience: float = 1.0) -> "SshSession":
        """See Login.run. Ansible may use the same connection at the same time."""
        self.route.control.unlink(missing_ok=True)  # left over from an earlier connection, which may be dead
        arguments = [*self.route.shared("yes"), "--", self.route.destination]
        # Output that a shell prints when it starts is not the command's; it ends with the mark.
        mark = f"orch-{secrets.token_hex(8)}"
        session = SshSession([*arguments, f"echo {mark}; {command}"])
        try:
            session.wait_for(mark.encode() + b"\n", _LOGIN_TIMEOUT_S * patience)
        except TimeoutError as error:
            session.end()
            words = quoted(session.lines())
            raise HostLost(
                f"{self.host}: no login within {_LOGIN_TIMEOUT_S * patience:g} s{f' ({words})' if words else ''}."
            ) from error
        except (OSError, EOFError) as error:
            session.end()
            raise self._failure(session, str(error)) from error
        return session

    def _failure(self, session: "SshSession", printed: str) -> TestbedError:
        """Return the error of a failed login. ``printed``: the standard output in place of the mark."""
        said = session.lines()
        if session.status not in (None, _FAILED_ITSELF):
            words = quoted([*said, *printed.splitlines()])
            return LoginRefused(
                f"{self.host}: the login as {self.route.user} worked, and no command can be started there "
                f"({words or 'no message'}). Its shell must be one that runs commands."
            )
        if is_about_host_key(said, self.route.alias):
            return LoginRefused(f"{self.host}: {refusal(self.route, self.testbed_file)}")
        if not said:
            with contextlib.suppress(TestbedError):
                said = [words_of_end(self.route)]
        return sentence(self.host, self.route.destination, self.route.user, said, self.route.unused)


class SshSession:
    """A Channel backed by an OpenSSH process, which ends when its input does."""

    def __init__(self, arguments: Sequence[str]) -> None:
        for ended in [process for process in _running if process.poll() is not None]:
            _running.remove(ended)
        self._socket, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # a pipe could fill up, because nobody reads it
        with theirs:
            self._process = subprocess.Popen(
                ["ssh", *arguments],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=self._errors.fileno(),
                env={**os.environ, **ENVIRONMENT},
                start_new_session=True,  # no terminal; and Ctrl-C must only reach this program, which then cleans up
            )
        _running.append(self._process)
        self.settimeout, self.sendall, self.recv = self._socket.settimeout, self._socket.sendall, self._socket.recv

    def wait_for(self, end: bytes, timeout_s: float) -> None:
        """Read until the output ends with ``end``, and no further. Raises TimeoutError, EOFError or OSError."""
        deadline = time.monotonic() + timeout_s
        read = b""
        while not read.endswith(end):
            self.settimeout(max(0.001, deadline - time.monotonic()))
            more = self.recv(1)
            if not more or len(read) > _MOST_NOISE:
                raise EOFError(read[-_MOST_SAID:].decode(errors="replace"))
            read += more

    def lines(self) -> list[str]:
        """Return what OpenSSH and the command wrote to their standard error so far."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDS_WITHIN_S)
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - _MOST_SAID))
        text = self._errors.read().decode(errors="replace")
        return [line.strip() for line in text.splitlines() if line.strip() and not _DEBUG.match(line)]

    @property
    def status(self) -> int | None:
        """The exit status of OpenSSH: the command's, or _FAILED_ITSELF; None while it runs."""
        return self._process.poll()

    def said(self) -> str:
        """See Channel.said."""
        lines = self.lines()
        # At this LogLevel, OpenSSH gives up on a silent host without a message.
        return lines[-1] if lines else "the host fell silent" if self.status == _FAILED_ITSELF else ""

    @property
    def closed(self) -> bool:
        """See Channel.closed."""
        return self._socket.fileno() == -1 or self._process.poll() is not None

    def close(self) -> None:
        """See Channel.close."""
        with contextlib.suppress(OSError):
            self._socket.close()

    def end(self) -> None:
        """Close the session, and end OpenSSH and its proxies."""
        self.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.5)
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGTERM)
