# SPDX-License-Identifier: Apache-2.0
"""Settings of hosts as factors: where they may occur, the blocks that they make, and the requests to the hosts."""

import os
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from orchestrator.agent.messages import Request
from orchestrator.errors import TestbedError
from orchestrator.measure.layout import Net
from orchestrator.plan import Plan, make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.run.work import Prepare
from orchestrator.spec import ROLES, SpecError, experiment_schema, load_experiment
from orchestrator.spec.host_settings import WHO, parsed, settings_by_role
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.settings import SettingsJournal
from tests.unit.namespaces import on_a_host

GRO = "nics.gateways.gro"
BUDGET = "settings.gateways.net.core.netdev_budget"
FACTORS = experiment_schema()["$defs"]["Factors"]
SPEC = f"""\
experiment: budget
factors:
  variant: [vanilla, inline]
  cores: [1, 2]
  tunnels: [1]
  {BUDGET}: [300, 600]
traffic: {{duration: 2s}}
repetitions: 2
"""


def spec_of(folder: Path, old: str = "", new: str = "") -> Path:
    file = folder / "budget.yaml"
    file.write_text(SPEC.replace(old, new) if old else SPEC)
    return file


def plan_of(folder: Path, testbeds: int = 1) -> Plan:
    return make_plan(load_experiment(spec_of(folder)), lab_capabilities(2, ("vanilla", "inline")))


def test_each_combination_of_cores_and_settings_has_a_block_with_a_baseline_of_its_own(tmp_path: Path) -> None:
    blocks = plan_of(tmp_path).blocks
    found = [(block.cores, block.trials[0].levels[BUDGET]) for block in blocks]
    assert found == [(1, 300), (1, 600), (2, 300), (2, 600)]
    for block in blocks:
        assert {trial.levels[BUDGET] for trial in block.trials} == {block.trials[0].levels[BUDGET]}
        assert [trial.kind for trial in block.trials if trial.round == 0] == ["baseline"]
        assert {trial.levels.variant for trial in block.trials if trial.round == 1} == {"vanilla", "inline"}
    assert blocks[1].settings == {role: {"net.core.netdev_budget": "600"} for role in ("gateway-a", "gateway-b")}
    assert blocks[1].settings_text == "net.core.netdev_budget of gateways = 600"


def test_a_plan_with_settings_is_stored_and_read_again(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert Plan.from_json(plan.to_json()) == plan
    assert len({trial.trial_id for trial in plan.iterate()}) == len(plan.trials)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "settings.gateways",
            "settings.routers",
            r"6:3: settings\.routers.* is not a setting of a host\. .*ends",
        ),
        ("net.core.netdev_budget", "/sys/../etc/x", r"6:3: .* is not a setting of a host"),
        ("[300, 600]", "[300, true]", r"6:\d+: factors\.settings\.gateways\.net\.core\.netdev_budget\[1\]"),
        ("[300, 600]", "[]", r"6:\d+: "),
        ("traffic:", "topology: gateway-to-gateway\ntraffic:", ""),
        ("settings.gateways", "settings.ends", ""),
        (
            "traffic:",
            "include: [{variant: vanilla, cores: 1, tunnels: 2}]\ntraffic:",
            r"7:11: This cell has no settings\.gateways\.net\.core\.netdev_budget, which is a factor",
        ),
        (
            "traffic:",
            "exclude: [{settings.gateways.net.core.netdev_budget: 500}]\ntraffic:",
            "This rule of exclude matches no cell",
        ),
    ],
)
def test_where_a_setting_may_stand(tmp_path: Path, old: str, new: str, said: str) -> None:
    file = spec_of(tmp_path, old, new)
    if not said:
        load_experiment(file)
        return
    with pytest.raises(SpecError, match=said):
        load_experiment(file)


def test_an_end_has_no_settings_between_gateways(tmp_path: Path) -> None:
    file = spec_of(tmp_path, "settings.gateways", "settings.client")
    file.write_text(f"topology: gateway-to-gateway\n{file.read_text()}")
    with pytest.raises(SpecError, match="names a role that topology gateway-to-gateway does not have"):
        load_experiment(file)


@pytest.mark.parametrize(
    ("factor", "said"),
    [
        (f"{GRO}: [true, false]", ""),
        ("nics.all.ring-rx: [256, 1024]", ""),
        (f"{GRO}: [true, 1]", r"6:\d+: factors\.nics\.gateways\.gro\[1\]"),
        ("nics.all.ring-rx: [256, true]", r"6:\d+: factors\.nics\.all\.ring-rx\[1\]"),
        ("nics.routers.gro: [true]", r"6:3: nics\.routers\.gro is not a setting of links"),
        ("nics.gateways.channels: [1, 2]", r"6:3: nics\.gateways\.channels is not a setting of links"),
        ("nics.gateways.GRO: [true]", r"6:3: nics\.gateways\.GRO is not a setting of links"),
    ],
)
def test_where_a_setting_of_links_may_stand(tmp_path: Path, factor: str, said: str) -> None:
    file = spec_of(tmp_path, f"{BUDGET}: [300, 600]", factor)
    if not said:
        load_experiment(file)
        return
    with pytest.raises(SpecError, match=said) as refused:
        load_experiment(file)
    assert len(refused.value.problems) == 1


