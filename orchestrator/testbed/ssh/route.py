# SPDX-License-Identifier: Apache-2.0
"""How each host is reached: what the testbed file says, then the inventory, then the user's SSH configuration.

OpenSSH itself puts these together (``ssh -G``), so that a host that ``ssh`` reaches is reached here, through the same
jump hosts and proxies. Only the host key is checked against the project's own pinned keys.
"""

import shlex
import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import state_home
from orchestrator.provision import Target
from orchestrator.spec import SshHost, SshTestbed
from orchestrator.testbed.login import ANSWER_TIMEOUT_S, BECOME, HostLost, Login
from orchestrator.testbed.ssh.inventory import read_inventory

_CONNECT_TIMEOUT_S = 15
_proxies: list["subprocess.Popen[bytes]"] = []  # ended ones are waited for when the next is started


def known_hosts_file() -> Path:
    """The pinned host keys of all testbeds of this user, in OpenSSH's format."""
    return state_home() / "known_hosts"


@dataclass(frozen=True, slots=True)
class Route:
    """How a host is reached. ``proxy``: a command that is connected to the host by its standard input and output, or,
    with ``passes_socket``, that hands over a connected socket; empty where the host is reached directly."""

    host: str
    testbed: str
    address: str
    port: int
    user: str
    keys: tuple[Path, ...]
    become: str
    proxy: str = ""
    passes_socket: bool = False
    use_ssh_agent: bool = True

    @property
    def alias(self) -> str:
        """The name of the host's key among the pinned ones."""
        return f"{self.testbed}.{self.host}"

    def open_socket(self) -> socket.socket:
        """A socket that is connected to the host's sshd. Raises HostLost."""
        if not self.proxy:
            try:
                return socket.create_connection((self.address, self.port), _CONNECT_TIMEOUT_S)
            except OSError as error:
                raise HostLost(f"{self.host}: no connection to {self.address}, port {self.port} ({error}).") from error
        return _through(self.proxy, self.host, passes_socket=self.passes_socket)

    def login(self, testbed_file: str) -> Login:
        """How this program logs in. ``testbed_file``: what a user names to enroll its keys."""
        enroll = f"`orch testbed enroll {testbed_file}`"
        return Login(
            host=self.host,
            alias=self.alias,
            user=self.user,
            known_hosts=known_hosts_file(),
            open_socket=self.open_socket,
            keys=self.keys,
            use_ssh_agent=self.use_ssh_agent,
            become=self.become,
            when_unknown=f"Look at its fingerprint on the host, and pin it with {enroll}.",
            when_changed=f"If the host was installed anew, pin the new key with {enroll[:-1]} --replace {self.host}`.",
        )

    def target(self) -> Target:
        """How Ansible logs in: the same way, with nothing left to OpenSSH's configuration."""
        settings = {
            "HostName": self.address,
            "Port": str(self.port),
            "User": self.user,
            "HostKeyAlias": self.alias,
            "UserKnownHostsFile": str(known_hosts_file()),
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "LogLevel": "ERROR",
        }
        if self.proxy:
            settings |= {"ProxyCommand": self.proxy, "ProxyUseFdpass": "yes" if self.passes_socket else "no"}
        if not self.use_ssh_agent:
            settings |= {"IdentitiesOnly": "yes", "IdentityAgent": "none"}
        options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        keys = [part for key in self.keys for part in ("-i", str(key))]
        return Target(self.host, self.user, ["-F", "none", *options, *keys], become=self.become)


def routes(testbed: SshTestbed) -> dict[str, Route]:
    """The way to each host. Raises UserError where the inventory or OpenSSH refuses what is written."""
    inventory = read_inventory(Path(testbed.inventory)) if testbed.inventory else None
    found = {}
    for host in testbed.hosts:
        variables: Mapping[str, Any] = {}
        if inventory is not None:
            if host.name not in inventory:
                known = ", ".join(inventory) or "no host at all"
                raise UserError(f"The inventory {testbed.inventory} has no host {host.name}; it has {known}.")
            variables = inventory[host.name]
        found[host.name] = _route(testbed, host, variables)
    return found


def _variable(variables: Mapping[str, Any], host: str, *names: str) -> str | None:
    for name in names:
        value = variables.get(name)
        if value not in (None, ""):
            if "{{" in str(value):
                raise UserError(f"The inventory's {name} of {host} is a template; write its value.")
            return str(value)
    return None


