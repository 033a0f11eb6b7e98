# SPDX-License-Identifier: Apache-2.0
"""The agent on a real lab machine: what it refuses, and that it leaves nothing running."""

import contextlib
import itertools
import json
import math
import os
import shlex
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.agent.host_messages import BreakLeaseRequest, LeaseRequest, VariantRequest
from orchestrator.agent.network_messages import HandshakesRequest, PeersRequest, RemoveTunnelsRequest, TunnelsRequest
from orchestrator.agent.survey_messages import HelloRequest
from orchestrator.agent.traffic import QUIET_S
from orchestrator.agent.traffic_messages import Server, ServeRequest
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout, requests
from orchestrator.measure import tunnels as tunnels_of_trials
from orchestrator.measure.attempt import Conditions, Outcome
from orchestrator.measure.roles import make_links
from orchestrator.measure.run_attempt import run_attempt
from orchestrator.measure.tunnels import make_tunnels, peers_now, remove_tunnels, shake_hands
from orchestrator.plan import Trial
from orchestrator.progress import Silent
from orchestrator.spec import GATEWAYS, Cell, Limits, load_testbed
from orchestrator.systems import system_of
from orchestrator.testbed.login import HostLost
from orchestrator.testbed.protocol import ModuleFile, State
from orchestrator.testbed.remote import Agent, AgentFailure
from orchestrator.testbed.settings import SettingsJournal, apply, put_back
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.iperf3 import pairs as iperf3
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.lab.support import short_and_full, wait_until

pytestmark = pytest.mark.lab

NET = layout.Net(layout.SITE_TO_SITE)

TRIAL = Trial(
    trial_id="0" * 16,
    kind="measure",
    block=1,
    round=1,
    order=1,
    levels=Cell(variant="vanilla", cores=1, tunnels=1),
    repetition=1,
    traffic=Iperf3Traffic(warm_up="1s", duration="1s"),
    topology=layout.SITE_TO_SITE,
)


SERVERS = iperf3.servers("server", iperf3.pairs(2, TRIAL.traffic))
# What else this computer does is not what these tests are about, and it may be busy.
BUSY = ("headroom", "clock_skew", "competing_load", "steal", "duration", "window", "counters", "variation")
BESIDE_OTHERS = Conditions(Limits(report_only=BUSY))


def attempted(testbed: OpenUmlTestbed, trial: Trial) -> Outcome:
    return run_attempt(testbed, trial, load_variants()[trial.levels.variant], lambda: None, BESIDE_OTHERS)


@pytest.fixture(scope="module")
def entered() -> Iterator[OpenUmlTestbed]:
    with OpenUmlTestbed(load_testbed("lab"), Silent()) as testbed:
        yield testbed


@pytest.fixture
def testbed(entered: OpenUmlTestbed, request: pytest.FixtureRequest) -> Iterator[OpenUmlTestbed]:
    """The machine with fresh links. It is booted anew only where a test ended its agent, or failed."""
    try:
        entered.agents["lab1"].request(HelloRequest())
    except (KeyError, HostLost):
        entered.prepare(State(1))
    make_links(entered, NET, 2)
    failed = request.session.testsfailed
    yield entered
    if request.session.testsfailed > failed:
        entered.agents["lab1"].close()


def in_the_machine(testbed: OpenUmlTestbed, script: str) -> str:
    command = ["ssh", *testbed.lab.ssh_options(), f"root@{testbed.hosts[0][0]}", script]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL).stdout


