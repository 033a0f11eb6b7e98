# SPDX-License-Identifier: Apache-2.0
"""Searches in the lab, of a capacity that is known: a token bucket between the gateways. See benchmarks/search.py."""

from collections.abc import Iterator

import pytest

from benchmarks.known_capacity import LOSS, PDR_LOSS, KnownLink, holds
from orchestrator.progress import Silent
from orchestrator.search import GOALS
from orchestrator.spec import load_testbed
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.testbed.uml.schema import UmlTestbed

pytestmark = pytest.mark.lab

RATE_PPS = 8_000
LOAD_S = 5.0
SHORT_S = 3.0  # enough at the highest rate: the bucket holds a share of what passes in a load


@pytest.fixture(scope="module")
def link() -> Iterator[KnownLink]:
    spec = load_testbed("lab")
    assert isinstance(spec, UmlTestbed)
    with OpenUmlTestbed(spec, Silent()) as testbed:
        yield KnownLink(testbed)


def test_the_known_capacity_of_a_link_is_found(link: KnownLink) -> None:
    truth_pps = link.limit(RATE_PPS, SHORT_S)
    (found,), loads = link.search(truth_pps, SHORT_S, [GOALS["pdr"]], tries=1)
    assert holds(found, truth_pps / (1 - PDR_LOSS)), found
    assert loads < 12


@pytest.mark.full
@pytest.mark.parametrize("rate_pps", [2_000, 4_000, RATE_PPS])
def test_both_goals_are_found_at_three_rates(link: KnownLink, rate_pps: int) -> None:
    truth_pps = link.limit(rate_pps, LOAD_S)
    for found in link.search(truth_pps, LOAD_S)[0]:
        assert holds(found, truth_pps / (1 - found.goal.loss_ratio)), found


@pytest.mark.full
def test_a_lossy_link_has_no_no_drop_rate(link: KnownLink) -> None:
    truth_pps = link.limit(RATE_PPS, LOAD_S, LOSS)
    (ndr, pdr), _ = link.search(truth_pps, LOAD_S)
    assert (ndr.lower_pps, ndr.reason) == (None, "minimum")
    assert holds(pdr, truth_pps * (1 - LOSS) / (1 - PDR_LOSS)), pdr