def _route(testbed: SshTestbed, host: SshHost, variables: Mapping[str, Any]) -> Route:
    def told(*names: str) -> str | None:
        return _variable(variables, host.name, *names)

    kind = told("ansible_connection")
    if kind not in (None, "ssh", "smart", "ansible.builtin.ssh"):
        raise UserError(f"The inventory reaches {host.name} by {kind}; a testbed's hosts are reached by ssh.")
    arguments: list[str] = []
    for names in (("ansible_ssh_common_args",), ("ansible_ssh_extra_args",)):
        arguments += shlex.split(told(*names) or "")
    port = host.port or told("ansible_port", "ansible_ssh_port")
    user = host.user or told("ansible_user", "ansible_ssh_user")
    key = host.key or told("ansible_ssh_private_key_file", "ansible_private_key_file")
    if port:
        arguments += ["-p", str(port)]
    if user:
        arguments += ["-l", user]
    if key:
        path = Path(key).expanduser()
        if not path.is_file():
            raise UserError(f"The private key {path} of the host {host.name} is not there.")
        arguments += ["-i", str(path)]
    if host.jump:
        arguments += ["-J", host.jump]
    address = host.address or told("ansible_host", "ansible_ssh_host") or host.name
    settings = _effective(host.name, [*arguments, "--", address])
    user = settings["user"][0]
    become: str | None = host.become or (None if told("ansible_become") in (None, "True") else "none")
    become = become or told("ansible_become_method") or ("none" if user == "root" else "sudo")
    if become not in BECOME:
        raise UserError(f"{host.name}: there is no way to be root by {become} here; there are {', '.join(BECOME)}.")
    return Route(
        host=host.name,
        testbed=testbed.testbed,
        address=settings["hostname"][0],
        port=int(settings["port"][0]),
        user=user,
        keys=tuple(path for name in settings.get("identityfile", ()) if (path := Path(name).expanduser()).is_file()),
        become="none" if user == "root" else become,
        proxy=_proxy_of(settings),
        passes_socket=settings.get("proxyusefdpass") == ["yes"],
        use_ssh_agent=settings.get("identityagent", [""])[0] != "none" and settings["identitiesonly"] != ["yes"],
    )


def _effective(host: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    """What OpenSSH would use for a host: {setting, in small letters: its values}."""
    try:
        done = subprocess.run(
            ["ssh", "-G", *arguments], capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
        )
    except FileNotFoundError as error:
        raise TestbedError("ssh is not installed: install the package openssh-client.") from error
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"OpenSSH does not understand how to reach {host}: {said}")
    settings: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        settings.setdefault(name, []).append(value)
    return settings


def _proxy_of(settings: Mapping[str, Sequence[str]]) -> str:
    """The command that leads to the host, if it is not reached directly."""
    command = settings.get("proxycommand", ["none"])[0]
    address, port, user = settings["hostname"][0], settings["port"][0], settings["user"][0]
    if command != "none":
        for mark, value in (("%h", address), ("%p", port), ("%r", user), ("%n", address), ("%%", "%")):
            command = command.replace(mark, value)
        return command
    jump = settings.get("proxyjump", ["none"])[0]
    if jump == "none":
        return ""
    *before, last = jump.split(",")
    where, _, last_port = last.rpartition(":") if last.count(":") == 1 else (last, "", "")
    options = {
        "BatchMode": "yes",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": f"{known_hosts_file()} ~/.ssh/known_hosts",
        "ConnectTimeout": str(_CONNECT_TIMEOUT_S),
        "LogLevel": "ERROR",
    }
    words = ["ssh", *(part for name, value in options.items() for part in ("-o", f"{name}={value}"))]
    words += ["-J", ",".join(before)] if before else []
    words += ["-p", last_port] if last_port else []
    return shlex.join([*words, "-W", f"[{address}]:{port}", where or last])


def _through(command: str, host: str, *, passes_socket: bool) -> socket.socket:
    """A socket to a host by way of a command; see Route.proxy."""
    for ended in [process for process in _proxies if process.poll() is not None]:
        _proxies.remove(ended)
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            ["sh", "-c", f"exec {command}"],
            stdin=subprocess.DEVNULL if passes_socket else theirs.fileno(),
            stdout=theirs.fileno(),
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for this program, which may still have to put things back
        )
    _proxies.append(process)
    if not passes_socket:
        return ours
    with ours:
        ours.settimeout(_CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S)
        try:
            _, descriptors, _, _ = socket.recv_fds(ours, 1, 1)
        except OSError as error:
            raise HostLost(f"{host}: its proxy command gave no connection ({error}).") from error
    if not descriptors:
        raise HostLost(f"{host}: its proxy command gave no connection. Try it by hand: {command}")
    return socket.socket(fileno=descriptors[0])
