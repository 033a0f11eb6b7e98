# SPDX-License-Identifier: Apache-2.0
"""Extraction of the number from what a user's own program printed. Pure."""

import json
import math
import re
from typing import Any

from orchestrator.spec import NumberPattern


def value_in(text: str, reading: NumberPattern) -> float:
    """Return the number in what a program printed. Raises ValueError with the reason if there is none."""
    if reading.regex is not None:
        found = [match.group(1) for match in re.finditer(reading.regex, text, re.MULTILINE)]
        if not found or found[-1] is None:
            raise ValueError(f"nothing matches {reading.regex}")
        value: Any = found[-1]
    else:
        value = _at(text, str(reading.json_path))
    if isinstance(value, bool):
        raise ValueError(f"{value} is not a number")
    try:
        number = float(value) * reading.factor
    except (TypeError, ValueError) as error:
        raise ValueError(f"{str(value)[:40]!r} is not a number") from error
    if not math.isfinite(number):
        raise ValueError(f"{value} is not a finite number")
    return number


def _at(text: str, path: str) -> Any:
    """Return the value at a path of a JSON document: keys, and list indices in brackets."""
    try:
        value = json.loads(text)
    except ValueError as error:
        raise ValueError(f"it is not a JSON document ({error})") from error
    for key, place in re.findall(r"([^.\[\]]+)|\[(-?\d+)\]", path):
        try:
            value = value[int(place)] if place else value[key]
        except (KeyError, IndexError, TypeError) as error:
            raise ValueError(f"{path} is not in it") from error
    return value