def test_a_block_has_one_level_of_a_feature_which_can_be_set_from_the_command_line(tmp_path: Path) -> None:
    file = spec_of(tmp_path, f"{BUDGET}: [300, 600]", f"{GRO}: [true, false]")
    plan = make_plan(load_experiment(file), lab_capabilities(2, ("vanilla", "inline")))
    found = [(block.cores, block.settings["gateway-b"], block.settings_text) for block in plan.blocks]
    values = [({"nics/gro": value}, f"gro of gateways = {value}") for value in ("on", "off")]
    assert sorted(found, key=str) == sorted([(cores, *value) for cores in (1, 2) for value in values], key=str)
    assert Plan.from_json(plan.to_json()) == plan
    for level in ("false", "off"):  # ethtool says on and off
        one = load_experiment(file, overrides=[f"factors.{GRO}=[{level}]"])
        trials = make_plan(one, lab_capabilities(2, ("vanilla", "inline"))).iterate()
        assert {trial.levels[GRO] for trial in trials} == {False}
    same = load_experiment(spec_of(tmp_path, f"{BUDGET}: [300, 600]", f"{GRO}: [on, off]"))
    assert make_plan(same, lab_capabilities(2, ("vanilla", "inline"))).to_json() == plan.to_json()


# The part of ethtool(8) that the test needs, on the real kernel; -k has a fixed feature, and a group.
ETHTOOL = """\
#!/usr/bin/env python3
import ctypes, fcntl, socket, struct, sys
option, device = sys.argv[1:3]
def ask(command, value=0):
    data = ctypes.create_string_buffer(struct.pack("II", command, value))
    fcntl.ioctl(socket.socket(), 0x8946, struct.pack("16sP16x", device.encode(), ctypes.addressof(data)))
    return struct.unpack("II", data.raw[:8])[1]
commands = {"gro": (0x2B, 0x2C), "gso": (0x23, 0x24)}
if option == "-K":
    ask(commands[sys.argv[3]][1], int(sys.argv[4] == "on"))
else:
    names = {"generic-receive-offload": "gro", "generic-segmentation-offload": "gso"}
    for name, short in names.items():
        print("%s: %s" % (name, ("off", "on")[ask(commands[short][0])]))
    print("netns-local: off [fixed]")
"""
BEGIN = "ip link add eth1 type veth peer name far1; ip link set far1 up; ip link set eth1 up"


def test_links_take_a_feature_in_their_namespace_and_an_interface_gives_it_back_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "ethtool"
    program.write_text(ETHTOOL)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    roles: dict[str, Any] = {role: {"sysctl": {}, "ip": []} for role in ("gateway-a", "client")}
    lent = [{"nic": "eth1", "role": "gateway-a", "device": "wan0"}]
    pairs = [["client", "lan0", "gateway-a", "lan0"]]
    links = {"op": "links", "namespaces": roles, "veth": pairs, "nics": lent}
    name = "nic/eth1/feature-generic-receive-offload"
    there = "for one in lan0 wan0; do ip netns exec gateway-a ethtool -k $one | grep receive; done"

    def role_settings(**values: str) -> dict[str, Any]:
        return {"op": "role_settings", "roles": {"gateway-a": {f"nics/{one}": value for one, value in values.items()}}}

    steps = [
        *(BEGIN, links, there, role_settings(gro="on"), {"op": "read_settings", "names": [name]}),
        *({"op": "write_settings", "values": {name: "on"}}, there),
        *(role_settings(**{"netns-local": "on"}), role_settings(gor="on")),
        *({"op": "leave"}, "ethtool -k eth1 | grep receive", {"op": "write_settings", "values": {name: "off"}}),
        "ethtool -k eth1 | grep receive",
    ]
    _, made, before, set_, read, written, after, fixed, unknown, left, home, back, at_last = on_a_host(*steps)
    assert made["ok"], made
    off, on = "generic-receive-offload: off\n", "generic-receive-offload: on\n"
    assert before == off * 2
    mine = {"gateway-a": {"nic/lan0/feature-generic-receive-offload": "on"}}
    assert (set_["set"], set_["others"]) == (mine, {"gateway-a": {name: "on"}})
    assert read["values"] == {name: "off"}
    assert written["ok"], written
    assert after == on * 2
    assert "lan0 has netns-local off, and it cannot be changed" in fixed["error"]
    assert "lan0 has no gor" in unknown["error"]
    assert left["left"] == []
    assert (home, back["ok"], at_last) == (on, True, off)


