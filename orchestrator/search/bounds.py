# SPDX-License-Identifier: Apache-2.0
"""From loads to bounds."""

from collections.abc import Sequence

from orchestrator.search.goals import Found, Goal, Sample, Space, Trials


def known_bounds(samples: Sequence[Sample], goal: Goal) -> tuple[float | None, float | None]:
    """What loads of one try each say about a goal, as rates that were asked for: (lower, upper), None for unknown.

    The upper bound is the lowest load that misses the goal, the lower one the highest below it that meets it: loads
    above a load that missed it count for nothing, even where they were lucky. RFC 2544, section 26.1.
    """
    missed = [s.rate_pps for s in samples if not s.meets(goal)]
    upper = min(missed, default=None)
    met = [s.rate_pps for s in samples if s.meets(goal) and (upper is None or s.rate_pps < upper)]
    return max(met, default=None), upper


def found(goal: Goal, lower: float | None, upper: float | None, trials: Trials, space: Space, in_time: bool) -> Found:
    """Bounds that were asked for as what was offered, with the reason that they are as they are."""
    if upper is not None and lower is None and upper <= space.min_pps * (1 + space.width):
        reason = "minimum"
    elif lower is not None and upper is None and lower >= space.max_pps / (1 + space.width):
        reason = "maximum"
    elif not in_time and (lower is None or upper is None or upper / lower - 1 > space.width * (1 + 1e-9)):
        reason = "time"
    elif any(sample.short and sample.rate_pps == upper for sample in trials.samples):
        reason = "generator"
    else:
        reason = "narrow"
    return Found(
        goal,
        None if lower is None else trials.offered_pps(lower),
        None if upper is None else trials.offered_pps(upper),
        reason,
    )
