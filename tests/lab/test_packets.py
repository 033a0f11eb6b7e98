# SPDX-License-Identifier: Apache-2.0
"""Loads of packets on a real lab machine: a loss is found where it was made, and the generator never outlives us."""

import contextlib
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from orchestrator.agent.network_messages import RoutesRequest
from orchestrator.agent.packet_messages import PktgenDevice, PktgenRequest
from orchestrator.agent.traffic_messages import MeasureRequest, ServeRequest
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout, requests
from orchestrator.measure.attempt import Attempt, Conditions, Outcome, Phases
from orchestrator.measure.load import Load
from orchestrator.measure.roles import make_links
from orchestrator.measure.tunnels import make_tunnels, remove_tunnels, shake_hands
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.progress import Silent
from orchestrator.spec import Cell, load_testbed
from orchestrator.systems import system_of
from orchestrator.testbed.protocol import State
from orchestrator.testbed.remote import AgentFailure
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.pktgen.loads import end_loads, offer
from orchestrator.tools.pktgen.traffic import PktgenTraffic
from tests.lab.support import wait_until

pytestmark = pytest.mark.lab

NET = layout.Net(layout.SITE_TO_SITE)
TUNNELS, FLOWS = 3, 8
FIRST = 1024  # the source port of a tunnel's first flow
EACH = 250  # packets of a flow in a load
RATE, SECONDS = TUNNELS * FLOWS * EACH, 1.0
# Where packets are dropped, by role, chain and what they are: those of one flow of tunnel 1, or tunnel 2 or 3 whole.
INNER = "meta l4proto udp ip daddr 10.128.1.0/24 udp sport"
DROPS = [
    ("gateway-a", "prerouting", f"{INNER} {FIRST}", EACH),
    ("gateway-a", "forward", f"{INNER} {FIRST + 1}", EACH),
    ("gateway-a", "postrouting", f"{INNER} {FIRST + 2}", EACH),
    ("gateway-a", "output", f"udp dport {requests.port('gateway-b', 2)} udp length > 60", FLOWS * EACH),
    ("gateway-b", "input", f"udp dport {requests.port('gateway-b', 3)} udp length > 60", FLOWS * EACH),
    ("gateway-b", "prerouting", f"{INNER} {FIRST + 3}", EACH),
    ("gateway-b", "forward", f"{INNER} {FIRST + 4}", EACH),
    ("gateway-b", "postrouting", f"{INNER} {FIRST + 5}", EACH),
    ("server", "prerouting", f"{INNER} {FIRST + 6}", EACH),
]


@pytest.fixture(scope="module")
def testbed() -> Iterator[OpenUmlTestbed]:
    with OpenUmlTestbed(load_testbed("lab"), Silent()) as entered:
        entered.prepare(State(1))
        make_links(entered, NET, TUNNELS)
        yield entered


@contextlib.contextmanager
def attempt(testbed: OpenUmlTestbed, variant: str) -> Iterator[Attempt]:
    """An attempt whose tunnels are ready."""
    trial = Trial(
        trial_id="0" * 16,
        kind="measure",
        block=1,
        round=1,
        order=1,
        levels=Cell(variant, 1, TUNNELS, 128),
        repetition=1,
        traffic=PktgenTraffic(tool="pktgen", rate="1 kpps", flows=FLOWS, duration="1s"),
        topology=layout.SITE_TO_SITE,
    )
    wanted = load_variants().get(variant)
    if wanted is not None:
        system_of(wanted).load(testbed, wanted)
        make_tunnels(testbed, NET, TUNNELS, wanted)
    else:
        agent = testbed.agents["lab1"]
        gateways = ("gateway-a", "gateway-b")
        agent.request(RoutesRequest({r: requests.plain_routes(NET, r, TUNNELS) for r in gateways}))
    shake_hands(testbed, layout.SITE_TO_SITE, TUNNELS, 128)
    made = Attempt(testbed, trial, Conditions(), Outcome(), Phases(), lambda: None, variant=wanted)
    try:
        yield made
    finally:
        end_loads(made)
        remove_tunnels(testbed, TUNNELS)


def in_role(testbed: OpenUmlTestbed, role: str, script: str, given: str = "") -> str:
    command = ["ssh", *testbed.lab.ssh_options(), "root@lab1", f"ip netns exec {role} {script}"]
    return subprocess.run(command, input=given, capture_output=True, text=True, check=True, timeout=30).stdout


@contextlib.contextmanager
def dropping(testbed: OpenUmlTestbed) -> Iterator[None]:
    roles = {role: [drop for drop in DROPS if drop[0] == role] for role, *_ in DROPS}
    for role, drops in roles.items():
        lines = ["add table ip hop"]
        for _, hook, what, _ in drops:
            lines.append(f"add chain ip hop {hook} {{ type filter hook {hook} priority -300 ; }}")
            lines.append(f'add rule ip hop {hook} {what} counter drop comment "{hook}"')
        in_role(testbed, role, "nft -f -", "".join(line + "\n" for line in lines))
    try:
        yield
    finally:
        for role in roles:
            in_role(testbed, role, "nft delete table ip hop")


