# SPDX-License-Identifier: Apache-2.0
"""Logging in to a host by SSH: its key is pinned, no question is asked, and what fails becomes a sentence."""

import hashlib
import logging
import socket
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import TestbedError

if TYPE_CHECKING:
    import fabric
    import paramiko

# The kernel finds out that a host is gone, in about 11 s, without waking the controller while traffic runs. tcp(7)
_KEEPALIVE = {
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 3,
}
# Seconds, and milliseconds; longer for a host that is slow. An answer to a probe needs little of the host, so not by as
# much as its programs are slow: a host that is gone must not be waited for too long.
_KEEPALIVE_TIMES = {
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 5,
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 2,
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 11_000,
}
_MOST_KEEPALIVE_PATIENCE = 4.0
ANSWER_TIMEOUT_S = 20
# What precedes a command, so that it runs as root: never with a question.
BECOME = {"none": (), "sudo": ("sudo", "-n")}


class HostLost(TestbedError):
    """A host, or its agent, does not answer."""


class LoginRefused(TestbedError):
    """A host answers, and cannot be used as it is: its key, the login, or the right to be root. Trying again is no use
    before somebody has put that right."""


@dataclass(frozen=True, slots=True)
class Login:
    """How a host is reached.

    ``alias``: the name that its key has in ``known_hosts``; ``open_socket``: a socket that is connected to its sshd;
    ``keys``: files of private keys to log in with; ``use_ssh_agent``: also those of the user's SSH agent; ``become``:
    how to be root there, of BECOME; ``when_unknown``, ``when_changed``: what to do about a host key that is not the
    pinned one.
    """

    host: str
    alias: str
    user: str
    known_hosts: Path
    open_socket: Callable[[], socket.socket]
    keys: Sequence[Path]
    use_ssh_agent: bool = False
    become: str = "none"
    when_unknown: str = ""
    when_changed: str = ""

    def connect(self, patience: float = 1.0) -> "fabric.Connection":
        """A connection that is open. ``patience``: all time-outs are so many times as long. Raises HostLost where
        nobody answers, LoginRefused."""
        import fabric
        import paramiko

        logging.getLogger("paramiko").addHandler(logging.NullHandler())  # what goes wrong comes as an exception
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
                "key_filename": [str(path) for path in self.keys],
                "look_for_keys": False,
                "allow_agent": self.use_ssh_agent,
                "banner_timeout": ANSWER_TIMEOUT_S * patience,
                "auth_timeout": ANSWER_TIMEOUT_S * patience,
            },
        )
        connection.client.set_missing_host_key_policy(_Unknown())
        try:
            if self.known_hosts.exists():
                connection.client.load_host_keys(str(self.known_hosts))
            connection.open()
        except (OSError, EOFError, paramiko.SSHException, _UnknownKey) as error:
            sock.close()
            raise self._failure(error) from error
        return connection

    def _failure(self, error: Exception) -> TestbedError:
        import paramiko

        if isinstance(error, _UnknownKey):
            return LoginRefused(
                f"{self.host}: its host key ({error}) is not known, so it may be another host. {self.when_unknown}"
            )
        if isinstance(error, paramiko.BadHostKeyException):
            found, pinned = fingerprint(error.key), fingerprint(error.expected_key)
            return LoginRefused(
                f"{self.host}: its host key has changed: {pinned} is pinned, and it shows {found}. It may be another "
                f"host, or somebody in between. {self.when_changed}"
            )
        if isinstance(error, paramiko.PasswordRequiredException):
            return LoginRefused(
                f"{self.host}: a private key has a passphrase, and nothing may ask for it. Add the key to your SSH "
                "agent (ssh-add)."
            )
        if isinstance(error, paramiko.AuthenticationException):
            keys = ", ".join(map(str, self.keys)) or "no key file"
            return LoginRefused(
                f"{self.host}: the login as {self.user} was refused (with {keys}"
                f"{' and the SSH agent' if self.use_ssh_agent else ''}). Put your public key into its authorized_keys."
            )
        if isinstance(error, paramiko.SSHException):
            return HostLost(f"{self.host}: SSH failed ({error}).")
        return HostLost(f"{self.host}: no SSH connection ({error or 'it was closed at once'}).")


class _UnknownKey(Exception):
    """A host key that is not pinned, by its fingerprint."""


class _Unknown:
    """Refuses a host that is not known; paramiko asks it. (Its own RejectPolicy does not tell the key.)"""

    def missing_host_key(self, client: Any, hostname: str, key: "paramiko.PKey") -> None:
        raise _UnknownKey(fingerprint(key))


def keep_alive(sock: socket.socket, patience: float = 1.0) -> None:
    """Have the kernel notice that the other end is gone; ``patience``: so many times later, 4 times at most."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        slower = min(max(1.0, patience), _MOST_KEEPALIVE_PATIENCE)
        for option, value in _KEEPALIVE.items():
            sock.setsockopt(*option, value)
        for option, value in _KEEPALIVE_TIMES.items():
            sock.setsockopt(*option, round(value * slower))


def fingerprint(key: "paramiko.PKey") -> str:
    """A public key's type and fingerprint, as OpenSSH prints them."""
    digest = b64encode(hashlib.sha256(key.asbytes()).digest()).decode().rstrip("=")
    return f"{key.get_name()} SHA256:{digest}"
