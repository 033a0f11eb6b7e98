# SPDX-License-Identifier: Apache-2.0
"""The surroundings of a login on this computer: a server, a home folder, keys, and a testbed file's content."""

import os
import pwd
import shutil
import subprocess
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import TestbedError, UserError
from orchestrator.testbed.ssh.route import known_hosts_file, routes
from orchestrator.testbed.ssh.schema import SshTestbed
from orchestrator.testbed.ssh.session import HostLogin
from tests.unit import sshd

ME = pwd.getpwuid(os.getuid()).pw_name


@dataclass
class Site:
    """A server, a home and keys. ``good``: a key that the server accepts; ``other``: one that it does not."""

    server: sshd.Server
    home: sshd.Home
    good: Path
    other: Path
    monkeypatch: pytest.MonkeyPatch
    ends: ExitStack
    folder: Path

    def config(self, more: str = "", address: str = "127.0.0.1", at: Path | None = None) -> None:
        """Write a configuration for the host `there`."""
        lines = [f"HostName {address}", f"Port {self.server.port}", f"User {ME}", *more.strip().splitlines()]
        text = "Host there\n" + "".join(f"  {line.strip()}\n" for line in lines)
        (at or self.home.ssh / "config").write_text(text)

    def key(self, name: str, key: Path | None = None) -> Path:
        """Store a key under a name in ~/.ssh, by default the good one, without its public half."""
        file = self.home.ssh / name
        file.parent.mkdir(exist_ok=True)
        shutil.copy(key or self.good, file)
        return file

    def agent(self, *keys: Path, name: str = "agent") -> Path:
        agent = sshd.Agent(self.folder / name, *keys)
        self.ends.callback(agent.close)
        return agent.socket

    def use_agent(self, socket: Path) -> None:
        self.monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))

    def pin(self) -> None:
        known_hosts_file().parent.mkdir(parents=True, exist_ok=True)
        known_hosts_file().write_text(self.server.host_line("bed.left"))

    def login(self, bed: SshTestbed) -> HostLogin:
        return HostLogin(routes(bed)["left"], "bed.yaml")

    def by_ssh(self, *arguments: str) -> tuple[bool, list[str]]:
        """Return whether `ssh` logs in, and with which keys, those for jump hosts first."""
        since = self.server.log_size()
        command = ["ssh", "-o", "BatchMode=yes", *(arguments or ("there",)), "echo", "in"]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, start_new_session=True)
        return "in" in done.stdout, self.server.accepted(since)

    def by_us(self, bed: SshTestbed) -> tuple[bool, list[str]]:
        """Return whether this program logs in, and with which keys, those for jump hosts first."""
        since = self.server.log_size()
        try:
            channel = self.login(bed).run("echo in")
        except (TestbedError, UserError):
            return False, self.server.accepted(since)
        channel.settimeout(20)
        said = channel.recv(100)
        channel.close()
        return said == b"in\n", self.server.accepted(since)


def bed(**host: Any) -> SshTestbed:
    inventory = {"inventory": host.pop("inventory")} if "inventory" in host else {}
    roles = ("client", "gateway-a", "gateway-b", "server")
    hosts = ({"name": "left", "address": "there", "become": "none", "roles": roles, **host},)
    return SshTestbed.model_validate({"testbed": "bed", "provider": "ssh", "hosts": hosts, **inventory})
