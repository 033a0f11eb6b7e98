# SPDX-License-Identifier: Apache-2.0
"""Settings of hosts: refused ones, the order of restoring, and the records."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent.messages import Request
from orchestrator.errors import TestbedError
from orchestrator.progress import Silent
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.remote import AgentFailure
from orchestrator.testbed.settings import Setting, SettingsJournal, apply, in_turn, put_back
from orchestrator.testbed.ssh.schema import SshHost
from orchestrator.testbed.ssh.tuner import Tuner, joined

CPU = "/sys/devices/system/cpu"


class HostAgent:
    """A host's settings behind an agent. ``refuses``: {name: message}; ``lets``: {name: the value that it takes
    instead}."""

    def __init__(self, **values: str) -> None:
        self.values = dict(values)
        self.refuses: dict[str, str] = {}
        self.takes: dict[str, str] = {}
        self.drags: dict[str, dict[str, str]] = {}  # writing one changes others
        self.answers: dict[str, Any] = {}

    def request(self, request: Request[Any], timeout_s: float = 30) -> dict[str, Any]:
        operation, asked = request.operation, request.arguments()
        if operation == "read_settings":
            gone = {name: f"{name} is gone" for name in asked["names"] if name not in self.values}
            if set(gone) - set(asked.get("may_refuse", ())):
                raise AgentFailure("h: something is gone")
            values = {name: self.values[name] for name in asked["names"] if name not in gone}
            return {"values": values, "refused": gone, "boot_id": "b"}
        if operation != "write_settings":
            return dict(self.answers[operation])
        refused = {}
        for name, value in asked["values"].items():
            if name in self.refuses:
                if name not in asked.get("may_refuse", ()):
                    raise AgentFailure(f"h: {self.refuses[name]}")
                self.values[name] = self.takes.get(name, self.values[name])
                refused[name] = {"said": self.refuses[name], "now": self.values[name]}
                continue
            self.values[name] = value
            self.values |= self.drags.get(name, {})
        return {"refused": refused}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsJournal:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return SettingsJournal("t")


def kept(journal: SettingsJournal) -> dict[str, tuple[str, str]]:
    return {name: (one.before, one.written) for name, one in journal.pending().get("h", {}).items()}


def test_what_may_refuse_is_left_out_and_nothing_of_it_is_to_be_put_back(journal: SettingsJournal) -> None:
    agent = HostAgent(a="1", b="1", c="1")
    agent.refuses = {"b": "busy"}
    done = apply(agent, "h", {"a": "2", "b": "2", "c": "2"}, journal, ["b"])  # type: ignore[arg-type]
    assert done.refused == {"b": "busy"}
    assert agent.values == {"a": "2", "b": "1", "c": "2"}
    assert kept(journal) == {"a": ("1", "2"), "c": ("1", "2")}
    assert done.before == {"a": "1", "b": "1", "c": "1"}


def test_what_cannot_be_read_is_refused_too(journal: SettingsJournal) -> None:
    agent = HostAgent(a="1")
    done = apply(agent, "h", {"a": "2", "gone": "2"}, journal, ["gone"])  # type: ignore[arg-type]
    assert (done.refused, agent.values) == ({"gone": "gone is gone"}, {"a": "2"})
    assert set(kept(journal)) == {"a"}


def test_another_refusal_ends_it(journal: SettingsJournal) -> None:
    agent = HostAgent(a="1")
    agent.refuses = {"a": "never"}
    with pytest.raises(TestbedError, match="never"):
        apply(agent, "h", {"a": "2"}, journal)  # type: ignore[arg-type]


def test_what_a_host_takes_instead_is_put_back(journal: SettingsJournal) -> None:
    agent = HostAgent(a="8")
    agent.refuses, agent.takes = {"a": "was set to '4' and reads back '6'"}, {"a": "6"}
    apply(agent, "h", {"a": "4"}, journal, ["a"])  # type: ignore[arg-type]
    assert kept(journal) == {"a": ("8", "6")}
    agent.refuses = {}
    put_back(agent, "h", journal)  # type: ignore[arg-type]
    assert agent.values == {"a": "8"}
    assert journal.pending() == {}


def test_a_refusal_in_a_later_block_does_not_forget_the_first_value(journal: SettingsJournal) -> None:
    agent = HostAgent(a="8")
    apply(agent, "h", {"a": "4"}, journal, ["a"])  # type: ignore[arg-type]
    agent.refuses = {"a": "busy"}
    apply(agent, "h", {"a": "2"}, journal, ["a"])  # type: ignore[arg-type]
    assert kept(journal) == {"a": ("8", "4")}


def test_a_setting_that_another_one_changed_is_set_again(journal: SettingsJournal) -> None:
    agent = HostAgent(adaptive="on", usecs="8")
    agent.drags = {"adaptive": {"usecs": "50"}}
    apply(agent, "h", {"adaptive": "off", "usecs": "8"}, journal)  # type: ignore[arg-type]
    assert agent.values == {"adaptive": "off", "usecs": "8"}
    assert kept(journal)["usecs"][1] == "8"


def setting(before: str, written: str) -> Setting:
    return Setting(before, written, "b", "now")


def test_cpus_come_on_line_before_what_is_theirs_is_put_back_and_go_off_line_after_it() -> None:
    pending = {
        f"{CPU}/smt/control": setting("on", "off"),
        f"{CPU}/cpu2/online": setting("1", "0"),
        f"{CPU}/cpu3/online": setting("0", "1"),
        f"{CPU}/cpufreq/policy2/scaling_governor": setting("schedutil", "performance"),
        "nic/x/adaptive-rx": setting("on", "off"),
        "nic/x/coalesce-rx-usecs": setting("50", "8"),
    }
    assert [name.removeprefix(CPU) for name, _ in in_turn(pending)] == [
        "/smt/control",
        "/cpu2/online",
        "nic/x/coalesce-rx-usecs",
        "nic/x/adaptive-rx",
        "/cpufreq/policy2/scaling_governor",
        "/cpu3/online",
    ]
    assert next(iter(in_turn({**pending, f"{CPU}/smt/control": setting("off", "on")})))[0] == f"{CPU}/cpu2/online"


def test_an_energy_preference_that_the_governor_changed_is_put_back_after_the_governor(
    journal: SettingsJournal,
) -> None:
    policy = f"{CPU}/cpufreq/policy0"
    governor, preference = f"{policy}/scaling_governor", f"{policy}/energy_performance_preference"
    agent = HostAgent(**{governor: "powersave", preference: "balance_power"})
    agent.drags = {governor: {preference: "performance"}}  # as amd_pstate has it, whatever the governor
    apply(agent, "h", {governor: "performance", preference: "performance"}, journal)  # type: ignore[arg-type]
    put_back(agent, "h", journal)  # type: ignore[arg-type]
    assert agent.values == {governor: "powersave", preference: "balance_power"}
    assert kept(journal) == {}


class Told(Silent):
    """Remembers the messages."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)


