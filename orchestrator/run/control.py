# SPDX-License-Identifier: Apache-2.0
"""The control of virtual time: N loops that only compute, one on each virtual CPU, must do N times the work of one.
Pure."""

from collections.abc import Mapping
from itertools import pairwise
from statistics import median
from typing import Any

# Of the hosts' clock: how long one loop computes alone, and then all together; and how many times they all do.
SECONDS, PAIRS = 0.03, 15


def evaluate(told: Mapping[str, Any]) -> dict[str, Any]:
    """From what the agent counted to the control's result.

    ``cpus``: how many loops ran together; ``alone_per_s``: rounds per second of one loop alone; ``together_per_s``: of
    all loops together; ``least_per_s``: of the slowest of these; ``times_one``: how many times the work of one loop all
    did, which should be ``cpus``. Each is the median of all phases, and ``times_one`` that of what all did divided by
    the mean of what one did just before and just after; for one CPU, where both are the same thing, it is 1.
    """
    alone = [float(rate) for rate in told["alone"]]
    together = [[float(rate) for rate in rates] for rates in told["together"]]
    cpus = len(together[0])
    beside = [(before + after) / 2 for before, after in pairwise(alone)]
    ratios = [sum(rates) / one for one, rates in zip(beside, together, strict=True)]
    return {
        "cpus": cpus,
        "alone_per_s": round(median(alone), 1),
        "together_per_s": round(median(map(sum, together)), 1),
        "least_per_s": round(median(map(min, together)), 1),
        "times_one": round(median(ratios), 4) if cpus > 1 else 1.0,
    }


def within(result: Mapping[str, Any], share: float) -> bool:
    """Whether the loops did as many times the work of one as there are CPUs, within a share of that."""
    return abs(float(result["times_one"]) - float(result["cpus"])) <= share * float(result["cpus"])
