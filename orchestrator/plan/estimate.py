# SPDX-License-Identifier: Apache-2.0
"""How long a plan takes, from what earlier runs taught."""

from dataclasses import dataclass

from orchestrator.plan.trials import NO_VARIANT, Block, Plan


@dataclass(frozen=True, slots=True)
class Durations:
    """Seconds: a trial's beyond its warm-up and duration; a block's to boot and prepare its hosts."""

    overhead_s: float
    prepare_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """``seconds`` without retries, and without what is built once; ``loads``: how often a variant is loaded."""

    seconds: float
    trials: int
    boots: int
    loads: int


def block_estimate(block: Block, durations: Durations) -> Estimate:
    """Of one block."""
    traffic_s = sum(trial.traffic.warm_up_s + trial.traffic.duration_s for trial in block.trials)
    loads, loaded = 0, NO_VARIANT
    for trial in block.trials:
        loads += trial.levels.variant not in (loaded, NO_VARIANT)
        loaded = trial.levels.variant
    seconds = durations.prepare_s + traffic_s + durations.overhead_s * len(block.trials)
    return Estimate(seconds, len(block.trials), 1, loads)


def estimate(plan: Plan, durations: Durations) -> Estimate:
    """Of a whole plan."""
    parts = [block_estimate(block, durations) for block in plan.blocks]
    return Estimate(
        sum(part.seconds for part in parts),
        sum(part.trials for part in parts),
        len(parts),
        sum(part.loads for part in parts),
    )
