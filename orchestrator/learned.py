# SPDX-License-Identifier: Apache-2.0
"""What this computer has taught: how long something took, or how large it was, for the next estimate.

The file ``learned.json`` of the cache has {what: amount}.
"""

import contextlib
import json
from pathlib import Path

from orchestrator.locks import lock
from orchestrator.paths import cache_home
from orchestrator.store.files import replace_file, to_json


def _file() -> Path:
    return cache_home() / "learned.json"


def learned(what: str, default: float | None = None) -> float | None:
    """How much something was last time on this computer: seconds that it took, or bytes."""
    try:
        value = json.loads(_file().read_text()).get(what, default)
    except (OSError, ValueError, AttributeError):
        return default
    return float(value) if isinstance(value, int | float) else default


def learn(what: str, amount: float) -> None:
    """Remember how much something was, for the next estimate."""
    with contextlib.suppress(OSError), lock("learned"):  # an estimate is not worth a failure
        try:
            known = json.loads(_file().read_text())
        except (OSError, ValueError):
            known = {}
        replace_file(_file(), to_json({**known, what: round(amount, 3)}))
