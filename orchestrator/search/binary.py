# SPDX-License-Identifier: Apache-2.0
"""Binary search: each load is offered once, and the interval is halved. Source: RFC 2544, sections 24 and 26.1.

It is halved on a logarithmic scale, because the width that ends the search is relative. If the deciding loads last
longer than the others, the lower bound is offered once more for the longer time. Loads offered for one goal also count
for the next.
"""

import contextlib
import math
import time
from collections.abc import Callable, Sequence

from orchestrator.search.bounds import found, known_bounds
from orchestrator.search.goals import Goal, GoalBounds, Measure, OutOfTime, Progress, SearchSpace, Trials


def search_binary(
    measure: Measure,
    goals: Sequence[Goal],
    space: SearchSpace,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[GoalBounds]:
    """Return the bounds of each goal, in their order.

    The time limit may be exceeded only by what a load takes beyond its duration. ``space.tries`` is not used: one load
    per rate decides.
    """
    trials = Trials(measure, space, progress, clock)
    in_time = False
    with contextlib.suppress(OutOfTime):
        trials.offer(space.max_pps, space.duration_s)
        for goal in goals:
            _halve(goal, trials, space)
        in_time = True
    return [found(goal, *known_bounds(trials.samples, goal), trials, space, in_time) for goal in goals]


def _halve(goal: Goal, trials: Trials, space: SearchSpace) -> None:
    while True:
        lower, upper = known_bounds(trials.samples, goal)
        if lower is None:
            if upper is None or upper <= space.min_pps:
                return
            trials.offer(space.min_pps, space.duration_s)
        elif upper is not None and upper / lower - 1 > space.closest:
            trials.offer(math.sqrt(lower * upper), space.duration_s)
        elif not _is_final(lower, trials, space):
            trials.offer(lower, space.final_s)  # a load that misses the goal now is an upper bound
        else:
            return


def _is_final(rate_pps: float, trials: Trials, space: SearchSpace) -> bool:
    """Return True if a load at this rate was offered for the duration of a deciding load (RFC 2544, section 24)."""
    return any(one.rate_pps == rate_pps and one.duration_s >= space.final_s for one in trials.samples)
