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

_Text = Annotated[str, Field(min_length=1, pattern=r"^[^-\s][^\s]*$")]  # neither an option for ssh nor several words
NicName = Annotated[
    str, Field(pattern=r"^[^\s/:]{1,15}$", description="A network interface of the host, such as eth1.")
]


KernelRelease = Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.+~_-]*$", examples=["6.12.48+deb13-amd64"])]


class SshHost(Host):
    """An existing host, reached by SSH and returned to its previous state after a run.

    Settings that are not given here come from the inventory, if there is one, then from your SSH configuration.
    ``inventory_host``: the host's name in the inventory, if it differs. ``nics``: the interface on each link whose
    other end is another host; ``cpus``: the order in which a gateway's CPUs are used, as many as a block has cores;
    ``other_cpus``: the state of its other CPUs meanwhile.
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
        default=None, description="How to become root; by default sudo, or none for the user root."
    )
    nics: dict[Link, NicName] = Field(default={}, description="The interface on each link to another host.")
    cpus: CpuOrder = "physical-first"
    other_cpus: Literal["off-line", "free"] = Field(
        default="off-line",
        description="The state of a gateway's CPUs that a block does not use. off-line: they are taken offline; free: "
        "they stay online, without any work of a trial, which only variants of this project's module allow.",
    )
    kernel: KernelRelease | None = Field(
        default=None,
        description="The kernel to run, as printed by `uname -r`. If another one runs, its package is installed and "
        "the host is restarted with it once. Its default boot entry does not change.",
    )
    power: tuple[Annotated[str, Field(min_length=1)], ...] | None = Field(
        default=None,
        min_length=1,
        description="A command on this computer, with its arguments, that restarts the host if it has not answered "
        "for long, such as [ipmitool, -H, bmc.example.org, chassis, power, cycle].",
    )
    tuning: Tuning = Field(default=Tuning(), description="Settings of the host while a run uses it.")
    modules: Literal["auto", "build"] = Field(
        default="auto",
        description="build: always build them on the host. auto: use those that this computer has built for the host's "
        "kernel, or else build them on the host.",
    )

    @model_validator(mode="after")
    def _one_use_of_a_nic(self) -> "SshHost":
        if len(set(self.nics.values())) != len(self.nics):
            raise expected("a different interface for each link")
        return self


class SshTestbed(Testbed):
    """Existing hosts, reached by SSH. ``inventory``: an Ansible inventory that says how to reach them."""

    provider: Literal["ssh"]
    inventory: Annotated[str, Field(min_length=1)] | None = Field(
        default=None, description="An Ansible inventory, relative to this file, that says how the hosts are reached."
    )
    restart: bool = Field(
        default=False,
        description="Whether the hosts may be restarted before each block of a spec with several boots, so that "
        "intervals include the variation between boots.",
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
        """Yield which hosts are also in other testbeds: a host can be used only once at a time."""
        for other in others:
            if isinstance(other, SshTestbed) and other.testbed != self.testbed:
                for address, _ in sorted(self._addresses & other._addresses):
                    same = f"{self.testbed} and {other.testbed} have the same host {address}."
                    yield f"{same} It can be in only one of them."

    @property
    def _addresses(self) -> set[tuple[str, int]]:
        return {(host.address or host.name, host.port or 22) for host in self.hosts}
