# SPDX-License-Identifier: Apache-2.0
"""YAML, read as a tree with source locations and without the pitfalls of YAML 1.1.

PyYAML reads ``on`` as true, ``1:30`` as 90 and ``010`` as 8, and lets the last of two equal keys win. Here each of
these is an error, and so are tags, anchors and empty values; ``null`` is a value only where a reader allows it.
"""

import codecs
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator.errors import UserError
from orchestrator.spec.problems import Problem, SourceText, Span, SpecError, unusable_number
from orchestrator.spec.yaml_types import LONGEST_SHOWN, plain_form, what_yaml_reads

_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})", re.ASCII)
_DECIMAL = re.compile(r"[-+]?[0-9]{1,18}\.[0-9]{1,18}", re.ASCII)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # what two escapes of JSON give
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_LARGEST_BYTES = 4 * 2**20


@dataclass(slots=True)
class Scalar:
    """A scalar value: str, int, float or bool. None is an allowed null, or an invalid value that has been reported."""

    value: Any
    span: Span


@dataclass(slots=True)
class Items:
    """A list of nodes."""

    items: list["Node"]
    span: Span


@dataclass(slots=True)
class Mapping:
    """A mapping of keys to nodes. ``keys``: the location of each key."""

    entries: dict[str, "Node"]
    keys: dict[str, Span]
    span: Span


Node = Scalar | Items | Mapping


def plain(node: Node) -> Any:
    """Return the plain values of a tree: dicts, tuples and scalars."""
    match node:
        case Mapping():
            return {key: plain(value) for key, value in node.entries.items()}
        case Items():
            return tuple(plain(item) for item in node.items)
        case Scalar():
            return node.value


def place_of(node: Node, location: Sequence[str | int], of_key: bool = False) -> Span:
    """Return the source span of a location, or of its deepest existing part. ``of_key``: of the last key, not its
    value.
    """
    span = node.span
    for step in location:
        match node:
            case Mapping() if step in node.entries:
                span = node.keys[str(step)] if of_key else node.entries[str(step)].span
                node = node.entries[str(step)]
            case Items() if isinstance(step, int) and step < len(node.items):
                node = node.items[step]
                span = node.span
            case _:
                break
    return span


def with_value(tree: Mapping, path: str, value: Node, key: Span) -> Mapping:
    """Return a tree with a value at a path, such as search.width. ``key``: the location of keys that are added."""
    first, _, rest = path.partition(".")
    if rest:
        part = tree.entries.get(first)
        value = with_value(part if isinstance(part, Mapping) else Mapping({}, {}, key), rest, value, key)
    return Mapping({**tree.entries, first: value}, {first: key, **tree.keys}, tree.span)


def key_at(tree: Node | None, path: str) -> Span | None:
    """Return the location of the key at a path, such as search.width; None if there is none."""
    first, _, rest = path.partition(".")
    if not isinstance(tree, Mapping) or first not in tree.entries:
        return None
    return key_at(tree.entries[first], rest) if rest else tree.keys[first]


def read_source(path: Path) -> SourceText:
    """Return a file's text. Raises UserError if it is missing, not a regular file, too large, binary or unreadable."""
    try:
        if path.is_dir():
            raise UserError(f"{path} is a folder. Name a YAML file.")
        if path.exists() and not path.is_file():
            raise UserError(f"{path} is not a regular file. Name a YAML file.")
        if path.stat().st_size > _LARGEST_BYTES:
            raise UserError(f"{path} is larger than {_LARGEST_BYTES >> 20} MiB, too large for a spec. Check the name.")
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}. Check the name and the permissions.") from error
    except ValueError as error:
        raise UserError(f"{str(path)!r} is not a valid file name: {error}.") from error
    try:
        return SourceText(str(path), content.decode())
    except UnicodeDecodeError as error:
        found = "UTF-16 text" if content.startswith(_UTF_16) else f"not UTF-8 text (byte {error.start + 1})"
        raise UserError(f"{path} is {found}. A spec is a YAML file in UTF-8: convert it, or check the name.") from error


