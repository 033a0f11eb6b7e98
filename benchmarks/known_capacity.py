# SPDX-License-Identifier: Apache-2.0
"""A device under test whose capacity is known: the link between the gateways behind a token bucket, without tunnels."""

import subprocess
from collections.abc import Sequence

from orchestrator.agent.network_messages import RoutesRequest
from orchestrator.measure import layout, requests
from orchestrator.measure.attempt import Attempt, Conditions, Outcome, Phases
from orchestrator.measure.roles import ask_roles, make_links
from orchestrator.measure.tunnels import shake_hands
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.search import GOALS, Goal, GoalBounds, Offered, SearchSpace, search_mlr
from orchestrator.spec import GATEWAYS, Cell
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.pktgen.loads import end_loads, offer
from orchestrator.tools.pktgen.traffic import PktgenTraffic

PACKET = 500  # size of an IP packet in bytes
FRAME = PACKET + 14  # bytes that the bucket counts, including the Ethernet header: tc-stab(8)
BUCKET = 0.002  # capacity of bucket and queue together, as a share of the packets that pass in a load
QUEUE_PACKETS = 4
LOSS = 0.001  # share of packets lost on the lossy link
PDR_LOSS = GOALS["pdr"].loss_ratio
WIDEST, NEAREST = 0.02, 0.01


def holds(found: GoalBounds, truth_pps: float) -> bool:
    """Return whether both bounds exist, are at most 2 % apart, and include the true rate within 1 %."""
    lower, upper = found.lower_pps, found.upper_pps
    if lower is None or upper is None:
        return False
    return lower <= truth_pps * (1 + NEAREST) and upper >= truth_pps * (1 - NEAREST) and upper / lower - 1 <= WIDEST


class KnownLink:
    """The baseline's path through the lab, on one virtual CPU, with a rate limit."""

    def __init__(self, testbed: OpenUmlTestbed) -> None:
        testbed.prepare(State(1))
        net = layout.Net(layout.SITE_TO_SITE)
        make_links(testbed, net, 1)
        self._testbed = testbed
        traffic = PktgenTraffic(tool="pktgen", rate="max", warm_up="0s", duration="1s")
        levels = Cell(NO_VARIANT, 1, 1, PACKET)
        trial = Trial("0" * 16, "baseline", 1, 0, 1, levels, 1, traffic, layout.SITE_TO_SITE)
        self.attempt = Attempt(testbed, trial, Conditions(), Outcome(), Phases(), lambda: None)
        ask_roles(testbed, {role: requests.plain_routes(net, role, 1) for role in GATEWAYS}, RoutesRequest)
        shake_hands(testbed, trial.topology, 1)

    def limit(self, rate_pps: int, load_s: float, loss: float = 0.0) -> float:
        """Limit gateway a to ``rate_pps``, after a random loss of the share ``loss``, and return the exact rate."""
        held = int(BUCKET * rate_pps * load_s)
        bucket = f"tbf rate {rate_pps * FRAME * 8}bit burst {(held - QUEUE_PACKETS) * FRAME} "
        bucket += f"limit {QUEUE_PACKETS * FRAME}"
        self._tc("del", GATEWAYS[0], "wan0", "", check=False)
        self._tc("add", GATEWAYS[0], "wan0", bucket)
        self._tc("del", GATEWAYS[1], "lan0", "", check=False)
        if loss:
            self._tc("add", GATEWAYS[1], "lan0", f"netem loss {loss:.4%} limit 100000")
        return float(rate_pps)

    def _tc(self, verb: str, role: str, device: str, what: str, check: bool = True) -> None:
        script = f"ip netns exec {role} tc qdisc {verb} dev {device} root {what}"
        command = ["ssh", *self._testbed.lab.ssh_options(), f"root@{self._testbed.hosts[0][0]}", script]
        subprocess.run(command, check=check, capture_output=True, stdin=subprocess.DEVNULL, timeout=60)

    def search(
        self, truth_pps: float, load_s: float, goals: Sequence[Goal] = tuple(GOALS.values()), tries: int = 3
    ) -> tuple[list[GoalBounds], int]:
        """Search from a tenth to twice the true rate, and return the bounds and the number of loads."""
        loads = 0

        def measure(rate_pps: float, duration_s: float) -> Offered:
            nonlocal loads
            loads += 1
            load = offer(self.attempt, rate_pps, duration_s)
            assert load.unexplained <= 0, load
            return Offered(load.sent, load.sent - load.received, load.offered_pps)

        space = SearchSpace(truth_pps / 10, truth_pps * 2, 0.01, load_s, 60 * load_s, tries)
        try:
            return search_mlr(measure, goals, space), loads
        finally:
            end_loads(self.attempt)