@given(st.sampled_from(sorted(WHO)), st.from_regex(r"[a-z]{1,5}(\.[a-z_]{1,5}){1,3}", fullmatch=True))
def test_a_path_means_its_roles_and_its_setting(who: str, name: str) -> None:
    assert parsed(f"settings.{who}.{name}") == (WHO[who], name)
    found = settings_by_role({f"settings.{who}.{name}": 3, "traffic.streams": 4})
    assert found == {role: {name: "3"} for role in WHO[who]}


@given(
    st.from_regex(rf"(nics|settings)\.({'|'.join(WHO)}|none)\.(/sys/[a-z]{{1,4}}|[a-zA-Z0-9.-]{{1,9}})", fullmatch=True)
)
@example("nics.all.channels")
@example("nics.all.ring-rx")
@example("nics.all.ring-rx-more")
@example("settings.gateways.net.core.netdev_budget")
def test_the_schema_for_editors_has_the_paths_that_are_settings_and_no_other(path: str) -> None:
    found = [pattern for pattern in FACTORS["patternProperties"] if re.search(pattern, path)]
    assert len(found) == (parsed(path) is not None)
    assert not [name for name in FACTORS["properties"] if name.startswith(("nics.", "settings."))]


class Kernel:
    """An agent with the settings of one host; those in ``own`` exist in each role's namespace."""

    patience = 1.0

    def __init__(self, own: frozenset[str] = frozenset()) -> None:
        self.values = {"net.core.netdev_budget": "300", "vm.swappiness": "60"}
        self.own, self.answers = own, [{}]

    def request(self, request: Request[Any]) -> dict[str, Any]:
        operation, arguments = request.operation, request.arguments()
        if operation == "read_settings":
            values = {name: self.values[name] for name in arguments["names"]}
            return {"values": values, "refused": {}, "boot_id": "1"}
        assert operation == "write_settings"
        self.values |= arguments["values"]
        return {"refused": {}}

    def ask(self, request: Request[Any]) -> None:
        operation, arguments = request.operation, request.arguments()
        assert operation in ("role_settings", "links", "neighbours")
        done: dict[str, Any] = {"set": {}, "others": {}}
        for role, values in (arguments["roles"] if operation == "role_settings" else {}).items():
            for name, value in values.items():
                done["set" if name in self.own else "others"].setdefault(role, {})[name] = value
        self.answers = [done]

    def answer(self, timeout_s: float) -> dict[str, Any]:
        return self.answers.pop()


def prepared(agent: Any, hosts: Hosts, settings: dict[str, dict[str, str]]) -> dict[str, Any]:
    testbed: Any = SimpleNamespace(
        hosts=(("a", ROLES),),
        nics={},
        agents={"a": agent},
        cpus={role: [0] for role in ROLES},
        links="veth",
        virtual=None,
        prepare=lambda state: {"a": {}},
        linked=lambda: {},
        vary=hosts.vary,
    )
    return dict(Prepare(1, Net("site-to-site"), 1, None, settings).carry_out(testbed, lambda text: None)["a"])


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Hosts((), SettingsJournal("bench"))


def test_a_setting_of_the_host_is_journalled_and_goes_back_when_no_block_wants_it(hosts: Hosts) -> None:
    agent: Any = Kernel()
    hosts.agents["a"] = agent
    both = {role: {"net.core.netdev_budget": "600"} for role in ("gateway-a", "gateway-b")}
    assert prepared(agent, hosts, both)["varied"]["host"] == {"net.core.netdev_budget": "600"}
    assert agent.values["net.core.netdev_budget"] == "600"
    assert hosts.journal.pending()["a"]["net.core.netdev_budget"].before == "300"
    prepared(agent, hosts, {"gateway-a": {"vm.swappiness": "10"}})
    assert agent.values == {"net.core.netdev_budget": "300", "vm.swappiness": "10"}


def test_a_setting_of_a_namespace_stays_in_it(hosts: Hosts) -> None:
    agent: Any = Kernel(own=frozenset({"net.ipv4.tcp_sack"}))
    hosts.agents["a"] = agent
    found = prepared(agent, hosts, {"client": {"net.ipv4.tcp_sack": "0"}, "server": {"net.ipv4.tcp_sack": "1"}})
    assert found["varied"] == {
        "roles": {"client": {"net.ipv4.tcp_sack": "0"}, "server": {"net.ipv4.tcp_sack": "1"}},
        "host": {},
    }
    assert hosts.journal.pending() == {}


def test_roles_of_a_host_cannot_have_different_values_of_a_setting_of_the_host(hosts: Hosts) -> None:
    agent: Any = Kernel()
    hosts.agents["a"] = agent
    with pytest.raises(TestbedError, match=r"vm\.swappiness is a setting of the whole host a, whose roles"):
        prepared(agent, hosts, {"client": {"vm.swappiness": "0"}, "server": {"vm.swappiness": "1"}})
