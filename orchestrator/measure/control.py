# SPDX-License-Identifier: Apache-2.0
"""The control of virtual time: N pure compute loops, one per virtual CPU, must do N times the work of one. Pure."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import mean, median
from typing import Any

# The length of a phase by the hosts' clock, and how many times all loops compute together.
SECONDS, REPETITIONS = 0.03, 15


def phases(cpus: int, slots: int) -> list[int]:
    """Return how many loops compute in each phase of a control.

    Every second phase has one loop on each core that the machine has (``slots``), but at most ``cpus``; between these,
    phases with all loops alternate with phases of a single loop. So each of the latter has a reference phase just
    before and just after it.
    """
    few = min(cpus, slots)
    return [few, cpus, few, 1] * REPETITIONS + [few]


def evaluate(rates: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Return the result of a control from each loop's rounds per second, for each of `phases`.

    ``cpus``: how many loops ran together; ``times_one``: their total work as a multiple of the work of one loop, which
    should be ``cpus``; ``core_alone``: the work of a loop that had the computer to itself, as a multiple of the work of
    one loop, which is 1 if the computer's cores do not slow each other down.

    The work of one loop is the mean over loops in the phases just before and just after, which have one loop per core.
    All cores are thus busy in both terms of ``times_one``, and their influence on each other (shared execution units,
    caches and power) cancels. Each number is the median over the phases. If there are no more CPUs than cores, the
    phases are identical, and ``times_one`` is ``cpus``.
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
    """Return True if the loops did as many times the work of one as there are CPUs, within a relative ``share``."""
    return abs(float(result["times_one"]) - float(result["cpus"])) <= share * float(result["cpus"])