def parse(
    source: SourceText, may_be_null: Callable[[Sequence[str]], bool] = lambda place: False, place: Sequence[str] = ()
) -> tuple[Node, list[Problem]]:
    """Return the tree of one document, and the errors found while reading it.

    ``may_be_null``: given a place, returns whether ``null`` is a value there; a place is the sequence of keys that lead
    to it, with * for each list entry. ``place``: the keys that lead to the document, if it is a part of one. Raises
    SpecError for errors that end parsing: invalid syntax, an empty file, a second document.
    """
    try:
        root = yaml.compose(source.text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        what = " ".join(filter(None, (error.context, error.problem)))
        remedy = "Use spaces instead of the tab." if r"'\t'" in what else "Correct the syntax here."
        message = f"This is not YAML: {what}. {remedy}"
        raise SpecError(source.name, [Problem(message, _where(source, error))]) from error
    except yaml.reader.ReaderError as error:
        message = "This is not YAML: it has a character that is not allowed in text. Remove it."
        raise SpecError(source.name, [Problem(message, source.at(error.position))]) from error
    except (ValueError, OverflowError) as error:  # PyYAML converts some numbers before anything has a location
        raise SpecError(source.name, [unusable_number(source)]) from error
    except RecursionError as error:
        raise SpecError(source.name, [Problem("The file is nested too deeply.")]) from error
    if root is None:
        raise SpecError(source.name, [Problem("The file is empty. `orch schema` shows what belongs in it.")])
    reader = _Reader(source, may_be_null)
    return reader.convert(root, place), reader.problems


def _joined(text: str) -> str:
    """Return a text in which each pair of surrogates is the character that it stands for."""
    return _SURROGATE_PAIR.sub(lambda pair: pair[0].encode("utf-16", "surrogatepass").decode("utf-16"), text)


def _where(source: SourceText, error: yaml.MarkedYAMLError) -> Span | None:
    """Return the location of a syntax error: an invisible character before the place that PyYAML names, from the line
    before the incomplete construct on, if there is one; else that place."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return None
    begin = min(mark.line, (error.context_mark or mark).line)
    for line in range(max(begin - 1, 0), mark.line + 1):
        column = source.first_unseen(line)
        if column is not None and (line < mark.line or column <= mark.column):
            return Span(source, line, column, line, column + 1)
    return Span(source, mark.line, mark.column, mark.line, mark.column + 1)


class _Reader:
    def __init__(self, source: SourceText, may_be_null: Callable[[Sequence[str]], bool]) -> None:
        self._source = source
        self._may_be_null = may_be_null
        self._seen: set[int] = set()
        self.problems: list[Problem] = []

    def _span(self, node: Any) -> Span:
        start, end = node.start_mark, node.end_mark
        return Span(self._source, start.line, start.column, end.line, end.column)

    def _report(self, span: Span, message: str) -> None:
        self.problems.append(Problem(message, span))

    def _written(self, node: Any) -> str:
        """Return the first character of a node in the source, which is ! for a tag and & for an anchor."""
        place = node.start_mark.index
        return self._source.text[place : place + 1]

    def _has_properties(self, node: Any, span: Span) -> bool:
        """Report a tag or an anchor of a node. Return whether it has one."""
        written = self._written(node)
        if written == "!":
            tag = node.tag if node.tag.startswith("!") else node.tag.replace(_TAG, "!!")
            self._report(_first_word(span), f"Tags such as {tag} are not supported. Write only the value.")
        elif written == "&":
            message = "Anchors and aliases are not supported. Repeat the value."
            self._report(_first_word(span), message)
        return written in ("!", "&")

    def convert(self, node: Any, place: Sequence[str] = ()) -> Node:
        span = self._span(node)
        if id(node) in self._seen:
            self._report(span, "Anchors and aliases are not supported. Repeat the value.")
            return Scalar(None, span)
        self._seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            first = node.value[0][0].start_mark.index if node.value else None
            if first != node.start_mark.index:  # otherwise a tag or anchor there belongs to its first key
                self._has_properties(node, span)
            return self._mapping(node, span, place)
        if self._has_properties(node, span) and isinstance(node, yaml.ScalarNode):
            return Scalar(None, span)
        if isinstance(node, yaml.SequenceNode):
            return Items([self.convert(item, (*place, "*")) for item in node.value], span)
        if node.tag == f"{_TAG}null" and node.value == "null" and self._may_be_null(place):
            return Scalar(None, span)
        if node.tag == f"{_TAG}bool" and node.value in ("on", "off") and _is_switch(place):
            return Scalar(node.value == "on", span)
        return Scalar(self._value(node, span), span)

    def _mapping(self, node: Any, span: Span, place: Sequence[str]) -> Mapping:
        found = Mapping({}, {}, span)
        for key_node, value_node in node.value:
            key_span = self._span(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._report(key_span, "A key must be a string, not a list or a mapping.")
                continue
            key = _joined(key_node.value)
            again = id(key_node) in self._seen  # an alias of a value
            self._seen.add(id(key_node))
            if again or self._has_properties(key_node, key_span):
                if again:
                    self._report(key_span, "Anchors and aliases are not supported. Write the key itself.")
                continue
            if key_node.tag == f"{_TAG}merge":
                self._report(key_span, "Merge keys (<<) are not supported. Write the keys themselves.")
                continue
            if key_node.tag != f"{_TAG}str":
                self._value(key_node, key_span, is_key=True)
            value = self.convert(value_node, (*place, key))
            if key in found.entries:
                first = found.keys[key]
                self._report(key_span, f'The key "{key}" is defined twice, first on line {first.line + 1}. Remove one.')
                continue
            found.entries[key], found.keys[key] = value, key_span
        return found

    def _value(self, node: Any, span: Span, is_key: bool = False) -> Any:
        """Return a scalar's value, or report why it is ambiguous and return None."""
        text, tag = _joined(node.value), node.tag.removeprefix(_TAG)
        if half := _SURROGATE.search(text):
            self._report(
                span,
                f"The text has a surrogate (U+{ord(half[0]):04X}), which is half of a character. Write the character "
                "itself.",
            )
            return None
        if node.style in ("'", '"', "|", ">") and tag == "str":
            return text
        as_key = "A key must be a string. " if is_key else ""
        trap = ""
        match tag:
            case "str" | "value":
                return text
            case "bool" if text in ("true", "false"):
                value: Any = text == "true"
            case "int" if _INTEGER.fullmatch(text):
                value = int(text)
            case "float" if _DECIMAL.fullmatch(text):
                value = float(text)
            case "null" if not text:
                trap = "The value is missing. Add one after the colon, or remove the key."
            case "bool" | "int" | "float" | "null" | "timestamp":
                short = text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
                trap = (
                    f'YAML reads {short} as {what_yaml_reads(tag, text)}. Write "{short}" in quotes if you mean text'
                    + ("." if tag in ("null", "timestamp") else f", or {plain_form(tag)}.")
                )
            case "merge":
                trap = f'{text} is YAML\'s merge key. Write "{text}" in quotes if you mean text.'
            case _:
                trap = f"Tags such as {node.tag} are not supported. Write only the value."
        if trap or is_key:
            self._report(span, as_key + (trap or f'Write "{text}" in quotes if you mean text.'))
            return None
        return value


def _is_switch(place: Sequence[str]) -> bool:
    """Return whether a place is a feature of network interfaces, which is on or off in ethtool's words."""
    return any(key == "offloads" or key.startswith("nics.") for key in place)


def _first_word(span: Span) -> Span:
    """Return the beginning of a span: at most a few characters, on its first line."""
    end = span.end_column if span.end_line == span.line else span.column + 1
    return Span(span.source, span.line, span.column, span.line, max(span.column + 1, end))
