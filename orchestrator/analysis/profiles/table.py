# SPDX-License-Identifier: Apache-2.0
"""CPU time by stage: in seconds, and in nanoseconds per packet."""

from typing import Any

import pandas as pd

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.costs import packet_ns
from orchestrator.analysis.profiles.samples import Profile
from orchestrator.analysis.profiles.stages import IDLE, NO_WORK, STAGES, stage_of

STAGE_COLUMNS = ["stage", "seconds", "ns_a_packet", "share", "busy_s", "covered"]


def stages_of(profile: Profile) -> dict[str, float]:
    """Return {stage: seconds} for all CPUs together, in the order of STAGES, without stages that took no time.

    Idle is the time of samples in which a CPU slept, which the lab kernel does not take; going to sleep and waking up
    are scheduling.
    """
    found = dict.fromkeys(STAGES, 0.0)
    for stack in profile.stacks:
        found[stage_of(stack.role, stack.task, stack.calls)] += stack.ns / 1e9
    return {stage: seconds for stage, seconds in found.items() if seconds > 0}


def covered(profile: Profile) -> float:
    """Return the sum of all stages but idle, as a share of the busy time in /proc/stat; NaN if that is 0."""
    busy = sum(seconds for stage, seconds in stages_of(profile).items() if stage != IDLE)
    return busy / profile.busy_s if profile.busy_s else float("nan")


def ns_a_packet(profile: Profile) -> dict[str, float]:
    """Return {stage: nanoseconds of CPU time per packet that arrived, of the profile's size}, without idle time and
    without the waiting of a packet generator."""
    each = packet_ns(profile.throughput_bps, profile.packet_bytes) / profile.seconds
    return {stage: seconds * each for stage, seconds in stages_of(profile).items() if stage not in NO_WORK}


def stages(run: Run) -> pd.DataFrame:
    """Return one row per profiled cell and stage.

    Columns: the levels; stage; seconds (of CPU time in the profiled window); ns_a_packet (per 1420 bytes that arrived,
    or per packet if a generator sent packets; NaN for idle and for a generator that waits); share (of all stages with a
    cost, 0 to 1; NaN for the same stages); busy_s (of all CPUs in the same window, by /proc/stat); covered (the sum of
    all stages but idle as a share of it); measured_in.
    """
    rows: list[dict[str, Any]] = []
    for profile in run.profiles:
        cost = ns_a_packet(profile)
        total = sum(cost.values())
        whole = {"busy_s": profile.busy_s, "covered": covered(profile)}
        for stage, seconds in stages_of(profile).items():
            ns = cost.get(stage, float("nan"))
            share = ns / total if total else float("nan")
            row = {"stage": stage, "seconds": seconds, "ns_a_packet": ns, "share": share}
            rows.append({**profile.key.row(), **row, **whole})
    return pd.DataFrame(rows, columns=[*run.levels, *STAGE_COLUMNS]).assign(measured_in=run.measured_in)


def differences(one: Profile, other: Profile) -> list[tuple[str, float, float]]:
    """Return (stage, ns per packet of one profile, of the other), the largest difference first."""
    mine, theirs = ns_a_packet(one), ns_a_packet(other)
    found = [
        (stage, mine.get(stage, 0.0), theirs.get(stage, 0.0)) for stage in STAGES if stage in mine or stage in theirs
    ]
    return sorted(found, key=lambda row: -abs(row[1] - row[2]))
