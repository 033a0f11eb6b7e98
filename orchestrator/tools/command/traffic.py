# SPDX-License-Identifier: Apache-2.0
"""The spec's keys for traffic by the user's own programs."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from orchestrator.spec.fields import Interval, Strict, expected
from orchestrator.spec.own_tools import (
    NumberPattern,
    OwnQuantity,
    as_text,
    checked_argument,
    digests,
    placeholders_in,
)
from orchestrator.spec.traffic import AddressedTraffic
from orchestrator.spec.variants import is_outside

PLACEHOLDERS = ("address", "source", "addresses", "port", "tunnel", "tunnels", "duration", "warm_up", "files")
Argument = Annotated[str, BeforeValidator(as_text), AfterValidator(lambda text: checked_argument(text, PLACEHOLDERS))]


def _as_digests(value: Any) -> Any:
    """Return a list of files, whose contents are not known yet, in the form of the mapping with digests."""
    if isinstance(value, tuple | list) and all(isinstance(one, str) for one in value):
        outside = next((one for one in value if not one or is_outside(one)), None)
        if outside is not None:
            raise expected("paths below the folder of the spec", because=f'"{outside}" is none')
        return dict.fromkeys(value, "")
    return value


_FILES_SCHEMA = WithJsonSchema(
    {
        "type": "array",
        "items": {"type": "string"},
        "description": "Files below the spec's folder that are copied to each host; {files} is the folder there.",
    }
)


class Command(Strict):
    """A server and a client of your own. Each is a list of arguments; no shell is involved."""

    client: Annotated[tuple[Argument, ...], Field(min_length=1)] = Field(
        description="The program at the sending end, with its arguments. It must exit by itself and print the number."
    )
    server: tuple[Argument, ...] = Field(
        default=(),
        description="The program at the receiving end, with its arguments. It is started before the "
        "clients and stopped after them.",
    )
    read: NumberPattern = Field(description="How to find the number in a client's output.")
    quantity: OwnQuantity = Field(description="The quantity that the number measures.")
    each: Literal["tunnel", "all"] = Field(
        default="tunnel",
        description="tunnel: one client and one server for each tunnel; all: one of each for all tunnels.",
    )
    combine: Literal["sum", "mean", "median"] = Field(
        default="sum", description="How the numbers of the tunnels are combined."
    )
    port: int = Field(default=5201, ge=1024, le=65535, description="The port of each server, at its address: {port}.")
    ready: Literal["listens", "starts"] = Field(
        default="listens",
        description="When clients may start: once the servers listen on {port} (TCP or UDP), or once they run.",
    )
    deadline_s: Interval = Field(
        default=10.0,
        alias="deadline",
        gt=0,
        le=3600,
        description="How much longer than the planned time a client may take.",
    )
    files: Annotated[dict[str, str], BeforeValidator(_as_digests), _FILES_SCHEMA] = Field(default={})

    @property
    def warms_up_itself(self) -> bool:
        """True if the client is given the warm-up, and excludes it from its number."""
        return any("warm_up" in placeholders_in(argument) for argument in self.client)

    @model_validator(mode="after")
    def _has_what_it_names(self) -> "Command":
        named = {name for argument in (*self.client, *self.server) for name in placeholders_in(argument)}
        if "files" in named and not self.files:
            raise expected("files beside it, such as [rtt.py]", because="{files} is used, but no files are listed")
        if self.each == "all" and "tunnel" in named:
            raise expected("each: tunnel", because="{tunnel} is used, but one client serves all tunnels")
        return self


class CommandTraffic(AddressedTraffic):
    """Traffic by programs of the user's own."""

    fixed: ClassVar[tuple[str, ...]] = ("command",)

    tool: Literal["command"]
    command: Command | None = Field(default=None, description="Your own programs.")

    @property
    def quantity(self) -> OwnQuantity | None:
        """The quantity that the programs measure."""
        return self.command.quantity if self.command is not None else None

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        """Return a copy with the digests of the command's files, by path."""
        if self.command is None or not files:
            return self
        return self.model_copy(update={"command": self.command.model_copy(update={"files": digests(files)})})
