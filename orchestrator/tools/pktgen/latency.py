# SPDX-License-Identifier: Apache-2.0
"""Round-trip times beside a load, as quantiles. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

QUANTILES: Mapping[str, float] = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99, "max_s": 1.0}


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of some sorted values that at least a share of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def round_trips(sent: int, rtts_s: Sequence[float]) -> dict[str, Any]:
    """``sent`` and ``n``, the answers that came; their quantiles in seconds, None without any answer."""
    ordered = sorted(rtts_s)
    found = {name: quantile(ordered, share) if ordered else None for name, share in QUANTILES.items()}
    return {"sent": sent, "n": len(ordered), **found}
