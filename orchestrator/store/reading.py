# SPDX-License-Identifier: Apache-2.0
"""Reading a run's directory, also one that was interrupted."""

import json
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError


def is_run(path: Path) -> bool:
    """True if ``path`` is a run's directory."""
    return (path / "run.json").is_file()


def _read_object(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: {path.parent} is not a run's directory.") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}). Restore it from a copy of the run.") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} does not hold a JSON object. Restore it from a copy of the run.")
    return value


def read_run(path: Path) -> dict[str, Any]:
    """The content of run.json. Raises UserError where ``path`` is not a run's directory."""
    return _read_object(path / "run.json")


def read_attempts(path: Path) -> list[dict[str, Any]]:
    """Every finished attempt, in the order of the plan, then of the attempts' numbers.

    Folders with a temporary name are attempts that were cut off before they were whole: they do not count.
    """
    attempts = []
    for file in (path / "trials").glob("*/*/attempt.json"):
        if file.parent.name.isdigit():
            attempts.append(_read_object(file))
    attempts.sort(key=lambda attempt: (attempt["order"], attempt["attempt"]))
    return attempts
