# SPDX-License-Identifier: Apache-2.0
"""The user's own programs in a spec: their arguments and files, and how to read the number that they print."""

import hashlib
import re
from collections.abc import Mapping as MappingType
from collections.abc import Sequence
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from pydantic import Field, model_validator

from orchestrator.spec.document import Items, Mapping, Scalar
from orchestrator.spec.fields import Name, Strict, expected
from orchestrator.spec.problems import Problem
from orchestrator.spec.variants import is_outside

MOST_BYTES = 2**20  # for all files of a spec's commands together
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


def checked_argument(text: str, placeholders: Sequence[str]) -> str:
    """Return an argument of a command. Raises a validation error if it has other names between braces, or a NUL."""
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
    """Return a number as text, and any other value unchanged."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class OwnQuantity(Strict):
    """A quantity that the user defines."""

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


class NumberPattern(Strict):
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
    def _is_one(self) -> "NumberPattern":
        if (self.json_path is None) == (self.regex is None):
            raise expected("either json or regex")
        if self.json_path is not None and not _JSON_PATH.fullmatch(self.json_path):
            raise expected("a path such as end.results[0].rate", because=f'"{self.json_path}" is not such a path')
        if self.regex is not None:
            try:
                groups = re.compile(self.regex).groups
            except re.error as error:
                raise expected("a regular expression", because=f"{error}") from error
            if groups != 1:
                raise expected("a regular expression with one group", because=f"it has {groups}")
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
            continue  # reported as a problem of its own
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
