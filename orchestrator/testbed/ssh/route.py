# SPDX-License-Identifier: Apache-2.0
"""The route to each host: the testbed file takes precedence, then the inventory, then the user's SSH configuration.

OpenSSH itself combines these and logs in, so a host that ``ssh`` reaches is reached here, with the same keys, agents,
jump hosts and proxies. Only the host key is checked against the project's own pinned keys.
"""

import contextlib
import hashlib
import ipaddress
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.commands import capture
from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import state_home
from orchestrator.private import socket_folder
from orchestrator.provision import Target
from orchestrator.testbed.login import BECOME
from orchestrator.testbed.ssh.inventory import Reach, reach, read_inventory
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed

CONNECT_TIMEOUT_S = 15
# OpenSSH probes a silent host at this interval, and gives up after so many probes in a row without an answer.
_ALIVE_INTERVAL_S, _ALIVE_COUNT = 5, 3
# OpenSSH cannot ask questions: the process has no terminal, and this disables dialog programs.
ENVIRONMENT = {"SSH_ASKPASS_REQUIRE": "never"}
_ALIAS_TOKEN = re.compile(r"(?<!%)((?:%%)*)%k")
# Overrides settings of the user that are meant for interactive logins and would disturb communication with the agent.
_CONVERSATION = {
    "BatchMode": "yes",
    "ClearAllForwardings": "yes",
    "ForkAfterAuthentication": "no",
    "ForwardX11": "no",
    "LogLevel": "ERROR",  # at INFO, a server's banner would appear among the error messages
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
    "RequestTTY": "no",
    "SessionType": "default",
    "StdinNull": "no",
    "ServerAliveInterval": str(_ALIVE_INTERVAL_S),
    "ServerAliveCountMax": str(_ALIVE_COUNT),
}


def known_hosts_file() -> Path:
    """Return the file with the pinned host keys of all testbeds of this user, in OpenSSH's format."""
    return state_home() / "known_hosts"


def _known_hosts_link() -> Path:
    """Return a link, with a plain name, to the pinned host keys, because OpenSSH splits and expands the path that it is
    given."""
    link, file = socket_folder() / "known_hosts", str(known_hosts_file())
    with contextlib.suppress(FileNotFoundError):
        if os.readlink(link) == file:
            return link
        link.unlink()
    link.symlink_to(file)
    return link


@dataclass(frozen=True, slots=True)
class SshRoute:
    """How a host is reached: ``ssh ARGUMENTS -- DESTINATION``, with the host key under an alias of its own.

    ``user``: the login name; ``arguments``: those of ssh, from the testbed file and the inventory; ``become``: how to
    become root there, a key of BECOME, and ``password``: for that; ``limited``: the user's configuration sets a
    connection time-out; ``unused``: sentences on what the inventory gives for a login and is not used.
    """

    host: str
    testbed: str
    destination: str
    user: str
    arguments: tuple[str, ...]
    become: str
    password: str | None = field(default=None, repr=False)
    limited: bool = False
    unused: tuple[str, ...] = ()

    @property
    def alias(self) -> str:
        """The name of the host's key among the pinned ones, in lower case as OpenSSH looks it up."""
        return f"{self.testbed}.{self.host}".lower()

    @property
    def control(self) -> Path:
        """The socket through which OpenSSH shares a connection to the host, within this process and its children."""
        return socket_folder() / hashlib.sha256(self.alias.encode()).hexdigest()[:12]

    def options(
        self, *, known_hosts: Path | None = None, checking: str = "yes", more: Mapping[str, str] | None = None
    ) -> list[str]:
        """Return the arguments of ssh that come before the destination. The connection is not shared.

        OpenSSH uses the first value of a setting, so neither the user nor the inventory can weaken the check of the
        host key. ``known_hosts``: a file in place of the pinned keys; ``checking``: StrictHostKeyChecking; ``more``:
        further settings.
        """
        settings = {
            "HostKeyAlias": self.alias,
            "StrictHostKeyChecking": checking,
            "UserKnownHostsFile": str(known_hosts or _known_hosts_link()),
            "GlobalKnownHostsFile": "/dev/null",
            "KnownHostsCommand": "none",
            "NoHostAuthenticationForLocalhost": "no",
            "CheckHostIP": "no",
            "VerifyHostKeyDNS": "no",
            "UpdateHostKeys": "no",
            "ControlMaster": "no",
            "ControlPath": "none",
            **_CONVERSATION,
            **(more or {}),
        }
        if not self.limited:
            settings["ConnectTimeout"] = str(CONNECT_TIMEOUT_S)
        words = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        # For these options, the last value counts: no terminal, and the socket of a shared connection.
        return [*words, *self.arguments, "-T", "-S", settings["ControlPath"]]

    def shared(self, role: str, *, persist_s: int = 0) -> list[str]:
        """Return `options` for a connection that is shared through the socket ``control``.

        ``role``: ControlMaster; ``persist_s``: how many seconds the connection outlasts its last user.
        """
        persist = str(persist_s) if persist_s else "no"
        settings = {"ControlMaster": role, "ControlPath": str(self.control), "ControlPersist": persist}
        return self.options(more=settings)

    def target(self) -> Target:
        """Return how Ansible logs in: the same way, over the open connection if there is one."""
        options = self.shared("auto", persist_s=30)
        return Target(self.host, self.user, options, self.destination, self.become, self.password)


