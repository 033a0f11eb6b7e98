# SPDX-License-Identifier: Apache-2.0
"""The agent delays, loses, reorders and limits what crosses a link, in a network namespace with the real kernel."""

from typing import Any

import pytest

from orchestrator.measure.shaping import wanted_of
from orchestrator.spec.links import Shape
from tests.unit.namespaces import on_a_host

ROLES = """
ip netns add near; ip netns add far; mkdir -p /run/orch/sys
ip link add wan0 netns near type veth peer name wan0 netns far
ip -n near addr add 198.51.100.1/24 dev wan0; ip -n far addr add 198.51.100.2/24 dev wan0
ip -n near link set wan0 up; ip -n far link set wan0 up
"""
LIST = "tc -n near qdisc show dev wan0"


def asked(**shape: Any) -> dict[str, Any]:
    wanted = wanted_of(Shape(**shape))
    return {"op": "shape_links", "roles": {"near": wanted, "far": wanted}}


def test_the_agent_shapes_a_link_reads_it_back_and_leaves_it_as_it_was() -> None:
    undo = {"op": "unshape_links", "roles": {"near": {"device": "wan0"}, "far": {"device": "wan0"}}}
    before, shaped, slow, reshaped, fast, undone, after, again = on_a_host(
        ROLES,
        LIST,
        asked(delay_s=0.04, loss=0.0025, reorder=0.01, rate_bps=3e8),
        LIST,
        asked(rate_bps=8e10),
        LIST,
        undo,
        LIST,
        undo,
    )[1:]
    if "sch_netem" in str(shaped.get("error")):
        pytest.skip("This kernel has no netem.")
    assert shaped["ok"], shaped
    for part in ("netem", "delay 40ms", "loss 0.25%", "reorder 1%", "rate 300Mbit"):
        assert part in slow
    assert reshaped["ok"], reshaped
    assert "rate 80Gbit" in fast
    assert "delay" not in fast
    assert undone["ok"], undone
    assert again["ok"], again
    assert after == before