def all_explained(load: Load) -> None:
    assert load.unexplained == 0, load
    assert load.sent == RATE
    assert load.received == load.sent - sum(load.drops.values())
    assert load.received == sum(received for _, received in load.tunnels.values())


@pytest.mark.parametrize("variant", ["vanilla", pytest.param("inline", marks=pytest.mark.full)])
def test_a_known_number_of_drops_at_each_hop_is_found_at_its_hop(testbed: OpenUmlTestbed, variant: str) -> None:
    with attempt(testbed, variant) as made, dropping(testbed):
        load = offer(made, RATE, SECONDS)
    assert load.drops == {f"{role}/nftables {hook}": packets for role, hook, _, packets in DROPS}
    all_explained(load)
    assert load.tunnels == {1: (FLOWS * EACH, EACH), 2: (FLOWS * EACH, 0), 3: (FLOWS * EACH, 0)}
    assert load.received_bytes == 128 * EACH


@pytest.mark.full
@pytest.mark.parametrize("variant", ["vanilla", NO_VARIANT])
@pytest.mark.parametrize("queue", ["tbf rate 4mbit burst 4kb limit 8kb", "netem loss 10%"])
def test_what_a_queue_drops_is_found_there(testbed: OpenUmlTestbed, variant: str, queue: str) -> None:
    with attempt(testbed, variant) as made:
        in_role(testbed, "gateway-a", f"tc qdisc add dev wan0 root {queue}")
        try:
            load = offer(made, RATE, SECONDS)
        finally:
            in_role(testbed, "gateway-a", "tc qdisc delete dev wan0 root")
    assert set(load.drops) == {f"gateway-a/wan0 queue {queue.split()[0]}"}
    assert load.loss_ratio > 0.05
    all_explained(load)


@pytest.mark.full
def test_an_overload_of_a_tunnel_has_no_loss_that_is_unexplained(testbed: OpenUmlTestbed) -> None:
    with attempt(testbed, "vanilla") as made:
        load = offer(made, None, SECONDS)
    assert load.unexplained == 0, load
    assert load.offered_pps > 20_000
    assert 0.5 < load.seconds < 1.5


@pytest.mark.full
def test_the_generator_refuses_what_it_cannot_do_and_says_what_to_do(testbed: OpenUmlTestbed) -> None:
    agent = testbed.agents["lab1"]
    with attempt(testbed, "vanilla"):
        asked = PktgenRequest("client", "lan0", "198.18.1.1", [[64, 1]], clone=0, burst=1, devices=[])
        with pytest.raises(AgentFailure, match=r"no Ethernet header .* site-to-site"):
            agent.request(replace(asked, role="gateway-a", device="wg1"))
        with pytest.raises(AgentFailure, match="no interface eth7"):
            agent.request(replace(asked, device="eth7"))
        device = PktgenDevice(name="lan0@0", cpu=0, source="10.64.1.1", destination="10.128.1.1", ports=[1024, 1])
        for more in (replace(asked, burst=4), replace(asked, clone=4)):
            with pytest.raises(AgentFailure, match="veth does"):
                agent.request(replace(more, devices=[device]))
        with pytest.raises(AgentFailure, match="pktgen has no kpktgend_99"):
            agent.request(replace(asked, devices=[{**device, "cpu": 99}]))
        in_role(testbed, "gateway-b", "ip link set lan0 mtu 1000")
        try:
            with pytest.raises(AgentFailure, match="raise the MTU along the path"):
                shake_hands(testbed, layout.SITE_TO_SITE, TUNNELS, 1420)
        finally:
            in_role(testbed, "gateway-b", "ip link set lan0 mtu 1500")


@pytest.mark.full
def test_without_its_controller_the_generator_stops(testbed: OpenUmlTestbed) -> None:
    """Last: the agent is gone afterwards."""
    with attempt(testbed, "vanilla") as made:
        offer(made, RATE, SECONDS)
    agent = testbed.agents["lab1"]
    loads = {f"lan0@{i}": [0, 1] for i in range(TUNNELS)}
    agent.request(ServeRequest([], 5.0))
    agent.ask(MeasureRequest(None, 0.0, duration_s=60.0, patience_s=60.0, sample_roles=["client"], pktgen=loads))
    time.sleep(1.0)
    threading.Thread(target=agent.close, daemon=True).start()

    command = ["ssh", *testbed.lab.ssh_options(), "root@lab1", "test ! -d /sys/module/pktgen && echo gone"]

    def is_gone() -> bool:
        return subprocess.run(command, capture_output=True, check=False, timeout=30).stdout == b"gone\n"

    wait_until(is_gone, 20, "pktgen has stopped, and its module is gone")
