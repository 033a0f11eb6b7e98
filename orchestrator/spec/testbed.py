# SPDX-License-Identifier: Apache-2.0
"""A testbed, as described by its file: a provider and its hosts. Each provider has its own kind of host."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PrivateAttr, field_validator

from orchestrator.extensions import Extension
from orchestrator.programs import Needs
from orchestrator.spec.fields import Name, SettingName, Strict, TestbedName, expected
from orchestrator.spec.variants import OwnCode

Role = Literal["client", "gateway-a", "gateway-b", "server"]
ROLES: tuple[Role, ...] = ("client", "gateway-a", "gateway-b", "server")
Link = Literal["lan-a", "wan", "lan-b"]
# The links of a topology and the roles at their ends, from the sender's side.
LINKS: dict[Link, tuple[Role, Role]] = {
    "lan-a": ("client", "gateway-a"),
    "wan": ("gateway-a", "gateway-b"),
    "lan-b": ("gateway-b", "server"),
}
GATEWAYS: tuple[str, str] = LINKS["wan"]

Clock = Literal["real", "virtual"]
REAL_CLOCK: Clock = "real"
VIRTUAL_CLOCK: Clock = "virtual"


class Host(Strict):
    """The keys that every kind of host has. ``settings``: host settings, by sysctl or file in /sys, that apply while a
    run uses the host and are restored afterwards."""

    name: Name
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    settings: dict[SettingName, Annotated[str, Field(min_length=1)]] = Field(default={})

    @field_validator("settings")
    @classmethod
    def _no_way_up(cls, settings: dict[str, str]) -> dict[str, str]:
        if any(part in ("..", ".") for name in settings for part in name.split("/")):
            raise expected("settings without .. in their names")
        return settings


class TestbedFile(Strict):
    """The keys that every testbed file has."""

    testbed: TestbedName
    description: str = ""
    provider: str

    _file: str = PrivateAttr(default="")

    def with_file(self, file: str) -> Self:
        """Return the testbed with a record of what the user named: a name in experiments/testbeds, or a file."""
        copy = self.model_copy()
        copy._file = file
        return copy

    @property
    def file(self) -> str:
        """The name or file with which the user selected this testbed; its own name if it was not read from a file."""
        return self._file or self.testbed


class Testbed(TestbedFile):
    """A testbed, as described by its file. Each provider's schema is a subclass with further keys.

    ``provider``: the provider's name; in the file, its name or the path of its folder.
    """

    if TYPE_CHECKING:
        # Each schema declares it, after the fields that its validator needs, with Host or a subclass of it.
        hosts: tuple[Host, ...]

    _own_code: tuple[OwnCode, ...] = PrivateAttr(default=())
    _needs: tuple[Needs, ...] = PrivateAttr(default=())
    _extension: Extension | None = PrivateAttr(default=None)

    def with_code(self, code: tuple[OwnCode, ...]) -> Self:
        """Return the testbed with the code of an experiment's own variants, to be built for its hosts."""
        copy = self.model_copy()
        copy._own_code = code
        return copy

    @property
    def own_code(self) -> tuple[OwnCode, ...]:
        """The code of an experiment's own variants."""
        return self._own_code

    def with_needs(self, needs: tuple[Needs, ...]) -> Self:
        """Return the testbed with what the systems and the tool of an experiment need on its hosts."""
        copy = self.model_copy()
        copy._needs = needs
        return copy

    @property
    def needs(self) -> tuple[Needs, ...]:
        """What the systems and the tool of an experiment need on the hosts; empty if that is not known yet."""
        return self._needs

    def of_provider(self, extension: Extension) -> Self:
        """Return the testbed with a record of its provider's origin."""
        copy = self.model_copy(update={"provider": extension.name})
        copy._extension = extension
        return copy

    @property
    def extension(self) -> Extension | None:
        """The origin of its provider; None if the testbed was not read from a file."""
        return self._extension

    # --- what a provider's schema may override ---

    @property
    def timed_by(self) -> Clock:
        """The clock that times its trials."""
        return REAL_CLOCK

    @property
    def wanted_slots(self) -> int | None:
        """In virtual time, the number of virtual CPUs that its file wants to run at a time; None for as many as
        possible.
        """
        return None

    def relative_to(self, folder: Path) -> Self:
        """Return the testbed with absolute paths for the files that it names, which are relative to ``folder``."""
        return self

    def clashes(self, others: Sequence["Testbed"]) -> Iterator[str]:
        """Yield reasons why it cannot share a pool with others, beyond the rules for every testbed."""
        yield from ()

    def check_roles(self, needed: Sequence[str] = ROLES) -> None:
        """Raise an error unless each role is on exactly one host and host names are unique. For validators of provider
        schemas."""
        placed = [role for host in self.hosts for role in host.roles]
        wrong = [
            f"{role} is on {placed.count(role)} hosts"
            for role in ROLES
            if placed.count(role) > 1 or (role in needed and role not in placed)
        ]
        if wrong:
            raise expected(f"each of the roles {', '.join(needed)} on exactly one host", because="; ".join(wrong))
        names = {host.name.lower() for host in self.hosts}  # aliases of host keys, and the DNS, ignore case
        if len(names) != len(self.hosts):
            raise expected("a unique name for every host", because="two hosts have the same name")


class Pool(TestbedFile):
    """Several testbeds that share a run: each carries whole blocks, in parallel with the others.

    ``testbeds``: names in experiments/testbeds, or files relative to this one.
    """

    provider: Literal["pool"]
    testbeds: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(min_length=1, description="Names in experiments/testbeds, or files relative to this one."),
    ]

    _members: tuple[Testbed, ...] = PrivateAttr(default=())

    def with_members(self, members: Sequence[Testbed]) -> "Pool":
        """Return the pool with the testbeds that it names."""
        copy = self.model_copy()
        copy._members = tuple(members)
        return copy

    @property
    def members(self) -> tuple[Testbed, ...]:
        """The testbeds that it names, in order."""
        return self._members


def members_of(testbed: Testbed | Pool) -> tuple[Testbed, ...]:
    """Return the testbeds of a pool, or the testbed itself if it is not a pool."""
    return testbed.members if isinstance(testbed, Pool) else (testbed,)


def clock_of(testbed: Testbed | Pool) -> Clock:
    """Return the clock that times a testbed's trials; for a pool, the common clock of its testbeds."""
    return members_of(testbed)[0].timed_by


def crossing_links(hosts: Sequence[Host], host: Host) -> list[Link]:
    """Return the links of a host whose other end is on another host, in the order of LINKS."""
    placed = {role for other in hosts for role in other.roles}
    return [link for link, roles in LINKS.items() if set(roles) <= placed and len(set(roles) & set(host.roles)) == 1]
