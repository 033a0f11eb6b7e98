# SPDX-License-Identifier: Apache-2.0
"""A testbed as its file describes it: a provider and its hosts. Each provider has its own kind of host."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, PrivateAttr, field_validator

from orchestrator.extensions import Extension
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
    """What every kind of host has. ``settings``: host settings, by sysctl or file of /sys, that hold while a run uses
    it and are put back after it."""

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
    """What every testbed file has."""

    testbed: TestbedName
    description: str = ""
    provider: str

    _file: str = PrivateAttr(default="")

    def with_file(self, file: str) -> Self:
        """The same, remembering what a user named: a name in experiments/testbeds, or a file."""
        copy = self.model_copy()
        copy._file = file
        return copy

    @property
    def file(self) -> str:
        """What a user named to mean this testbed; its own name where it was not read from a file."""
        return self._file or self.testbed


class Testbed(TestbedFile):
    """A testbed as its file describes it; each provider's schema is a subclass that says what else its file has.

    ``provider``: the provider's name; in the file, its name or the path of its folder.
    """

    if TYPE_CHECKING:
        # Declared by each schema, after what its validator of them needs; of a Host, or a subclass of it.
        hosts: tuple[Host, ...]

    _own_code: tuple[OwnCode, ...] = PrivateAttr(default=())
    _extension: Extension | None = PrivateAttr(default=None)

    def with_code(self, code: tuple[OwnCode, ...]) -> Self:
        """The same, with code of an experiment's own variants, builds of which its hosts are to have."""
        copy = self.model_copy()
        copy._own_code = code
        return copy

    @property
    def own_code(self) -> tuple[OwnCode, ...]:
        """Code of an experiment's own variants."""
        return self._own_code

    def of_provider(self, extension: Extension) -> Self:
        """The same, remembering where its provider comes from."""
        copy = self.model_copy(update={"provider": extension.name})
        copy._extension = extension
        return copy

    @property
    def extension(self) -> Extension | None:
        """Where its provider comes from; None where it was not read from a file."""
        return self._extension

    # --- what a provider's schema may say otherwise ---

    @property
    def timed_by(self) -> Clock:
        """The clock by which its trials are timed."""
        return REAL_CLOCK

    @property
    def wanted_slots(self) -> int | None:
        """In virtual time, how many virtual CPUs its file wants to run at a time; None for as many as can."""
        return None

    def relative_to(self, folder: Path) -> Self:
        """The same, with the files that it names made absolute: they are relative to the folder of its own."""
        return self

    def clashes(self, others: Sequence["Testbed"]) -> Iterator[str]:
        """Sentences on why it cannot be in a pool together with others, beside what holds for every testbed."""
        yield from ()

    def check_roles(self, needed: Sequence[str] = ROLES) -> None:
        """Refuse hosts that do not have each of the roles exactly once, or have the same name: for a validator of a
        provider's schema."""
        placed = [role for host in self.hosts for role in host.roles]
        wrong = [
            f"{role} is on {placed.count(role)} places"
            for role in ROLES
            if placed.count(role) > 1 or (role in needed and role not in placed)
        ]
        if wrong:
            raise expected(f"each of the roles {', '.join(needed)} on exactly one host", because="; ".join(wrong))
        names = {host.name.lower() for host in self.hosts}  # a host key's name, and the DNS, have no capitals
        if len(names) != len(self.hosts):
            raise expected("a name of its own for every host", because="two hosts have the same name")


class Pool(TestbedFile):
    """Several testbeds that share a run: each carries whole blocks, at the same time as the others.

    ``testbeds``: as a spec names one: a name in experiments/testbeds, or a file, relative to this one.
    """

    provider: Literal["pool"]
    testbeds: Annotated[
        tuple[Annotated[str, Field(min_length=1)], ...],
        Field(min_length=1, description="Names in experiments/testbeds, or files relative to this one."),
    ]

    _members: tuple[Testbed, ...] = PrivateAttr(default=())

    def with_members(self, members: Sequence[Testbed]) -> "Pool":
        """The same, with the testbeds that its names mean."""
        copy = self.model_copy()
        copy._members = tuple(members)
        return copy

    @property
    def members(self) -> tuple[Testbed, ...]:
        """The testbeds that its names mean, in their order."""
        return self._members


def members_of(testbed: Testbed | Pool) -> tuple[Testbed, ...]:
    """The testbeds of a pool; of another testbed, itself alone."""
    return testbed.members if isinstance(testbed, Pool) else (testbed,)


def clock_of(testbed: Testbed | Pool) -> Clock:
    """The clock by which a testbed's trials are timed; of a pool, that of its testbeds, which have the same."""
    return members_of(testbed)[0].timed_by


def crossing_links(hosts: Sequence[Host], host: Host) -> list[Link]:
    """The links of a host whose other end is another host, in the order of LINKS."""
    placed = {role for other in hosts for role in other.roles}
    return [link for link, roles in LINKS.items() if set(roles) <= placed and len(set(roles) & set(host.roles)) == 1]
