# SPDX-License-Identifier: Apache-2.0
"""The tool and the system of docs/extending.md, and settings as factors, on a real lab machine."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent.host_messages import ReadSettingsRequest
from orchestrator.kernel.variants import variant
from orchestrator.measure import layout
from orchestrator.measure.attempt import Conditions, Outcome
from orchestrator.measure.roles import make_links
from orchestrator.measure.run_attempt import run_attempt
from orchestrator.paths import CHECKOUT
from orchestrator.plan import make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.progress import Silent
from orchestrator.run.work import Prepare
from orchestrator.spec import LIMIT_NAMES, Limits, load_experiment, load_testbed
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.provider import OpenUmlTestbed

pytestmark = pytest.mark.lab

HELD = {"rekey", "kernel_log", "counters"}  # these must hold however busy this computer is
# Hosts are sampled up to 0.4 s late on a computer that others keep busy, which must be little of the window.
LONG = "traffic.duration=6s"


@pytest.fixture(scope="module")
def testbed() -> Iterator[OpenUmlTestbed]:
    with OpenUmlTestbed(load_testbed("lab"), Silent()) as entered:
        entered.prepare(State(1))
        yield entered


def attempted(testbed: OpenUmlTestbed, folder: Path, spec: str, name: str, *overrides: str) -> Outcome:
    """A trial of a spec of the page, with two tunnels; ``overrides``: as of --set."""
    page = (CHECKOUT / "docs" / "extending.md").read_text()
    for text in re.findall(r"```(?:yaml|python)\n(# \w+\.(?:yaml|py)\n.*?)```", page, re.DOTALL):
        (folder / text.splitlines()[0].removeprefix("# ")).write_text(text)
    experiment = load_experiment(folder / spec, overrides=overrides)
    plan = make_plan(experiment, lab_capabilities(1, experiment.factors.variant))
    trial = next(t for t in plan.iterate() if t.levels.variant == name and t.levels.tunnels == 2)
    report_only: Any = tuple(name for name in LIMIT_NAMES if name not in HELD)
    make_links(testbed, layout.net_of(trial), 2)
    conditions = Conditions(Limits(report_only=report_only), probes=experiment.probes)
    chosen = variant(name, experiment.own_variants.described)
    return run_attempt(testbed, trial, chosen, lambda: None, conditions)


def test_a_tool_of_ones_own_counts_what_goes_through_the_tunnels(testbed: OpenUmlTestbed, tmp_path: Path) -> None:
    outcome = attempted(testbed, tmp_path, "pingpong.yaml", "inline")
    assert outcome.status == "ok", outcome.reasons
    rounds = outcome.measurements["rounds"]
    assert len(rounds) == 2
    assert min(rounds) > 0
    assert outcome.measurements["value"] == sum(rounds) / 2
    assert outcome.measurements["quantity"]["unit"] == "round trips/s"
    for tunnel, count in enumerate(rounds, start=1):
        packets = outcome.probes["interfaces"]["gateway-b"][f"wg{tunnel}"]["rx_packets"]
        assert packets > count / 2


def test_a_system_of_ones_own_carries_traffic_and_leaves_nothing(testbed: OpenUmlTestbed, tmp_path: Path) -> None:
    for _ in range(2):  # the second finds nothing of the first in its way
        outcome = attempted(testbed, tmp_path, "unencrypted.yaml", "gre", LONG)
        assert outcome.status == "ok", outcome.reasons
        counted = outcome.probes["interfaces"]["gateway-b"]
        devices = [counted[f"gre{tunnel}"] for tunnel in (1, 2)]
        assert min(device["rx_packets"] for device in devices) > 100
        # What came over the link came through the tunnels: 24 bytes less a packet, or a batch that passes as one.
        assert sum(device["rx_bytes"] for device in devices) == pytest.approx(counted["wan0"]["rx_bytes"], rel=0.05)
        assert outcome.crypto is None
        assert outcome.variant_build is None


def test_probes_run_beside_the_traffic_and_leave_nothing(testbed: OpenUmlTestbed, tmp_path: Path) -> None:
    outcome = attempted(testbed, tmp_path, "beside.yaml", "inline", LONG)
    assert outcome.status == "ok", outcome.reasons
    found = {(row["probe"], row["role"]): row["value"] for row in outcome.probes["own"]}
    assert set(found) == {("napi", ""), ("slab", "gateway-b"), ("sockets", "client"), ("sockets", "server")}
    assert found["napi", ""] > 10
    assert found["slab", "gateway-b"] > 2**20
    assert found["sockets", "client"] is None
    assert "TCP: inuse" in outcome.raw["probe-sockets-server.out"]
    ((host, agent),) = testbed.agents.items()
    count = "/sys/kernel/tracing/instances/orch-count-0/tracing_on"
    left = agent.request(ReadSettingsRequest([count], may_refuse=[count]))
    assert left["values"] == {}, host


def test_settings_of_roles_are_in_their_namespaces_or_on_the_host(testbed: OpenUmlTestbed) -> None:
    wanted = {"gateway-a": {"net.core.netdev_budget": "600"}, "client": {"net.ipv4.tcp_sack": "0"}}
    facts = Prepare(1, layout.Net(layout.SITE_TO_SITE), 1, None, wanted).carry_out(testbed, lambda text: None)
    ((host, state),) = facts.items()
    assert state["varied"] == {
        "roles": {"client": {"net.ipv4.tcp_sack": "0"}},
        "host": {"net.core.netdev_budget": "600"},
    }
    values = testbed.agents[host].request(ReadSettingsRequest(["net.core.netdev_budget", "net.ipv4.tcp_sack"]))
    assert values["values"] == {"net.core.netdev_budget": "600", "net.ipv4.tcp_sack": "1"}
