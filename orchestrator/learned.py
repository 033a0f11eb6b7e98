# SPDX-License-Identifier: Apache-2.0
"""What this computer has taught: how long something took, or how large it was, for the next estimate.

The file ``learned.json`` of the cache has {what: amount}.
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
    """What the file says; what is no amount, or no such file, says nothing."""
    try:
        content = json.loads(_file().read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    amounts = content.items() if isinstance(content, dict) else ()
    return {what: amount for what, amount in amounts if isinstance(amount, int | float) and math.isfinite(amount)}


def learned(what: str, default: float | None = None) -> float | None:
    """How much something was last time on this computer: seconds that it took, or bytes."""
    return _known().get(what, default)


def learn(what: str, amount: float) -> None:
    """Remember how much something was, for the next estimate."""
    with contextlib.suppress(OSError), lock("learned"):  # an estimate is not worth a failure
        replace_file(_file(), to_json({**_known(), what: round(amount, 3)}))