def tuned(journal: SettingsJournal, agent: HostAgent, **tuning: Any) -> tuple[dict[str, Any], list[str]]:
    nic = {"channels": {"now": 8, "most": 8}, "ring-rx": None, "ring-tx": None, "hash-udp4": "sd"}
    more = {"coalesce-rx-usecs": None, "interrupts": [], "steering": {}}
    host = SshHost.model_validate({"name": "h", "roles": ("client",), "nics": {"lan-a": "en7"}, "tuning": tuning})
    bare = {"governors": {}, "turbo": None, "idle": [], "smt": None, "irqbalance": None}
    agent.answers = {
        "unlink": {"left": []},
        "tunables": {**bare, "nics": {"en7": {**nic, **more}}},
        "queue_interrupts": {"interrupts": {"en7": [[40, 0], [41, 1]]}},
    }
    agent.values |= {"net.core.rmem_max": "1", "net.core.wmem_max": "1"}
    hosts, progress = Hosts([host], journal), Told()
    hosts.agents["h"] = agent  # type: ignore[assignment]
    tuner = Tuner(hosts, progress)
    record = tuner.at_home(host, {}, [0, 1])
    tuner.at_home(host, {}, [0, 1])  # a later block
    return joined(record, tuner.in_roles(host, [0, 1])), progress.messages


