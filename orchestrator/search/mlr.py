# SPDX-License-Identifier: Apache-2.0
"""MLRsearch: all goals at once, short loads first, and the majority of its tries decides about a load.

The algorithm is that of the CSIT project's package MLRsearch, described in draft-ietf-bmwg-mlrsearch ("Multiple Loss
Ratio Search"). It starts at the highest load and continues at the rate that came through, so it needs fewer loads than
halving, and a single unlucky load does not decide.
"""

import contextlib
import time
from collections.abc import Callable, Sequence

from MLRsearch import (
    AbstractMeasurer,
    Config,
    MeasurementResult,
    MultipleLossRatioSearch,
    SearchGoal,
)

from orchestrator.search.bounds import found
from orchestrator.search.goals import Goal, GoalBounds, Measure, OutOfTime, Progress, SearchSpace, Trials

SHORTEST_S = 1.0  # of the first loads, which only narrow the range
_COARSER = 2  # preceding searches with wider intervals than the goal's own
_MAJORITY = 0.5
_NEVER_S = 1e9  # disables the package's own limit, which raises instead of returning what is known


def search_mlr(
    measure: Measure,
    goals: Sequence[Goal],
    space: SearchSpace,
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> list[GoalBounds]:
    """Return the bounds of each goal, in their order.

    The time limit may be exceeded only by what a load takes beyond its duration.
    """
    trials = Trials(measure, space, progress, clock)
    wanted = {goal: _search_goal(goal, space) for goal in goals}
    config = Config()
    config.goals = list(wanted.values())
    config.max_load = max(space.max_pps, config.min_load * 2)
    config.min_load = space.min_pps
    config.max_load = space.max_pps
    config.search_duration_max = _NEVER_S
    config.warmup_duration = None
    search = MultipleLossRatioSearch(config)
    in_time = False
    with contextlib.suppress(OutOfTime):
        search.search(_Measurer(trials), debug=lambda _: None)
        in_time = True
    results = []
    for goal in goals:
        bounds = search.database.get_relevant_bounds(search.scaling.goal_to_final_target[wanted[goal]])
        lower, upper = (None if bound is None else float(bound) for bound in (bounds.clo, bounds.chi))
        results.append(found(goal, lower, upper, trials, space, in_time))
    return results


def _search_goal(goal: Goal, space: SearchSpace) -> SearchGoal:
    return SearchGoal(
        loss_ratio=goal.loss_ratio,
        exceed_ratio=_MAJORITY if space.tries > 1 else 0.0,
        relative_width=space.closest / (1 + space.closest),  # the package's is (upper - lower) / upper
        initial_trial_duration=min(SHORTEST_S, space.duration_s),
        final_trial_duration=space.final_s,
        duration_sum=space.final_s * space.tries,
        preceding_targets=_COARSER,
        fail_fast=False,
    )


class _Measurer(AbstractMeasurer):  # type: ignore[misc]
    """Offers loads on behalf of the MLRsearch package."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials

    def measure(self, intended_duration: float, intended_load: float) -> MeasurementResult:
        sample = self._trials.offer(intended_load, intended_duration)
        # Where the generator fell short of the rate, what it did not send counts as lost.
        intended = round(intended_load * intended_duration) if sample.short else sample.offered.sent
        return MeasurementResult(
            intended_duration=intended_duration,
            intended_load=intended_load,
            offered_count=sample.offered.sent,
            loss_count=sample.offered.lost,
            intended_count=max(intended, sample.offered.sent),
        )
