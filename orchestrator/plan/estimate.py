# SPDX-License-Identifier: Apache-2.0
"""How long a plan takes and how much it stores, from what earlier runs taught."""

from dataclasses import dataclass

from orchestrator.plan.trials import NO_VARIANT, Block, Plan
from orchestrator.spec import Traffic

# How long a search offers loads, in durations of its longest ones, as simulated (tests/unit/test_search.py says how).
_SEARCH_DURATIONS = {"mlrsearch": 5.0, "binary": 15.0}
_MORE_TRIES = 2.5  # for each more than one


@dataclass(frozen=True, slots=True)
class Lessons:
    """Of a trial: seconds beyond its warm-up and duration, and bytes stored. Of a block: seconds to prepare hosts."""

    overhead_s: float
    prepare_s: float
    trial_bytes: float = 0.0


@dataclass(frozen=True, slots=True)
class Estimate:
    """``seconds`` and ``disk_bytes`` without retries, and without what is built once; ``loads``: how often a variant is
    loaded."""

    seconds: float
    trials: int
    boots: int
    loads: int
    disk_bytes: int


def traffic_seconds(traffic: Traffic) -> float:
    """How long a trial's traffic takes: known, or of a search about."""
    duration_s = traffic.duration_s
    latency_s = duration_s * len(traffic.latency.at) if traffic.latency else 0.0
    search = traffic.search
    if search is None:
        return traffic.warm_up_s + duration_s + latency_s
    durations = _SEARCH_DURATIONS[search.method] + _MORE_TRIES * (search.tries - 1)
    return traffic.warm_up_s + min(search.time_limit_s, durations * duration_s) + latency_s


def block_estimate(block: Block, lessons: Lessons, rounds: int | None = None) -> Estimate:
    """Of one block, or of its first rounds."""
    loads, loaded, trials, traffic_s = 0, NO_VARIANT, 0, 0.0
    for trial in block.trials:
        if rounds is not None and trial.round > rounds:
            break
        trials += 1
        traffic_s += traffic_seconds(trial.traffic)
        loads += trial.levels.variant not in (loaded, NO_VARIANT)
        loaded = trial.levels.variant
    seconds = lessons.prepare_s + traffic_s + lessons.overhead_s * trials
    return Estimate(seconds, trials, 1, loads, round(lessons.trial_bytes * trials))


def estimate(plan: Plan, lessons: Lessons, rounds: int | None = None) -> Estimate:
    """Of a whole plan, or of the first rounds of its blocks."""
    parts = [block_estimate(block, lessons, rounds) for block in plan.blocks]
    return Estimate(
        sum(part.seconds for part in parts),
        sum(part.trials for part in parts),
        len(parts),
        sum(part.loads for part in parts),
        sum(part.disk_bytes for part in parts),
    )
