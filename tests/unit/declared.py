# SPDX-License-Identifier: Apache-2.0
"""Whether JSON values are what the messages of the agent declare, however deep they are."""

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints, is_typeddict


def misfits(value: Any, declared: Any, at: str = "it") -> Iterator[str]:
    """What is not as declared: a sentence each. ``declared``: a TypedDict, or a type of those that messages have."""
    origin, arguments = get_origin(declared), get_args(declared)
    if is_typeddict(declared):
        yield from _of_keys(value, declared, at)
    elif origin in (Union, UnionType):
        if all(any(misfits(value, one, at)) for one in arguments):
            yield f"{at} is {value!r}, not {declared}"
    elif origin in (list, Sequence):
        yield from _of_items(dict(enumerate(value)) if isinstance(value, list) else None, value, arguments[0], at)
    elif origin in (dict, Mapping):
        yield from _of_items(value if isinstance(value, dict) else None, value, arguments[1], at)
    elif not _is_a(value, declared):
        yield f"{at} is {value!r}, not {declared}"


def _of_keys(value: Any, declared: Any, at: str) -> Iterator[str]:
    hints = get_type_hints(declared)
    if not isinstance(value, dict):
        yield f"{at} is {value!r}, not {declared.__name__}"
        return
    yield from (f"{at} lacks {name}" for name in sorted(declared.__required_keys__ - set(value)))
    yield from (f"{at} has the unknown {name}" for name in sorted(set(value) - set(hints)))
    for name in sorted(set(value) & set(hints)):
        yield from misfits(value[name], hints[name], f"{at}.{name}")


def _of_items(items: "Mapping[Any, Any] | None", value: Any, declared: Any, at: str) -> Iterator[str]:
    if items is None:
        yield f"{at} is {value!r}, without items"
        return
    for key, item in items.items():
        yield from misfits(item, declared, f"{at}[{key!r}]")


def _is_a(value: Any, declared: Any) -> bool:
    if declared is Any:
        return True
    if declared in (int, float):
        return isinstance(value, (int, declared)) and not isinstance(value, bool)
    return isinstance(value, NoneType if declared is None else declared)
