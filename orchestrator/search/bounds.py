# SPDX-License-Identifier: Apache-2.0
"""Bounds of a packet rate, derived from the loads that were offered."""

from collections.abc import Sequence

from orchestrator.search.goals import Goal, GoalBounds, LoadSample, SearchSpace, Trials


def known_bounds(samples: Sequence[LoadSample], goal: Goal) -> tuple[float | None, float | None]:
    """Return the (lower, upper) bounds that loads of one try each give for a goal, as intended rates; None if unknown.

    The upper bound is the lowest load that misses the goal; the lower bound is the highest load below it that meets the
    goal. Loads above one that missed the goal do not count, even if they met it by luck. RFC 2544, section 26.1.
    """
    missed = [s.rate_pps for s in samples if not s.meets(goal)]
    upper = min(missed, default=None)
    met = [s.rate_pps for s in samples if s.meets(goal) and (upper is None or s.rate_pps < upper)]
    return max(met, default=None), upper


def found(
    goal: Goal, lower: float | None, upper: float | None, trials: Trials, space: SearchSpace, in_time: bool
) -> GoalBounds:
    """Return a goal's result from the bounds of intended rates.

    It has the rates as actually offered, and the reason why the search ended there.
    """
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
    return GoalBounds(goal, lower_pps, upper_pps, reason)


def _missed(goal: Goal, upper: float, above_pps: float, samples: Sequence[LoadSample], width: float) -> float | None:
    """Return the lowest offered rate above ``above_pps`` that lost too much, or None if there is none.

    Only loads intended at ``upper`` or more are considered. If the generator paused, it sent faster between its pauses
    than on average and may have lost packets because of that, so loads that were sent about as intended take
    precedence.
    """
    lost = [s for s in samples if s.rate_pps >= upper and s.loss_ratio > goal.loss_ratio]
    rates = [(not s.kept(width), s.offered.offered_pps) for s in lost if s.offered.offered_pps > above_pps]
    return min(rates)[1] if rates else None
