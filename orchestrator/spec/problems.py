# SPDX-License-Identifier: Apache-2.0
"""Mistakes in a spec: where each one is, and how it is shown."""

import difflib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from orchestrator.errors import UserError

# What YAML 1.1 takes for the end of a line; a position counts lines by it.
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


@dataclass(frozen=True)
class Source:
    """A text that values come from: a file, or the argument of --set."""

    name: str
    text: str
    is_file: bool = True

    @cached_property
    def lines(self) -> list[str]:
        return _LINE_END.split(self.text)


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source. Lines and columns count from 0; the end is exclusive."""

    source: Source
    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def place(self) -> str:
        """file:line:column, counted from 1; for --set, the option alone (its text is shown below)."""
        if not self.source.is_file:
            return self.source.name
        return f"{self.source.name}:{self.line + 1}:{self.column + 1}"

    @property
    def start(self) -> tuple[str, int, int]:
        return self.source.name + "\0" + self.source.text * (not self.source.is_file), self.line, self.column

    @property
    def unseen(self) -> str:
        """A sentence on the first character of the line that cannot be seen, with its number and name; else empty."""
        lines = self.source.lines
        line = lines[self.line] if self.line < len(lines) else ""
        for column, character in enumerate(line, 1):
            if character not in "\t " and (not character.isprintable() or unicodedata.category(character) == "Zs"):
                name = unicodedata.name(character, "a control character")
                return f" Column {column} has a character that cannot be seen, U+{ord(character):04X} ({name})."
        return ""

    def shown(self) -> str:
        """The line with the stretch underlined. A stretch of several lines is underlined to the end of its first."""
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
    """One mistake: a sentence, and where it is (None: the whole file)."""

    message: str
    span: Span | None = None

    def __str__(self) -> str:
        if self.span is None:
            return self.message
        return f"{self.span.place}: {self.message}{self.span.unseen}\n{self.span.shown()}"


class SpecError(UserError):
    """A spec or testbed file with mistakes: all of them."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.name = name
        self.problems = tuple(in_order(problems))
        count = len(self.problems)
        head = f"{name} has {count} mistake{'s' * (count != 1)}:"
        super().__init__("\n".join([head, *map(str, self.problems)]))


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Without repetitions (the same sentence at the same place), by place."""
    kept = {(problem.span.start if problem.span else ("", -1, -1), problem.message): problem for problem in problems}
    return [kept[key] for key in sorted(kept)]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that a typo most likely stands for."""
    by_folded = {candidate.lower().replace("_", "-"): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence, beginning with a space: the nearest name, else all the known ones."""
    names = list(known)
    if near := nearest(name, names):
        return f" Did you mean {near}?"
    return f" Known: {', '.join(names)}." if names else ""