@contextlib.contextmanager
def during_traffic(testbed: OpenUmlTestbed, script: str) -> Iterator[None]:
    """Run a script in the machine as soon as there is traffic. It logs in before, which takes long beside traffic."""
    waiting = "until pgrep -f 'iperf3 --clien[t]'; do sleep 0.05; done; "
    command = ["ssh", *testbed.lab.ssh_options(), f"root@{testbed.hosts[0][0]}", f"echo in; {waiting} {script}"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        yield
        process.kill()


def test_a_machine_restarts_in_under_two_seconds_or_so_and_with_the_cores_that_were_asked_for(
    entered: OpenUmlTestbed,
) -> None:
    entered.prepare(State(1))
    facts = entered.prepare(State(1))["lab1"]
    assert facts["cpus_online"] == 1
    assert facts["kernel_release"].endswith("-orch-lab")
    assert "napi_poll" in in_the_machine(entered, "ls /sys/kernel/tracing/events/napi")


def test_more_virtual_cpus_than_cores_are_refused_with_the_reason(entered: OpenUmlTestbed) -> None:
    with pytest.raises(Exception, match="4096 virtual CPUs were requested, but this computer has"):
        entered.prepare(State(4096))


def test_a_traced_attempt_says_where_each_tunnel_was_polled_and_leaves_no_trace(testbed: OpenUmlTestbed) -> None:
    traced = TRIAL._replace(kind="trace", levels=Cell(variant="threaded", cores=1, tunnels=2))
    outcome = attempted(testbed, traced)
    assert outcome.measurements["throughput_bps"], outcome.reasons
    found = json.loads(outcome.raw["polls.json"])
    rows = [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
    assert {row["device"] for row in rows if row["role"] == "gateway-b"} == {"wg1", "wg2"}
    assert {row["cpu"] for row in rows} == {0}
    counted = outcome.probes["interfaces"]["gateway-b"]
    for device in ("wg1", "wg2"):
        packets = sum(row["packets"] for row in rows if (row["role"], row["device"]) == ("gateway-b", device))
        assert found["lost"] or packets == pytest.approx(counted[device]["rx_packets"], rel=0.1)
    assert "orch" not in in_the_machine(testbed, "ls /sys/kernel/tracing/instances")


def test_another_module_than_the_variants_is_not_measured(
    testbed: OpenUmlTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = testbed.module("upstream", "lab1")
    monkeypatch.setattr(testbed, "module", lambda build, host: ModuleFile(real.path, "ab" * 20))
    outcome = attempted(testbed, TRIAL)
    assert outcome.status == "failed"
    assert "nothing was measured" in outcome.reasons[0]
    assert outcome.measurements["throughput_bps"] is None
    assert not outcome.host_lost


def test_a_module_that_does_not_load_fails_the_attempt_and_the_next_one_works(
    testbed: OpenUmlTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = testbed.module("upstream", "lab1")
    in_the_machine(testbed, "rmmod wireguard; head -c 5000 /dev/urandom >/run/bad.ko")
    with monkeypatch.context() as patched:
        patched.setattr(testbed, "module", lambda build, host: ModuleFile("/run/bad.ko", real.build_id))
        outcome = attempted(testbed, TRIAL)
    assert outcome.status == "failed"
    assert "/run/bad.ko cannot be loaded" in outcome.reasons[0]
    outcome = attempted(testbed, TRIAL)
    assert outcome.status == "ok", outcome.reasons
    assert "chacha20" in str(outcome.crypto)
    assert "poly1305" in str(outcome.crypto)


def test_both_ends_of_a_tunnel_get_fresh_keys_and_no_private_key_leaves_the_host(testbed: OpenUmlTestbed) -> None:
    agent = testbed.agents["lab1"]
    variant = load_variants()["vanilla"]
    module = testbed.module("upstream", "lab1")
    agent.request(VariantRequest(module.path, module.build_id, {}))
    first = agent.request(TunnelsRequest(requests.tunnel_devices(NET, 2)))
    private = in_the_machine(testbed, "ip netns exec gateway-a wg show all private-key").split()[1]
    assert len(private) == 44
    assert private not in str(first)
    peers = requests.tunnel_peers(NET, first["public_keys"], variant.threaded, {})
    agent.request(PeersRequest(peers))
    threaded = in_the_machine(testbed, "cat /run/orch/sys/gateway-b/class/net/wg1/threaded").strip()
    assert threaded == "0"
    agent.request(RemoveTunnelsRequest(list(GATEWAYS)))
    second = agent.request(TunnelsRequest(requests.tunnel_devices(NET, 2)))
    keys = [*first["public_keys"]["gateway-a"], *second["public_keys"]["gateway-a"]]
    assert len(set(keys)) == 4


@pytest.mark.parametrize(
    ("variant", "direction"),
    short_and_full(
        [("vanilla", "forward"), ("threaded", "reverse"), ("inline", "forward"), ("inline", "reverse")],
        itertools.product(["vanilla", "threaded", "inline"], ["forward", "reverse"]),
    ),
)
def test_tunnels_share_a_device_whose_peers_are_each_accounted_for(
    testbed: OpenUmlTestbed, variant: str, direction: str
) -> None:
    make_links(testbed, NET, 3)
    cell = Cell(variant=variant, cores=1, tunnels=3, more={"tunnel.device": "shared"})
    traffic = Iperf3Traffic(warm_up="1s", duration="1s", direction=direction)
    outcome = attempted(testbed, TRIAL._replace(levels=cell, traffic=traffic, kind="trace"))
    assert outcome.status == "ok", outcome.reasons
    counted = outcome.probes["interfaces"]
    assert [name for name in counted["gateway-b"] if name.startswith("wg")] == ["wg0"]
    assert sorted(name for name in counted["gateway-a"] if name.startswith("wg")) == ["wg1", "wg2", "wg3"]
    shares = outcome.measurements["shares"]
    assert all(row["bytes"] > 0.05 for gateway in GATEWAYS for row in shares[gateway])
    polled = json.loads(outcome.raw["polls.json"])
    rows = [dict(zip(polled["columns"], row, strict=True)) for row in polled["rows"]]
    of_hub = {row["device"] for row in rows if row["role"] == "gateway-b"}
    assert of_hub == {"wg0/1", "wg0/2", "wg0/3"}
    assert all(row["empty"] <= row["polls"] for row in rows)


@pytest.mark.parametrize(
    ("variant", "device"),
    short_and_full(
        [("vanilla", "own"), ("inline", "shared")], itertools.product(["vanilla", "inline"], ["own", "shared"])
    ),
)
def test_a_gateway_follows_the_other_one_to_new_ports_under_load(
    testbed: OpenUmlTestbed, variant: str, device: str
) -> None:
    make_links(testbed, NET, 2)
    cell = Cell(variant=variant, cores=1, tunnels=2, more={"tunnel.device": device, "tunnel.roam_every": 1.0})
    trial = TRIAL._replace(levels=cell, traffic=Iperf3Traffic(warm_up="1s", duration="3s"))
    outcome = attempted(testbed, trial)
    assert outcome.status != "failed", outcome.reasons  # as it is where a gateway did not follow
    moves = outcome.measurements["roams"]
    assert [round(move["at_s"]) for move in moves] == [1, 2]
    after = outcome.measurements["rates_bps"][-1]
    assert after > 0.1 * max(outcome.measurements["rates_bps"])  # traffic goes on at the new ports


def test_with_many_peers_on_a_device_each_has_its_handshake(testbed: OpenUmlTestbed) -> None:
    net, tunnels = replace(NET, shared=True), 120  # more than one netlink message tells
    make_links(testbed, net, tunnels)
    system_of(load_variants()["vanilla"]).load(testbed, load_variants()["vanilla"])
    make_tunnels(testbed, net, tunnels, load_variants()["vanilla"])
    shake_hands(testbed, layout.SITE_TO_SITE, tunnels)
    found = peers_now(testbed)
    remove_tunnels(testbed, tunnels)
    names = {"gateway-a": [f"wg{i}" for i in range(1, tunnels + 1)]}
    names["gateway-b"] = [f"wg0/{i}" for i in range(1, tunnels + 1)]
    assert {role: set(peers) for role, peers in found.ages_s.items()} == {role: set(n) for role, n in names.items()}
    assert all(age is not None and age < 60 for peers in found.ages_s.values() for age in peers.values())
    assert set(found.received_bytes) == set(range(1, tunnels + 1))
    assert min(*found.received_bytes.values(), *found.sent_bytes.values()) > 0


def test_a_tunnel_that_carries_nothing_is_named(testbed: OpenUmlTestbed) -> None:
    agent = testbed.agents["lab1"]
    module = testbed.module("upstream", "lab1")
    agent.request(VariantRequest(module.path, module.build_id, {}))
    keys = agent.request(TunnelsRequest(requests.tunnel_devices(NET, 1)))["public_keys"]
    strangers = {**keys, "gateway-b": [b64encode(bytes(range(32))).decode()]}  # a key that nobody has
    agent.request(PeersRequest(requests.tunnel_peers(NET, strangers, False, {})))
    paths = [[layout.sender_address(1), layout.receiver_address(1)]]
    with pytest.raises(AgentFailure, match=r"1 of 1 tunnels carried nothing within 1 s"):
        agent.request(HandshakesRequest("client", paths, patience_s=1.0, size=None))


def test_servers_are_ready_when_each_of_them_listens(testbed: OpenUmlTestbed) -> None:
    servers: list[Server] = [SERVERS[0], {**SERVERS[1], "arguments": ["sleep", "30"]}]
    # Another program has the second one's place: the first one, on the same port, must not be taken for it.
    with pytest.raises(AgentFailure, match=r"Servers did not listen within 1 s"):
        testbed.agents["lab1"].request(ServeRequest(servers, patience_s=1.0))
    testbed.agents["lab1"].request(ServeRequest(SERVERS, patience_s=10.0))
    shown = in_the_machine(testbed, "ip netns exec server ss -Hltn")
    assert all(f"{layout.receiver_address(i)}:5201" in shown for i in (1, 2))


def test_without_its_controller_the_agent_stops_what_it_started(testbed: OpenUmlTestbed) -> None:
    agent = testbed.agents["lab1"]
    agent.request(ServeRequest(SERVERS, patience_s=10.0))
    assert in_the_machine(testbed, "pgrep -c iperf3").strip() == "2"
    agent.close()
    deadline = time.monotonic() + 10
    while in_the_machine(testbed, "pgrep -c 'iperf3|orch-agent'").strip() != "0":
        assert time.monotonic() < deadline
    with pytest.raises(HostLost):
        agent.request(HelloRequest())


BAD_GENERATORS = {
    # What stands in for iperf3, as client and as server, and what the reason must say.
    "hung": ("exec sleep 1000", "did not end in time and was stopped"),
    "garbage": ("head -c 2000 /dev/urandom", "gave no report"),
    "silent": ("exit 0", "gave no report; it printed 'nothing'"),
    "failing": ("echo 'iperf3: error - no' >&2; exit 1", "error - no"),
    "another-report": ("echo '{\"end\": 3}'", "iperf3 server-1 did not end in time"),
}
LEAVE_PROCESSES = {
    "hung",
    "another-report",
}  # which the attempt has to end


@pytest.mark.parametrize("fault", BAD_GENERATORS)
def test_a_bad_generator_is_a_failed_attempt_with_no_number(
    testbed: OpenUmlTestbed, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, says = BAD_GENERATORS[fault]
    # Only what is started as a client is another program: the servers are real ones, and so is what says its version.
    wrapper = f'case "$*" in *--client*) ;; *) exec /usr/bin/iperf3.real "$@" ;; esac; {script}'
    in_the_machine(testbed, "mv /usr/bin/iperf3 /usr/bin/iperf3.real; chmod 755 /usr/bin/iperf3.real")
    in_the_machine(
        testbed, f"printf '#!/bin/sh\\n%s\\n' {shlex.quote(wrapper)} >/usr/bin/iperf3; chmod 755 /usr/bin/iperf3"
    )
    monkeypatch.setattr("orchestrator.measure.driving.GRACE_S", 1.0)
    outcome = attempted(testbed, TRIAL)
    assert outcome.status == "failed"
    assert says in outcome.reasons[0]
    assert outcome.measurements["throughput_bps"] is None
    in_the_machine(testbed, "mv /usr/bin/iperf3.real /usr/bin/iperf3")
    if fault in LEAVE_PROCESSES:
        after = attempted(testbed, TRIAL)
        assert after.status == "ok", after.reasons


def test_a_clock_that_jumps_makes_the_attempt_invalid_and_the_next_is_ok(testbed: OpenUmlTestbed) -> None:
    longer = TRIAL._replace(traffic=Iperf3Traffic(warm_up="1s", duration="3s"))

    with during_traffic(testbed, "sleep 2; date -s '+1 hour'"):
        outcome = attempted(testbed, longer)
    assert outcome.status == "invalid"
    assert "clock_step" in outcome.broken
    after = attempted(testbed, TRIAL)
    assert after.status == "ok", after.reasons
    assert "clock differs by +" in after.marks[0]
    in_the_machine(testbed, "date -s '-1 hour'")


def test_a_killed_generator_is_a_failed_attempt(testbed: OpenUmlTestbed) -> None:
    longer = TRIAL._replace(traffic=Iperf3Traffic(warm_up="1s", duration="3s"))

    with during_traffic(testbed, "sleep 0.5; pkill -9 iperf3"):
        outcome = attempted(testbed, longer)
    assert outcome.status == "failed"
    assert "iperf3" in outcome.reasons[0]
    assert outcome.measurements["throughput_bps"] is None
    assert attempted(testbed, TRIAL).status == "ok"


def test_other_traffic_on_the_links_makes_an_attempt_invalid(testbed: OpenUmlTestbed) -> None:
    send = "import socket; s = socket.socket(2, 2); [s.sendto(b'x' * 99, ('198.18.1.1', 9)) for _ in iter(int, 1)]"
    sent = "$(ip netns exec client cat /sys/class/net/lan0/statistics/tx_packets)"
    begun = f"ip netns exec client python3 -c {shlex.quote(send)} >/dev/null 2>&1 </dev/null &"
    # A program takes a second or more to start on a slow computer, and must send before the attempt begins.
    in_the_machine(testbed, f"before={sent}; {begun} until [ {sent} -gt $((before + 100)) ]; do sleep 0.1; done")
    outcome = attempted(testbed, TRIAL)
    assert in_the_machine(testbed, "pkill -f 'import socke[t]' && echo ended").strip() == "ended"  # it sent until now
    assert outcome.status == "invalid"
    assert "stray_traffic" in outcome.broken
    assert outcome.probes["before"]["seconds"] >= QUIET_S
    after = attempted(testbed, TRIAL)
    assert after.status == "ok", after.reasons
    assert after.probes["before"]["packets"] <= 10


def test_handshakes_of_renewed_tunnels_are_no_traffic_before_a_trial(
    testbed: OpenUmlTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = 40  # whose handshakes are more packets than may pass before a trial
    make_links(testbed, NET, many)
    oldest = iter([math.inf, 0.0])
    monkeypatch.setattr(tunnels_of_trials, "_oldest", lambda testbed: next(oldest))
    monkeypatch.setattr(tunnels_of_trials, "REKEY_AFTER_S", 2.0 + tunnels_of_trials.REKEY_MARGIN_S + 1e-6)
    outcome = attempted(testbed, TRIAL._replace(levels=Cell("vanilla", 1, many)))
    assert "handshakes again" in outcome.measurements["phases_s"]
    assert outcome.probes["before"]["packets"] <= 10
    assert "stray_traffic" not in outcome.broken


BUDGET = "net.core.netdev_budget"


def budget(testbed: OpenUmlTestbed) -> str:
    return in_the_machine(testbed, "cat /proc/sys/net/core/netdev_budget").strip()


def connected_again(testbed: OpenUmlTestbed) -> Agent:
    return Agent(testbed.lab.login("lab1"))


def test_settings_are_put_back_after_a_crash_and_what_others_changed_stays(
    testbed: OpenUmlTestbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    journal = SettingsJournal("lab")
    before = {BUDGET: "300", "net.core.rmem_max": in_the_machine(testbed, "sysctl -n net.core.rmem_max").strip()}
    wanted = {BUDGET: "600", "net.core.rmem_max": "4000000", "net.core.wmem_max": "5000000"}
    found = apply(testbed.agents["lab1"], "lab1", wanted, journal).before
    assert {name: found[name] for name in before} == before
    assert budget(testbed) == "600"
    assert set(journal.pending()["lab1"]) == set(wanted)
    testbed.agents["lab1"].close()  # as a crash of the controller does
    in_the_machine(testbed, "sysctl -w net.core.wmem_max=6000000")
    agent = connected_again(testbed)
    try:
        said = put_back(agent, "lab1", journal)
    finally:
        agent.close()
    assert budget(testbed) == "300"
    assert in_the_machine(testbed, "sysctl -n net.core.rmem_max").strip() == before["net.core.rmem_max"]
    assert f"lab1: {BUDGET} is 300 again; it was 600." in said
    assert any("wmem_max is 6000000, which somebody else set" in sentence for sentence in said)
    assert journal.pending() == {}


def test_a_setting_that_does_not_take_is_refused_and_stays_in_the_journal_until_it_is_back(
    testbed: OpenUmlTestbed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    journal = SettingsJournal("lab")
    agent = testbed.agents["lab1"]
    with pytest.raises(AgentFailure, match="cannot be read: No such file"):
        apply(agent, "lab1", {"net.core.nothing": "1"}, journal)
    assert journal.pending() == {}
    with pytest.raises(AgentFailure, match="cannot be set to 'many'"):
        apply(agent, "lab1", {BUDGET: "many"}, journal)
    assert set(journal.pending()["lab1"]) == {BUDGET}
    assert put_back(agent, "lab1", journal) == [f"lab1: {BUDGET} is 300 already."]


def test_a_host_has_one_holder_and_a_stale_one_can_be_broken(testbed: OpenUmlTestbed) -> None:
    second = connected_again(testbed)
    holder = {"pid": 7, "command": "orch run other.yaml", "since": 0.0}
    try:
        taken_by = second.request(LeaseRequest(holder))["taken_by"]
        assert taken_by is not None
        assert taken_by["pid"] == os.getpid()
        assert second.request(BreakLeaseRequest())["ended"] is not None
        wait_until(lambda: is_free(second, holder), 10, "the lease is free")
    finally:
        second.close()


def is_free(agent: Agent, holder: dict[str, object]) -> bool:
    return agent.request(LeaseRequest(holder))["taken_by"] is None
