# SPDX-License-Identifier: Apache-2.0
"""Errors in a spec: their locations, and how they are shown."""

import difflib
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.errors import UserError

# The line ends of YAML 1.1, by which positions count lines.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
_ESCAPE = re.compile(r"\\U([0-9a-fA-F]{8})")


@dataclass(frozen=True)
class SourceText:
    """A text from which values are read: a file, or the argument of --set."""

    name: str
    text: str
    is_file: bool = True

    @cached_property
    def lines(self) -> list[str]:
        return _LINE_END.split(self.text)

    @cached_property
    def _ends(self) -> list[str]:
        """The end of each line; the last line has none."""
        return _LINE_END.findall(self.text)

    def with_end(self, number: int) -> str:
        """Return a line, counted from 0, with its end if that is an invisible character other than CR and LF; empty if
        there is no such line."""
        if number >= len(self.lines):
            return ""
        end = self._ends[number] if number < len(self._ends) else ""
        return self.lines[number] + end.strip("\r\n")

    def first_unseen(self, number: int) -> int | None:
        """Return the column, from 0, of the first invisible character of a line; None if there is none. A byte order
        mark at the beginning of the file does not count."""
        for column, character in enumerate(self.with_end(number)):
            if (number, column, character) == (0, 0, "\ufeff"):
                continue
            if character not in "\t " and (not character.isprintable() or unicodedata.category(character) == "Zs"):
                return column
        return None

    def at(self, index: int) -> "Span":
        """Return the location of one character of the text, given its index."""
        before = _LINE_END.split(self.text[:index])
        line, column = len(before) - 1, len(before[-1])
        return Span(self, line, column, line, column + 1)


@dataclass(frozen=True, slots=True)
class Span:
    """A range in a source. Lines and columns count from 0; the end is exclusive."""

    source: SourceText
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def place(self) -> str:
        """The location as file:line:column, counted from 1; for --set, only the option (its text is shown below)."""
        if not self.source.is_file:
            return self.source.name
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    @property
    def start(self) -> tuple[str, int, int]:
        return self.source.name + "\0" + self.source.text * (not self.source.is_file), self.line, self.column

    @property
    def unseen(self) -> str:
        """A sentence on the first invisible character of the line, with its code point and name; else empty."""
        column = self.source.first_unseen(self.line)
        if column is None:
            return ""
        character = self.source.with_end(self.line)[column]
        name = unicodedata.name(character, "a control character")
        return f" Column {column + 1} has an invisible character, U+{ord(character):04X} ({name})."

    def shown(self) -> str:
        """Return the line with the range underlined. A range of several lines is underlined to the end of its first
        line.
        """
        lines = self.source.lines
        line = lines[self.line] if self.line < len(lines) else ""
        end = self.end_column if self.end_line == self.line else len(line.rstrip())
        width = max(1, end - self.column)
        visible = "".join(character if character.isprintable() else " " for character in line)
        start = max(0, self.column - 75)
        visible = visible[start : start + 100].rstrip()
        margin = f"{self.line + 1:5} | " if self.source.is_file else "      | "
        underline = " " * (self.column - start) + "^" * min(width, max(1, 100 - self.column + start))
        return f"{margin}{visible}\n      | {underline}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One error: a message, and its location (None: the whole file)."""

    message: str
    span: Span | None = None

    def __str__(self) -> str:
        if self.span is None:
            return self.message
        return f"{self.span.place}: {self.message}{self.span.unseen}\n{self.span.shown()}"


class SpecError(UserError):
    """All errors of a spec or testbed file."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.name = name
        self.problems = tuple(in_order(problems))
        count = len(self.problems)
        head = f"{name} has {count} error{'s' * (count != 1)}:"
        super().__init__("\n".join([head, *map(str, self.problems)]))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Return problems sorted by location, without duplicates."""
    kept = {(problem.span.start if problem.span else ("", -1, -1), problem.message): problem for problem in problems}
    return [kept[key] for key in sorted(kept)]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most similar to a misspelt one, or None."""
    by_folded = {candidate.lower().replace("_", "-"): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint that begins with a space: the most similar name, or else all known names."""
    names = list(known)
    if near := nearest(name, names):
        return f" Did you mean {near}?"
    return f" Known: {', '.join(names)}." if names else ""


def unusable_number(source: SourceText) -> Problem:
    """Return the problem with a number that PyYAML cannot convert: a code point, or a very long %YAML version."""
    for found in _ESCAPE.finditer(source.text):
        if int(found[1], 16) > sys.maxunicode:
            message = f"This is not YAML: {found[0]} is not a character. The last one is \\U0010FFFF. Correct it."
            return Problem(message, source.at(found.start()))
    return Problem("This is not YAML: it has a number that is too long. Correct the line that begins with %YAML.")
