# SPDX-License-Identifier: Apache-2.0
"""Verdicts on worlds whose truth is known: a false one in at most 5 % of the draws, and mostly the true one."""

import pytest

from orchestrator.analysis.claims import NOT_REPRODUCED, REPRODUCED
from tests.unit.worlds import WORLDS, World, count

FEW, MANY = 20, 200
_MOST_OF_FEW = 4  # of 20: with a rate of one in 20, more false ones would occur in 0.3 % of cases


def check(world: World, draws: int, most: int) -> None:
    for claim, found in count(world, draws).items():
        true = world.truth[claim]
        reproduced, refuted = found.get(REPRODUCED, 0), found.get(NOT_REPRODUCED, 0)
        if true is not True:
            assert reproduced <= most, (claim, found)
        if true is not False:
            assert refuted <= most, (claim, found)
        if world.likely and true is not None:
            assert (reproduced if true else refuted) >= 0.5 * draws, (claim, found)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_a_few_draws_of_each_world(world: World) -> None:
    check(world, FEW, _MOST_OF_FEW)


@pytest.mark.full
@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_false_verdicts_occur_in_five_percent_at_most(world: World) -> None:
    check(world, MANY, MANY // 20)
