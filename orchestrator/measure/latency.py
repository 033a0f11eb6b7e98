# SPDX-License-Identifier: Apache-2.0
"""Round-trip times beside a load, as quantiles. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

QUANTILES: Mapping[str, float] = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99, "p999_s": 0.999, "max_s": 1.0}


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest of some sorted values that at least a share of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def round_trips(sent: int, rtts_s: Sequence[float]) -> dict[str, Any]:
    """``sent`` and ``n``, the answers that came; their quantiles in seconds.

    All are None without any answer, and ``p999_s`` with fewer than 1000, of which it would be the longest time.
    """
    ordered = sorted(rtts_s)
    least = {"p999_s": 1000}
    found = {
        name: quantile(ordered, share) if len(ordered) >= least.get(name, 1) else None
        for name, share in QUANTILES.items()
    }
    return {"sent": sent, "n": len(ordered), **found}


def beside_traffic(echoes: Mapping[str, Any]) -> dict[str, Any]:
    """The round trips that were timed beside the traffic of the trial itself, which is no share of a rate that a search
    found. ``echoes``: of the agent's `Echoes.result`."""
    return {"at": 1.0, "offered_pps": None, **round_trips(echoes["sent"], echoes["rtts_s"])}
