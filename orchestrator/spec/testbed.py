# SPDX-License-Identifier: Apache-2.0
"""A testbed as its file describes it: a provider and its hosts. Each provider has its own kind of host."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from orchestrator.spec.fields import Memory, Name, SettingName, Strict, expected

Role = Literal["client", "gateway-a", "gateway-b", "server"]
ROLES: tuple[Role, ...] = ("client", "gateway-a", "gateway-b", "server")


class UmlHost(Strict):
    """A lab machine. ``memory`` is in bytes.

    ``settings``: host settings, by sysctl or file of /sys, that hold while a run uses it and are put back after it.
    """

    name: Name
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    memory: Memory = 2**30
    settings: dict[SettingName, Annotated[str, Field(min_length=1)]] = Field(default={})

    @field_validator("settings")
    @classmethod
    def _no_way_up(cls, settings: dict[str, str]) -> dict[str, str]:
        if any(part in ("..", ".") for name in settings for part in name.split("/")):
            raise expected("settings without .. in their names")
        return settings


class UmlTestbed(Strict):
    """The embedded lab: machines on this computer."""

    testbed: Name
    description: str = ""
    provider: Literal["uml"]
    hosts: Annotated[tuple[UmlHost, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _each_role_once(self) -> "UmlTestbed":
        placed = [role for host in self.hosts for role in host.roles]
        wrong = [f"{role} is on {placed.count(role)} places" for role in ROLES if placed.count(role) != 1]
        if wrong:
            raise expected(f"each of the roles {', '.join(ROLES)} on exactly one host", because="; ".join(wrong))
        names = [host.name for host in self.hosts]
        if len(set(names)) != len(names):
            raise expected("a name of its own for every host", because="two hosts have the same name")
        return self


Testbed = UmlTestbed
# A file's `provider` decides which of these describes it.
PROVIDERS: dict[str, type[Testbed]] = {"uml": UmlTestbed}
