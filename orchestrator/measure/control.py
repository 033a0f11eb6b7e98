# SPDX-License-Identifier: Apache-2.0
"""The control of virtual time: N loops that only compute, one on each virtual CPU, must do N times the work of one.
Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import Any

# How long a phase is, of the hosts' clock, and how often all loops compute together.
SECONDS, REPETITIONS = 0.03, 15


def phases(cpus: int, slots: int) -> list[int]:
    """Return how many loops compute in each phase of a control.

    Every second phase is one with a loop on each core that the machine has (``slots``), but not more than ``cpus``;
    in between are in turn all loops and one alone. So each of these has such a phase just before and just after it.
    """
    few = min(cpus, slots)
    return [few, cpus, few, 1] * REPETITIONS + [few]


def evaluate(rates: Sequence[Sequence[float]]) -> dict[str, Any]:
    """From the rounds per second of each loop in each of `phases` to the control's result.

    ``cpus``: how many loops ran together; ``times_one``: how many times the work of one they did, which should be
    ``cpus``; ``core_alone``: how many times the work of one a loop did that had the computer to itself, which is 1
    where the computer's cores do not take speed from one another.

    One is the mean of the loops, one on each core, in the phases just before and just after. So all cores are busy in
    what is compared by ``times_one``, and what they take from one another (shared execution units, caches and power)
    does not count. Each number is the median over the phases. Where there are no more CPUs than cores, all loops are
    these very loops, and ``times_one`` is ``cpus``.
    """
    cpus = len(rates[1])
    few = [mean(loops) for loops in rates[::2]]
    one = [(before + after) / 2 for before, after in pairwise(few)]
    between = [sum(loops) / of for loops, of in zip(rates[1::2], one, strict=True)]
    return {
        "cpus": cpus,
        "times_one": round(median(between[::2]), 4) if cpus > len(rates[0]) else float(cpus),
        "core_alone": round(median(between[1::2]), 4),
    }


def within(result: Mapping[str, Any], share: float) -> bool:
    """Whether the loops did as many times the work of one as there are CPUs, within a share of that."""
    return abs(float(result["times_one"]) - float(result["cpus"])) <= share * float(result["cpus"])
