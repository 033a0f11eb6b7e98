# SPDX-License-Identifier: Apache-2.0
"""The control of virtual time: N loops that only compute, one on each virtual CPU, must do N times the work of one.
Pure."""

from collections.abc import Mapping
from typing import Any

SECONDS = 0.3  # of the hosts' clock; for one loop alone, and again for all together


def evaluate(told: Mapping[str, Any]) -> dict[str, Any]:
    """From what the agent counted to the control's result.

    ``cpus``: how many loops ran together; ``alone_per_s``: rounds per second of one loop alone; ``together_per_s``: of
    all loops together; ``least_per_s``: of the slowest of these; ``times_one``: how many times the work of one loop all
    did, which should be ``cpus``.
    """
    alone, together = float(told["alone"]), [float(rate) for rate in told["together"]]
    return {
        "cpus": len(together),
        "alone_per_s": round(alone, 1),
        "together_per_s": round(sum(together), 1),
        "least_per_s": round(min(together), 1),
        "times_one": round(sum(together) / alone, 4),
    }


def within(result: Mapping[str, Any], share: float) -> bool:
    """Whether the loops did as many times the work of one as there are CPUs, within a share of that."""
    return abs(float(result["times_one"]) - float(result["cpus"])) <= share * float(result["cpus"])
