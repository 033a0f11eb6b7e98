# SPDX-License-Identifier: Apache-2.0
"""Building a model from a tree, and turning validation errors into problems with a location and a sentence."""

import functools
import json
import re
from collections.abc import Callable, Sequence
from collections.abc import Mapping as MappingType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from orchestrator.spec.document import Items, Mapping, Node, place_of, plain
from orchestrator.spec.problems import Problem, Span, did_you_mean, nearest

M = TypeVar("M", bound=BaseModel)
Location = Sequence[str | int]

_KINDS = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "string_type": "text",
    "bool_type": "true or false",
    "float_type": "a number",
    "tuple_type": "a list, such as [1, 2]",
    "dict_type": "keys and values",
    "model_type": "keys and values",
    "greater_than_equal": "at least {ge}",
    "greater_than": "more than {gt}",
    "less_than_equal": "at most {le}",
    "too_short": "at least {min_length} entry",
    "string_too_short": "at least {min_length} character",
    "string_pattern_mismatch": "a name of lower-case letters, digits and hyphens",
}

# Text that a sentence shows in quotes: without them it is invisible, or looks like a value of another kind.
_NEEDS_QUOTES = re.compile(
    r"|\s.*|.*\s|[-+]?[0-9]+(\.[0-9]*)?|true|false|yes|no|on|off|null|~", re.IGNORECASE | re.DOTALL
)


def build(model: type[M], tree: Node) -> tuple[M | None, list[Problem]]:
    """Return an instance of the model and no problems, or None and all problems.

    A model may have ``misplaced``: a function that returns a sentence on an unknown key at a place, such as
    factors.seed, or an empty string.
    """
    if not isinstance(tree, Mapping):
        return None, [
            Problem(f"{_found(tree)} is here, but keys and values were expected. `orch schema` shows them.", tree.span)
        ]
    try:
        return model.model_validate(plain(tree)), []
    except ValidationError as error:
        schema = _schema(model)
        errors = error.errors(include_url=False)
        meant = {_meant(details, schema) for details in errors if details["type"] == "extra_forbidden"}
        misplaced = getattr(model, "misplaced", lambda where: "")
        return None, [_problem(details, tree, schema, misplaced) for details in errors if not _is_echo(details, meant)]


@functools.cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _is_echo(details: MappingType[str, Any], meant: set[Location]) -> bool:
    """Return whether an error is only a consequence of another reported one."""
    if details["type"] == "missing":
        return tuple(details["loc"]) in meant
    # A list counts as empty when its entries are refused.
    return details["type"] == "too_short" and bool(details["input"])


def _meant(details: MappingType[str, Any], schema: dict[str, Any]) -> Location:
    """Return the location that an unknown key was probably meant for, so that it is not also reported as missing."""
    *parent, key = details["loc"]
    return (*parent, nearest(str(key), _part(schema, parent).get("properties", {})) or key)


def _problem(
    details: MappingType[str, Any], tree: Mapping, schema: dict[str, Any], misplaced: Callable[[str], str]
) -> Problem:
    location: Location = details["loc"]
    kind, context = details["type"], details.get("ctx", {})
    if location and location[-1] == "[key]":
        key = str(location[-2])
        expected = _KINDS.get(kind, details["msg"])
        return Problem(f'The name "{key}" is not valid; expected {expected}.', place_of(tree, location[:-1], True))
    where = _name(location)
    if kind == "missing":
        parent = place_of(tree, location[:-1], True) if len(location) > 1 else _beginning(tree.span)
        return Problem(f'"{where}" is missing. Add it.', parent)
    span = place_of(tree, location)
    if kind == "extra_forbidden":
        known = _part(schema, location[:-1]).get("properties", {})
        elsewhere = misplaced(where)
        hint = f" {elsewhere}" if elsewhere else did_you_mean(str(location[-1]), known)
        return Problem(f'There is no key "{where}".{hint}', place_of(tree, location, True))
    found = _found_at(tree, location)
    if kind == "literal_error":
        choices = [str(choice) for choice in _choices(details)]
        near = nearest(found, choices)
        hint = f" Did you mean {near}?" if near else ""
        return Problem(f"{where}: {found} is not one of {', '.join(choices)}.{hint}", span)
    if kind == "expected":
        because = f": {context['because']}" if context["because"] else ""
        subject = f"{where}: {found} is not valid" if where else "This value is not valid"
        return Problem(f"{subject}{because}. Expected {context['expected']}.", span)
    expected = _KINDS.get(kind, details["msg"]).format_map(context)
    return Problem(f"{where}: {found} is not valid. Expected {expected}.", span)


def _choices(details: MappingType[str, Any]) -> list[str]:
    return [part.strip().strip("'") for part in details["ctx"]["expected"].replace(" or ", ", ").split(",")]


def _beginning(span: Span) -> Span:
    return Span(span.source, span.line, span.column, span.line, span.column + 1)


def _name(location: Location) -> str:
    """Return a location in the form traffic.duration, factors.cores[2]."""
    name = ""
    for step in location:
        name += f"[{step}]" if isinstance(step, int) else f".{step}" if name else step
    return name


def _found(node: Node) -> str:
    match node:
        case Mapping():
            return "a mapping" if node.entries else "an empty mapping"
        case Items():
            return "a list" if node.items else "an empty list"
    value = node.value
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "nothing"
    text = str(value)
    if isinstance(value, str) and (_NEEDS_QUOTES.fullmatch(text) or not text.isprintable()):
        return json.dumps(text[:60], ensure_ascii=not text[:60].isprintable())
    return text if len(text) <= 60 else f'"{text[:60]}"'


def _found_at(tree: Node, location: Location) -> str:
    for step in location:
        match tree:
            case Mapping() if step in tree.entries:
                tree = tree.entries[str(step)]
            case Items() if isinstance(step, int) and step < len(tree.items):
                tree = tree.items[step]
            case _:
                break
    return _found(tree)


def _part(schema: dict[str, Any], location: Location) -> dict[str, Any]:
    """Return the part of a JSON Schema that describes a location; {} if there is none."""
    part = _resolved(schema, schema)
    for step in location:
        if isinstance(step, int):
            part = part.get("items", {})
        else:
            part = part.get("properties", {}).get(step) or _of_any_key(part)
        part = _resolved(part, schema)
    return part


def _of_any_key(part: dict[str, Any]) -> Any:
    """Return the schema of the values of a mapping with arbitrary keys."""
    return next(iter(part.get("patternProperties", {}).values()), None) or part.get("additionalProperties") or {}


def _has_parts(option: dict[str, Any]) -> bool:
    return any(key in option for key in ("$ref", "items", "properties"))


def _resolved(part: Any, schema: dict[str, Any]) -> dict[str, Any]:
    """Follow references; of alternatives, take the first that is not null."""
    while isinstance(part, dict):
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rsplit("/", 1)[-1]]
        elif "anyOf" in part and any(_has_parts(option) for option in part["anyOf"]):
            part = next(option for option in part["anyOf"] if _has_parts(option))
        else:
            return part
    return {}
