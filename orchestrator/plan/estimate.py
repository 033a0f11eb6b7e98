# SPDX-License-Identifier: Apache-2.0
"""Estimates of a plan's duration and disk use, learned from earlier runs."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.plan.trials import NO_VARIANT, Block, Plan, Trial
from orchestrator.spec import OWN_CPUS, REAL_CLOCK, SHARED_CPUS, Cell, Clock, RoleCpus

# In virtual time: the number of CPUs that one tunnel keeps busy (a sender, the two gateways, a receiver).
_CPUS_OF_A_TUNNEL = 4
# Where each role has its own CPUs, over which a tunnel's work spreads: the number of CPUs that one tunnel keeps busy,
# and how many are busy per gateway core when all gateway cores are.
_OWN_CPUS_OF_A_TUNNEL, _BUSY_FOR_A_CORE = 5, 2.3
_COST_OF_SLOTS = 1.3  # slowdown from switching between virtual CPUs, as a factor


@dataclass(frozen=True, slots=True)
class Lessons:
    """What earlier runs taught about a kind of testbed, and how many slots this testbed has.

    ``overhead_s``: seconds per trial beyond its warm-up and duration; ``prepare_s``: seconds per block to prepare its
    hosts; ``trial_bytes``: bytes stored per trial. ``slots``: in virtual time, how many virtual CPUs run at a time;
    None in real time. ``role_cpus``: whether roles on a machine share its CPUs.
    """

    overhead_s: float
    prepare_s: float
    trial_bytes: float = 0.0
    slots: int | None = None
    role_cpus: RoleCpus = SHARED_CPUS


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimated duration, in seconds, and disk use, in bytes, of a plan or block.

    Retries, and what is built only once, are not included. ``loads``: how many times a variant is loaded.
    """

    seconds: float
    trials: int
    boots: int
    loads: int
    disk_bytes: int


def lessons_key(what: str, provider: str, clock: Clock = REAL_CLOCK) -> str:
    """Return the name under which a lesson about a kind of testbed is stored, separately for each clock."""
    return f"{what}/{provider}" if clock == REAL_CLOCK else f"{what}/{provider}-{clock}"


def dilation(cores: int, tunnels: int, slots: int | None, role_cpus: RoleCpus = SHARED_CPUS) -> float:
    """Return the estimated wall seconds per second of a trial's traffic; 1 in real time (``slots`` None).

    In virtual time ``slots`` virtual CPUs run at a time, so that busy ones take turns. A tunnel keeps about four of
    them busy (sender, two gateways, receiver), and switching between them costs about 30 % more. Where each role has
    its own CPUs, one tunnel keeps about five busy, and one tunnel per core keeps 2.3 busy per core. Even with a slot
    for each busy CPU, a virtual second takes at least a real one, because virtual time never runs ahead of real time.
    """
    if slots is None:
        return 1.0
    if role_cpus == OWN_CPUS:
        busy = min(_BUSY_FOR_A_CORE * cores, _OWN_CPUS_OF_A_TUNNEL * tunnels)
    else:
        busy = min(cores, _CPUS_OF_A_TUNNEL * tunnels)
    return max(1.0, busy / slots * _COST_OF_SLOTS)


def trial_seconds(trial: Trial, lessons: Lessons) -> float:
    """Return the estimated wall seconds of a trial."""
    levels = trial.levels
    slower = dilation(levels.cores, levels.tunnels, lessons.slots, lessons.role_cpus)
    return trial.traffic.expected_s * slower + lessons.overhead_s


def block_estimate(block: Block, lessons: Lessons, rounds: int | None = None) -> Estimate:
    """Return the estimate of one block, or of its first ``rounds`` rounds."""
    loads, loaded, trials, seconds = 0, NO_VARIANT, 0, lessons.prepare_s
    known: dict[tuple[int, int], tuple[float, str]] = {}  # a cell's trials share both objects, and take equally long
    for trial in block.trials:
        if rounds is not None and trial.round > rounds:
            break
        trials += 1
        same = (id(trial.levels), id(trial.traffic))
        found = known.get(same)
        if found is None:
            found = known[same] = trial_seconds(trial, lessons), trial.levels.variant
        seconds += found[0]
        loads += found[1] not in (loaded, NO_VARIANT)
        loaded = found[1]
    return Estimate(seconds, trials, 1, loads, round(lessons.trial_bytes * trials))


def estimate(plan: Plan, lessons: Lessons, rounds: int | None = None, testbeds: int = 1) -> Estimate:
    """Return the estimate of a plan on parallel ``testbeds``, with all rounds of its blocks or the first ``rounds``."""
    return combined_estimate(plan, [block_estimate(block, lessons, rounds) for block in plan.blocks], testbeds)


def combined_estimate(plan: Plan, parts: Sequence[Estimate], testbeds: int = 1) -> Estimate:
    """Return the estimate of a plan on parallel ``testbeds`` from those of its blocks."""
    seconds: dict[tuple[int, frozenset[Cell]], float] = {}  # all boots of the same cells stay together
    for block, part in zip(plan.blocks, parts, strict=True):
        seconds[block.cores, block.cells] = seconds.get((block.cores, block.cells), 0.0) + part.seconds
    ends = [0.0] * testbeds
    for of_boots in seconds.values():  # each goes to the testbed that is free first
        ends[ends.index(min(ends))] += of_boots
    return Estimate(
        max(ends),
        sum(part.trials for part in parts),
        len(parts),
        sum(part.loads for part in parts),
        sum(part.disk_bytes for part in parts),
    )
