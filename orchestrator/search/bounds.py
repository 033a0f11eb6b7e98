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
    """What to say of bounds that were asked for: as they were offered, with the reason that they are as they are."""
    lower_pps = None if lower is None else trials.offered_pps(lower)
    upper_pps = None if upper is None else _missed(goal, upper, lower_pps or 0.0, trials.samples, space.width)
    known = lower_pps is not None and upper_pps is not None
    narrow = known and (upper_pps or 0.0) / (lower_pps or 1.0) - 1 <= space.width * (1 + 1e-9)
    if upper is not None and lower is None and upper <= space.min_pps * (1 + space.width):
        reason = "minimum"
    elif lower is not None and upper is None and lower >= space.max_pps / (1 + space.width):
        reason = "maximum"
    elif not in_time and not narrow:
        reason = "time"
    elif any(sample.short and sample.rate_pps == upper for sample in trials.samples):
        reason = "generator"
    else:
        reason = "narrow" if narrow else "uneven"
    return Found(goal, lower_pps, upper_pps, reason)


def _missed(goal: Goal, upper: float, above_pps: float, samples: Sequence[Sample], width: float) -> float | None:
    """The lowest rate above ``above_pps`` at which a load was offered that lost too much, of those asked for at
    ``upper`` or more.

    Where the generator paused, a load went faster between its pauses than on average, and may have lost packets for
    that. So loads that were sent about as they were asked for come first.
    """
    lost = [s for s in samples if s.rate_pps >= upper and s.loss_ratio > goal.loss_ratio]
    rates = [(not s.kept(width), s.offered.offered_pps) for s in lost if s.offered.offered_pps > above_pps]
    return min(rates)[1] if rates else None
