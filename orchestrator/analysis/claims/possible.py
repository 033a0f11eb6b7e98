# SPDX-License-Identifier: Apache-2.0
"""The verdicts on a claim that a plan can lead to, before anything is measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from orchestrator.analysis.claims.places import judged, places
from orchestrator.analysis.claims.standing import NOT_AT_ALL, Facts, standing_of
from orchestrator.analysis.claims.verdicts import NOT_TESTABLE, statuses_of
from orchestrator.plan import Plan
from orchestrator.spec import Cell, Claim, ClaimTest
from orchestrator.stats import FEWEST_BOOTS, FEWEST_CORE_COUNTS, FEWEST_FOR_INTERVAL

_EFFICIENCY = "efficiency"


@dataclass(frozen=True, slots=True)
class PossibleVerdicts:
    """The possible verdicts on a claim. ``against``: the reasons why the plan can decide nothing, or empty."""

    verdicts: tuple[str, ...]
    against: tuple[str, ...]

    @property
    def testable(self) -> bool:
        """Return whether a run of the plan can decide the claim."""
        return not self.against


def possible(claim: Claim, plan: Plan, facts: Facts, *, restarts: bool = True) -> PossibleVerdicts:
    """Return the verdicts on ``claim`` that a run of ``plan`` can give on a testbed with ``facts``, if all trials are
    ok.

    ``restarts``: whether the testbed restarts its hosts between blocks; otherwise all blocks share a boot.
    """
    standing = standing_of(facts)
    against = [standing.because] if standing.may == NOT_AT_ALL else []
    cells = sorted({trial.levels for trial in plan.iterate() if trial.kind == "measure"}, key=str)
    for test in claim.tests:
        against += [f"{test.name}: {reason}" for reason in _lacks(claim, test, cells, plan, restarts)]
    verdicts = [verdict for verdict in statuses_of(facts.clock) if verdict.startswith(NOT_TESTABLE) == bool(against)]
    return PossibleVerdicts(tuple(verdicts), tuple(against))


def _lacks(claim: Claim, test: ClaimTest, cells: Sequence[Cell], plan: Plan, restarts: bool) -> Iterator[str]:
    """Yield what a plan lacks for one test of a claim; the rules are those of `judging`."""
    scope = claim.scope_of(test)
    options = places(test, scope, cells)
    place = judged(options)
    if place is None:
        yield "the plan lacks the cells that it needs"
        return
    if not place.in_scope:
        many = f"{place.cores} core{'s' * (place.cores != 1)}"
        yield f"it is judged at {scope}, and the nearest that is planned has {many}"
    boots = plan.repetitions.boots
    if test.statistic == _EFFICIENCY:
        counts = len({1, *(option.cores for option in options)})
        if counts < FEWEST_CORE_COUNTS:
            yield f"a scaling claim needs {FEWEST_CORE_COUNTS} core counts, and the plan has {counts}"
        needs = f"a scaling claim needs {FEWEST_BOOTS} boots of each core count"
        if boots < FEWEST_BOOTS:
            yield f"{needs}, and the plan has {boots}"
        elif not restarts:
            yield f"{needs}, and the testbed does not restart its hosts (`restart: true` in its file allows it)"
    elif (boots == 1 or not restarts) and (rounds := boots * _most_rounds(plan)) < FEWEST_FOR_INTERVAL:
        yield f"a 95 % interval within one boot needs {FEWEST_FOR_INTERVAL} rounds, and the plan has {rounds}"


def _most_rounds(plan: Plan) -> int:
    return max((trial.round for block in plan.blocks for trial in block.trials), default=0)
