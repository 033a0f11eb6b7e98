# SPDX-License-Identifier: Apache-2.0
"""The contribution of a cell's profile to its limit: busy time by stage, and the share spent waiting for locks."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.analysis.dataset import Run
from orchestrator.spec import Cell

# Functions in which a CPU spins for a lock that another holds, in Linux 6.1 to 7.2 on any processor.
_SPINNING = frozenset(
    {
        "queued_spin_lock_slowpath",
        "native_queued_spin_lock_slowpath",
        "__pv_queued_spin_lock_slowpath",
        "queued_read_lock_slowpath",
        "queued_write_lock_slowpath",
        "mutex_spin_on_owner",
        "rwsem_spin_on_owner",
        "osq_lock",
    }
)
_MOST_NAMED = 3  # most stages in a sentence
_LEAST_NAMED = 0.05  # smallest share of a stage in a sentence


@dataclass(frozen=True)
class ProfileShares:
    """Shares (0 to 1) of the busy time of a role's CPUs, or of those of a host that roles share, in a cell's profile.

    ``stages``: of all these CPUs, by stage; ``busiest``: the same for the busiest CPU; ``spinning``: of all, waiting
    for locks.
    """

    stages: Mapping[str, float]
    busiest: Mapping[str, float]
    spinning: float


def profile_shares(run: Run) -> dict[Cell, dict[str, ProfileShares]]:
    """Return {cell: {role or host: observations of its profile}} for the profiled cells, which most runs do not have.

    Raises UserError if a profile is damaged.
    """
    from orchestrator.analysis.profiles.stages import IDLE, stage_of

    found: dict[Cell, dict[str, ProfileShares]] = {}
    for profile in run.profiles:
        times: dict[str, dict[int, dict[str, int]]] = {}
        spun: dict[str, int] = {}
        for stack in profile.stacks:
            stage = stage_of(stack.role, stack.task, stack.calls)
            if stage == IDLE:
                continue
            group = stack.role or stack.host
            mine = times.setdefault(group, {}).setdefault(stack.cpu, {})
            mine[stage] = mine.get(stage, 0) + stack.ns
            if stack.calls and stack.calls[-1].partition(".")[0] in _SPINNING:
                spun[group] = spun.get(group, 0) + stack.ns
        found[profile.key] = {group: _of_group(cpus, spun.get(group, 0)) for group, cpus in times.items()}
    return found


def _of_group(cpus: Mapping[int, Mapping[str, int]], spun: int) -> ProfileShares:
    together: dict[str, int] = {}
    for mine in cpus.values():
        for stage, ns in mine.items():
            together[stage] = together.get(stage, 0) + ns
    busiest = max(cpus.values(), key=lambda mine: sum(mine.values()))
    return ProfileShares(_shares(together), _shares(busiest), spun / (sum(together.values()) or 1))


def _shares(times: Mapping[str, int]) -> dict[str, float]:
    whole = sum(times.values()) or 1
    return {stage: ns / whole for stage, ns in times.items()}


def stages_in_words(shares: Mapping[str, float]) -> str:
    """Return the stages that took most of the time, such as: 41% encrypt, 30% poll; empty if there is none."""
    ranked = sorted(shares.items(), key=lambda item: -item[1])[:_MOST_NAMED]
    return ", ".join(f"{share:.0%} {stage}" for stage, share in ranked if share >= _LEAST_NAMED)
