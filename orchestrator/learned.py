# SPDX-License-Identifier: Apache-2.0
"""Durations and sizes observed on this computer, as estimates for the next time.

They are stored in the cache's ``learned.json`` as {name: amount}.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from orchestrator.locks import lock
from orchestrator.paths import cache_home
from orchestrator.store.files import replace_file, to_json


def _file() -> Path:
    return cache_home() / "learned.json"


def _known() -> Mapping[str, float]:
    """Return the content of the file; invalid amounts are left out, and a missing or damaged file is empty."""
    try:
        content = json.loads(_file().read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    amounts = content.items() if isinstance(content, dict) else ()
    return {what: amount for what, amount in amounts if isinstance(amount, int | float) and math.isfinite(amount)}


def learned(what: str, default: float | None = None) -> float | None:
    """Return the amount observed last on this computer, in seconds or bytes; ``default`` if there is none."""
    return _known().get(what, default)


def learn(what: str, amount: float) -> None:
    """Remember an amount, in seconds or bytes, for the next estimate."""
    with contextlib.suppress(OSError), lock("learned"):  # an estimate is not worth a failure
        replace_file(_file(), to_json({**_known(), what: round(amount, 3)}))
