# SPDX-License-Identifier: Apache-2.0
"""The tool ``command`` in a spec: the user's own programs, and how to read the number that they print."""

import hashlib
import re
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from orchestrator.spec.document import Items, Mapping, Scalar
from orchestrator.spec.fields import Interval, Name, Strict, expected
from orchestrator.spec.problems import Problem
from orchestrator.spec.variants import is_outside

PLACEHOLDERS = ("address", "source", "addresses", "port", "tunnel", "tunnels", "duration", "warm_up", "files")
MOST_BYTES = 2**20  # of all files that a spec's commands bring
_STEP = r"(?:[^.\[\]]+|\[-?\d+\])"
_JSON_PATH = re.compile(rf"{_STEP}(?:\.[^.\[\]]+|\[-?\d+\])*")


def placeholders_in(argument: str) -> set[str]:
    """Return the names between braces in an argument; ``{{`` is a literal brace. Raises ValueError if it is
    malformed.
    """
    found = set()
    for _, name, form, conversion in Formatter().parse(argument):
        if name is not None:
            if form or conversion:
                raise ValueError(f"{{{name}}} has no format")
            found.add(name)
    return found


def checked_argument(text: str, placeholders: Sequence[str] = PLACEHOLDERS) -> str:
    """Return an argument of a command. Raises an error of validation where it has other names between braces."""
    known = ", ".join(f"{{{name}}}" for name in placeholders)
    try:
        unknown = placeholders_in(text) - set(placeholders)
    except ValueError as error:
        raise expected(f"text with {known} in it, and {{{{ for a brace", because=str(error)) from error
    if unknown:
        because = f"there is no {{{sorted(unknown)[0]}}}"
        raise expected(f"text with {known} in it, and {{{{ for a brace", because=because)
    if "\0" in text:
        raise expected("text without NUL characters", because="it has a NUL")
    return text


def as_text(value: Any) -> Any:
    """Return a number as text, and all else as it is."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


Argument = Annotated[str, BeforeValidator(as_text), AfterValidator(lambda text: checked_argument(text))]


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


class OwnQuantity(Strict):
    """The quantity that a command measures."""

    name: Name = Field(description="The name in tables, such as transactions.")
    unit: str = Field(min_length=1, max_length=40, description="The unit, such as transactions/s or ms.")
    label: str | None = Field(
        default=None, min_length=1, max_length=80, description="The label in figures. Default: the name."
    )
    better: Literal["higher", "lower"] = Field(description="Whether higher or lower values are better.")

    @property
    def title(self) -> str:
        """The title in figures and tables: the label, or else the name with spaces."""
        return self.label or self.name.replace("-", " ").capitalize()


class Reading(Strict):
    """How to find the number in a client's output; the last match counts."""

    json_path: str | None = Field(
        default=None, alias="json", description="The path in a JSON document, such as end.results[0].rate."
    )
    regex: str | None = Field(
        default=None,
        description="A Python regular expression with one group, which is the number; the last match counts.",
    )
    factor: float = Field(default=1.0, description="The factor that converts the number to the quantity's unit.")

    @model_validator(mode="after")
    def _is_one(self) -> "Reading":
        if (self.json_path is None) == (self.regex is None):
            raise expected("either json or regex")
        if self.json_path is not None and not _JSON_PATH.fullmatch(self.json_path):
            raise expected("a path such as end.results[0].rate", because=f'"{self.json_path}" is none')
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groups
            except re.error as error:
                raise expected("a regular expression", because=f"{error}") from error
            if groups != 1:
                raise expected("a regular expression with one group", because=f"it has {groups}")
        return self


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
    read: Reading = Field(description="How to find the number in a client's output.")
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
        """Whether the client is given the warm-up, and excludes it from its number."""
        return any("warm_up" in placeholders_in(argument) for argument in self.client)

    @model_validator(mode="after")
    def _has_what_it_names(self) -> "Command":
        named = {name for argument in (*self.client, *self.server) for name in placeholders_in(argument)}
        if "files" in named and not self.files:
            raise expected("files beside it, such as [rtt.py]", because="{files} is used, but no files are listed")
        if self.each == "all" and "tunnel" in named:
            raise expected("each: tunnel", because="{tunnel} is used, but one client serves all tunnels")
        return self


def files_of_spec(tree: Mapping, folder: Path) -> tuple[dict[str, bytes], list[Problem]]:
    """Return the contents of a spec's command files, by path relative to ``folder``, and all errors."""
    node: Any = tree
    for key in ("traffic", "command", "files"):
        node = node.entries.get(key) if isinstance(node, Mapping) else None
    found: dict[str, bytes] = {}
    problems = []
    for one in node.items if isinstance(node, Items) else ():
        name = one.value if isinstance(one, Scalar) else None
        if not isinstance(name, str) or not name or is_outside(name):
            continue  # which is a problem of its own
        try:
            found[name] = (folder / name).read_bytes()
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            problems.append(Problem(f"Cannot read {folder / name}: {why}. Put the file there.", one.span))
            continue
        if sum(map(len, found.values())) > MOST_BYTES:
            problems.append(
                Problem(f"With {name}, the files exceed 1 MiB in total. Use fewer or smaller files.", one.span)
            )
            break
    return found, problems


def digests(files: MappingType[str, bytes]) -> dict[str, str]:
    """Return the SHA-256 of each file."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
