# SPDX-License-Identifier: Apache-2.0
"""Round-trip times under load: the echo requests, and quantiles of the times. Pure."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agent.traffic_messages import EchoStream
from orchestrator.measure.layout import receiver_address, sender_address

QUANTILES: Mapping[str, float] = {"p50_s": 0.5, "p90_s": 0.9, "p99_s": 0.99, "p999_s": 0.999, "max_s": 1.0}


def through_first_tunnel(role: str, pace_pps: float, duration_s: float, after_s: float = 0.0) -> EchoStream:
    """Return the echo requests that the sending end, ``role``, sends through the first tunnel to the receiving end.

    ``pace_pps``: requests per second; ``duration_s``: for how long; ``after_s``: how long after the load begins.
    """
    return {
        "role": role,
        "source": sender_address(1),
        "destination": receiver_address(1),
        "pace_pps": pace_pps,
        "duration_s": duration_s,
        "after_s": after_s,
    }


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the smallest of the sorted values that at least this share of them does not exceed (nearest rank)."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def round_trips(sent: int, rtts_s: Sequence[float]) -> dict[str, Any]:
    """Return ``sent``, ``n`` (the answers received) and the quantiles of the round-trip times in seconds.

    All quantiles are None without any answer; ``p999_s`` is None for fewer than 1000 answers, where it would be the
    maximum.
    """
    ordered = sorted(rtts_s)
    least = {"p999_s": 1000}
    found = {
        name: quantile(ordered, share) if len(ordered) >= least.get(name, 1) else None
        for name, share in QUANTILES.items()
    }
    return {"sent": sent, "n": len(ordered), **found}


def beside_traffic(echoes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the round trips timed during the trial's own traffic, which is not a share of a rate that a search found.

    ``echoes``: the agent's `Echoes.result`.
    """
    return {"at": 1.0, "offered_pps": None, **round_trips(echoes["sent"], echoes["rtts_s"])}
