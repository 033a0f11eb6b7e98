# SPDX-License-Identifier: Apache-2.0
"""The testbed file of the provider ``ssh``."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from orchestrator.spec.fields import CpuOrder, Duration, HostName, expected
from orchestrator.spec.testbed import GATEWAYS, LINKS, ROLES, Host, Link, Testbed
from orchestrator.spec.tuning import Tuning

_Text = Annotated[str, Field(min_length=1, pattern=r"^[^-\s][^\s]*$")]  # no option for ssh, no second word
NicName = Annotated[
    str, Field(pattern=r"^[^\s/:]{1,15}$", description="A network interface of the host, such as eth1.")
]


KernelRelease = Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.+~_-]*$", examples=["6.12.48+deb13-amd64"])]


class SshHost(Host):
    """A host that is there: reached by SSH, and given back as it was.

    What is not said here comes from the inventory, if there is one, then from your SSH configuration.
    ``inventory_host``: its name there, where it has another here. ``nics``: the interface on each link whose other end
    is another host; ``cpus``: in which order the host's CPUs are taken for gateways, as many as a block has cores;
    ``other_cpus``: what becomes of the others meanwhile.
    """

    name: HostName
    inventory_host: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="Its name in the inventory; by default the host's name."
    )
    address: _Text | None = Field(default=None, description="Name or IP address; by default the host's name.")
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    user: _Text | None = None
    key: Annotated[str, Field(min_length=1)] | None = Field(default=None, description="A private key file.")
    jump: _Text | None = Field(default=None, description="A host to go through: [USER@]HOST[:PORT].")
    become: Literal["sudo", "none"] | None = Field(
        default=None, description="How to be root there; by default sudo, and none for the user root."
    )
    nics: dict[Link, NicName] = Field(default={}, description="The interface on each link to another host.")
    cpus: CpuOrder = "physical-first"
    other_cpus: Literal["off-line", "free"] = Field(
        default="off-line",
        description="Of a gateway, the CPUs that a block does not use: taken off line, or on line and free of all that "
        "belongs to a trial, which only variants of this project's module allow.",
    )
    kernel: KernelRelease | None = Field(
        default=None,
        description="The kernel that it is to run, as `uname -r` says it: its package is installed, and the host "
        "restarted with it, where it runs another. What it boots by default stays.",
    )
    power: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None,
        min_length=1,
        description="A command on this computer, with its arguments, that restarts the host where it has not answered "
        "for long, such as [ipmitool, -H, bmc.example.org, chassis, power, cycle].",
    )
    tuning: Tuning = Field(default=Tuning(), description="What is set while a run uses the host.")
    modules: Literal["auto", "build"] = Field(
        default="auto",
        description="build: always built on the host. auto: those that this computer has built for the host's kernel, "
        "else built there.",
    )

    @model_validator(mode="after")
    def _one_use_of_a_nic(self) -> "SshHost":
        if len(set(self.nics.values())) != len(self.nics):
            raise expected("another interface for each link")
        return self


class SshTestbed(Testbed):
    """Hosts that are there, reached by SSH. ``inventory``: an Ansible inventory that says how to reach them."""

    provider: Literal["ssh"]
    inventory: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="An Ansible inventory, relative to this file, that says how the hosts are reached."
    )
    restart: bool = Field(
        default=False,
        description="Whether the hosts may be restarted before each block of a spec with several boots, so that its "
        "intervals count what differs from one boot to the next.",
    )
    restart_within_s: Duration = Field(
        default=300.0, alias="restart_within", description="How long a host may take to be back after a restart."
    )
    hosts: Annotated[tuple[SshHost, ...], Field(min_length=1, max_length=len(ROLES))]

    @model_validator(mode="after")
    def _placed(self) -> "SshTestbed":
        placed = {role for host in self.hosts for role in host.roles}
        ends = {"client", "server"}
        self.check_roles(ROLES if placed & ends else GATEWAYS)
        for host in self.hosts:
            for link, roles in LINKS.items():
                here, both = set(roles) & set(host.roles), set(roles) <= placed
                crosses = both and len(here) == 1
                if crosses and link not in host.nics:
                    raise expected(
                        f"nics: {{{link}: INTERFACE}} for the host {host.name}",
                        because=f"{host.name} has {here.pop()}, and the other end of the link {link} is another host",
                    )
                if link in host.nics and not crosses:
                    raise expected(
                        f"no interface for the link {link} on the host {host.name}",
                        because=f"the link {link} does not go from {host.name} to another host",
                    )
        return self

    def relative_to(self, folder: Path) -> Self:
        if self.inventory is None:
            return self
        return self.model_copy(update={"inventory": str(folder / os.path.expanduser(self.inventory))})

    def clashes(self, others: Sequence[Testbed]) -> Iterator[str]:
        """A host can be used once at a time."""
        for other in others:
            if isinstance(other, SshTestbed) and other.testbed != self.testbed:
                for address, _ in sorted(self._addresses & other._addresses):
                    yield f"{self.testbed} and {other.testbed} have the same host {address}. It can be in one of them."

    @property
    def _addresses(self) -> set[tuple[str, int]]:
        return {(host.address or host.name, host.port or 22) for host in self.hosts}