def card(**refuses: str) -> HostAgent:
    agent = HostAgent(**{"nic/en7/channels": "8", "nic/en7/hash-udp4": "sd", "irq/40": "0-1", "irq/41": "0-1"})
    agent.refuses = {name.replace("__", "/").replace("_", "-"): said for name, said in refuses.items()}
    return agent


def test_default_tuning_that_a_card_refuses_is_recorded_with_its_key_and_told_once(journal: SettingsJournal) -> None:
    agent = card(nic__en7__channels="busy", nic__en7__hash_udp4="Operation not supported", irq__41="EIO")
    record, told = tuned(journal, agent)
    assert record["settings_refused"] == {
        "nic/en7/channels": {"key": "tuning.channels", "said": "busy"},
        "nic/en7/hash-udp4": {"key": "tuning.hash", "said": "Operation not supported"},
        "irq/41": {"key": "tuning.interrupts", "said": "EIO"},
    }
    assert record["settings"]["irq/40"] == "0"
    assert not set(record["settings_refused"]) & set(record["settings"])
    assert [text.split(":")[1] for text in told] == [
        f" tuning.{key} is left out, since the host refuses it" for key in ("channels", "hash", "interrupts")
    ]
    assert set(kept(journal)) == {"net.core.rmem_max", "net.core.wmem_max", "irq/40"}


class Threads(HostAgent):
    """Two threads of one core: the second one's settings are gone once SMT is off."""

    def request(self, request: Request[Any], timeout_s: float = 30) -> dict[str, Any]:
        if request.operation == "tunables":
            on = [cpu for cpu in (0, 1) if not cpu or self.values[SMT] == "on"]
            governors = {f"{CPU}/cpufreq/policy{cpu}/scaling_governor": self.values["policy"] for cpu in on}
            choices = {name: {"now": now, "choices": ["performance"]} for name, now in governors.items()}
            nothing = {"turbo": None, "idle": [], "irqbalance": None, "nics": {}}
            return {"governors": choices, "smt": {"name": SMT, "now": self.values[SMT]}, **nothing}
        done = super().request(request)
        if self.values[SMT] == "off":
            self.values.pop(f"{CPU}/cpufreq/policy1/scaling_governor", None)
        return done


SMT = f"{CPU}/smt/control"


def test_second_threads_go_before_what_they_have_is_tuned(journal: SettingsJournal) -> None:
    agent = Threads(
        policy="powersave", **{f"{CPU}/cpufreq/policy{cpu}/scaling_governor": "powersave" for cpu in (0, 1)}
    )
    agent.values[SMT] = "on"
    agent.answers = {"unlink": {"left": []}}
    tuning = {"smt": False, "governor": "performance"}
    host = SshHost.model_validate({"name": "h", "roles": ("client",), "nics": {"wan": "en7"}, "tuning": tuning})
    hosts = Hosts([host], journal)
    hosts.agents["h"] = agent  # type: ignore[assignment]
    agent.values |= {"net.core.rmem_max": "1", "net.core.wmem_max": "1"}
    record = Tuner(hosts, Told()).at_home(host, {}, [0])
    assert record["settings_refused"] == {}
    assert record["settings_before"][SMT] == "on"
    assert record["settings"][SMT] == "off"
    assert agent.values[f"{CPU}/cpufreq/policy0/scaling_governor"] == "performance"


@pytest.mark.parametrize(
    ("tuning", "refused"),
    [
        ({"channels": 2}, "nic__en7__channels"),
        ({"hash": "ports"}, "nic__en7__hash_udp4"),
        ({"interrupts": "per-core"}, "irq__40"),
    ],
)
def test_tuning_that_the_file_asks_for_and_a_card_refuses_is_an_error(
    journal: SettingsJournal, tuning: dict[str, Any], refused: str
) -> None:
    with pytest.raises(TestbedError, match=rf"^h refuses tuning\.{next(iter(tuning))}: no such luck\. .*or null to"):
        tuned(journal, card(**{refused: "no such luck"}), **tuning)