def routes(testbed: SshTestbed) -> dict[str, SshRoute]:
    """Return the route to each host. Raises UserError if the inventory or OpenSSH rejects a setting."""
    inventory = read_inventory(Path(testbed.inventory)) if testbed.inventory else None
    found = {}
    for host in testbed.hosts:
        by_ansible = Reach()
        if inventory is not None:
            name = host.inventory_host or host.name
            if name not in inventory:
                known = ", ".join(inventory) or "no host at all"
                raise UserError(f"The inventory {testbed.inventory} has no host {name}; it has {known}.")
            by_ansible = reach(str(testbed.inventory), name, inventory[name])
        found[host.name] = _route(testbed, host, by_ansible)
    return found


def _route(testbed: SshTestbed, host: SshHost, by_ansible: Reach) -> SshRoute:
    # OpenSSH uses the first of several values: the testbed file's, then the inventory's in Ansible's own order.
    if host.key and _is_absent(host.key) and _is_absent(f"{host.key}.pub"):
        raise UserError(f"The private key {os.path.expanduser(host.key)} of the host {host.name} does not exist.")
    arguments = _arguments(host.port, host.user, host.key)
    arguments += ["-J", jumps(host.jump)] if host.jump else []
    arguments += by_ansible.ssh_args
    arguments += _arguments(by_ansible.port, by_ansible.user, by_ansible.key)
    arguments += by_ansible.more_args
    destination = host.address or by_ansible.address or host.name
    settings = _effective(host.name, [*arguments, "--", destination])
    user = settings["user"][0]
    arguments += _keys_by_alias(settings, destination)
    if settings.get("channeltimeout", ["none"]) != ["none"]:  # old versions of OpenSSH lack it
        arguments = ["-o", "ChannelTimeout=none", *arguments]
    become: str | None = host.become or ("none" if by_ansible.become is False else None)
    become = become or by_ansible.become_method or ("none" if user == "root" else "sudo")
    if user == "root":
        become = "none"
    elif become not in BECOME:
        raise UserError(f"{host.name}: {become} is not supported to become root; use one of {', '.join(BECOME)}.")
    if become == "sudo" and by_ansible.no_password:
        raise UserError(by_ansible.no_password)
    return SshRoute(
        host=host.name,
        testbed=testbed.testbed,
        destination=destination,
        user=user,
        arguments=tuple(arguments),
        become=become,
        password=by_ansible.password if become == "sudo" else None,
        limited=settings.get("connecttimeout", ["none"])[0] not in ("none", "0"),
        unused=_unused(by_ansible),
    )


def _unused(by_ansible: Reach) -> tuple[str, ...]:
    key = by_ansible.key
    absent = [f"Its private key {os.path.expanduser(key)} does not exist."] if key and _is_absent(key) else []
    named = " and ".join(by_ansible.unused)
    return (*absent, *([f"Its {named} is not used: orch logs in with `ssh`, key files and agents."] if named else []))


def jumps(text: str) -> str:
    """Return the jump hosts of a testbed file, [USER@]HOST[:PORT] separated by commas, in the form of ssh -J, which
    needs brackets around IPv6 addresses even without a port."""
    return ",".join(_with_brackets(jump) for jump in text.split(","))


def _with_brackets(jump: str) -> str:
    user, at, host = jump.rpartition("@")
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return jump
    return f"{user}{at}[{host}]"


def _arguments(port: int | None, user: str | None, key: str | None) -> list[str]:
    """Return the arguments of ssh."""
    arguments = []
    if port:
        arguments += ["-p", str(port)]
    if user:
        arguments += ["-l", user]
    if key:  # not by -i, with which OpenSSH ignores a path that it has to expand
        arguments += ["-o", f"IdentityFile={_quoted(os.path.expanduser(key))}"]
    return arguments


def _is_absent(key: str) -> bool:
    """Return whether a key file does not exist. It is False if OpenSSH expands the path."""
    path = os.path.expanduser(key)
    return not {"%", "$"} & set(path) and not os.path.isfile(path)


def _keys_by_alias(settings: Mapping[str, Sequence[str]], destination: str) -> list[str]:
    """Return ssh's arguments for key and certificate files whose names contain %k, the alias of the host key.

    The user means their own alias or, without one, the destination; OpenSSH would insert `SshRoute.alias`. With these
    arguments it tries the intended files first, in the user's order, and then those with `SshRoute.alias`, which seldom
    exist.
    """
    alias = settings.get("hostkeyalias", [destination])[0].replace("%", "%%")
    return [
        word
        for name, options in (("identityfile", "IdentityFile"), ("certificatefile", "CertificateFile"))
        if any(_ALIAS_TOKEN.search(value) for value in settings.get(name, ()))
        for value in settings[name]
        for word in ("-o", f"{options}={_quoted(_ALIAS_TOKEN.sub(lambda found: found[1] + alias, value))}")
    ]


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _effective(host: str, arguments: Sequence[str]) -> dict[str, list[str]]:
    """Return the settings that OpenSSH would use for a host: {setting, in lower case: its values}. Raises UserError
    with its message if the configuration is wrong."""
    try:
        done = capture(["ssh", "-G", *arguments], new_session=True)
    except FileNotFoundError as error:
        raise TestbedError("ssh is not installed: install the package openssh-client.") from error
    except ValueError as error:
        raise UserError(f"The settings for reaching {host} contain a NUL character. Remove it.") from error
    if done.returncode:
        said = "; ".join(done.stderr.strip().splitlines()[-3:]) or "no message"
        raise UserError(f"OpenSSH does not understand how to reach {host}: {said}")
    settings: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        name, _, value = line.partition(" ")
        settings.setdefault(name, []).append(value)
    return settings
