# SPDX-License-Identifier: Apache-2.0
"""Settings of hosts as factors: where they may stand, which blocks they make, and what the hosts are asked."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import TestbedError
from orchestrator.measure.layout import Net
from orchestrator.plan import Plan, make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.run.work import Prepare
from orchestrator.spec import ROLES, SpecError, load_experiment
from orchestrator.spec.host_settings import WHO, parsed, settings_by_role
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.settings import SettingsJournal

BUDGET = "settings.gateways.net.core.netdev_budget"
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
            r"6:3: settings\.routers.* is no setting of a host\. .*ends",
        ),
        ("net.core.netdev_budget", "/sys/../etc/x", r"6:3: .* is no setting of a host"),
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


@given(st.sampled_from(sorted(WHO)), st.from_regex(r"[a-z]{1,5}(\.[a-z_]{1,5}){1,3}", fullmatch=True))
def test_a_path_means_its_roles_and_its_setting(who: str, name: str) -> None:
    assert parsed(f"settings.{who}.{name}") == (WHO[who], name)
    found = settings_by_role({f"settings.{who}.{name}": 3, "traffic.streams": 4})
    assert found == {role: {name: "3"} for role in WHO[who]}


class Kernel:
    """An agent with the settings of one host, of which those of ``own`` are of each role's namespace."""

    patience = 1.0

    def __init__(self, own: frozenset[str] = frozenset()) -> None:
        self.values = {"net.core.netdev_budget": "300", "vm.swappiness": "60"}
        self.own, self.answers = own, [{}]

    def request(self, operation: str, **arguments: Any) -> dict[str, Any]:
        if operation == "read_settings":
            values = {name: self.values[name] for name in arguments["names"]}
            return {"values": values, "refused": {}, "boot_id": "1"}
        assert operation == "write_settings"
        self.values |= arguments["values"]
        return {"refused": {}}

    def ask(self, operation: str, **arguments: Any) -> None:
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
