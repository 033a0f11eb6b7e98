# SPDX-License-Identifier: Apache-2.0
"""Restarts of hosts between blocks: when, by what means, what is restored before, and what is reported."""

import json
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent import restarting as agents_restarting
from orchestrator.agent.host import AgentError
from orchestrator.agent.host_messages import ClockRequest, RestartRequest
from orchestrator.agent.messages import Request
from orchestrator.cli.lessons import lessons
from orchestrator.errors import TestbedError
from orchestrator.learned import learn
from orchestrator.plan import Capabilities
from orchestrator.progress import Silent
from orchestrator.spec import SpecError, load_testbed
from orchestrator.testbed import computer
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.login import HostLost, LoginRefused
from orchestrator.testbed.protocol import State
from orchestrator.testbed.remote import AgentFailure
from orchestrator.testbed.settings import Setting, SettingsJournal
from orchestrator.testbed.ssh import reaching, restarting
from orchestrator.testbed.ssh.health import Health
from orchestrator.testbed.ssh.provider import OpenSshTestbed
from orchestrator.testbed.ssh.reaching import Reaching
from orchestrator.testbed.ssh.schema import SshTestbed
from orchestrator.testbed.ssh.surveys import Survey

ROLES = {"left": ("client", "gateway-a"), "right": ("gateway-b", "server")}


def bed(restart: bool = True, **more: Any) -> SshTestbed:
    hosts = tuple({"name": name, "roles": roles, "nics": {"wan": "en7"}, **more} for name, roles in ROLES.items())
    return SshTestbed.model_validate({"testbed": "t", "provider": "ssh", "restart": restart, "hosts": hosts})


class Computer:
    """A host with its agent. ``says``: the result of its `restart`; ``asked``: all requests to it."""

    in_step = True

    def __init__(self, says: Exception | None = None) -> None:
        self.asked: list[str] = []
        self.says, self.closed, self.boot = says, False, 1

    @property
    def boot_id(self) -> str:
        return f"boot {self.boot}"

    def answers(self) -> bool:
        return True

    def request(self, request: Request[Any], timeout_s: float = 30) -> dict[str, Any]:
        self.asked.append(request.operation)
        settings = dict.fromkeys(request.arguments().get("names", ()), "9")
        return {"done": [], "left": [], "values": settings, "boot_id": self.boot_id, "cores": 0.0}

    def ask(self, request: Request[Any]) -> None:
        self.asked.append(request.operation)
        if isinstance(self.says, HostLost):
            raise self.says

    def answer(self, timeout_s: float) -> dict[str, Any]:
        if self.says is not None:
            raise self.says
        self.boot += 1
        return {}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def computers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Computer]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return {name: Computer() for name in ROLES}


@pytest.fixture
def opened(computers: dict[str, Computer], monkeypatch: pytest.MonkeyPatch) -> Callable[[SshTestbed], OpenSshTestbed]:
    """Open a testbed of the computers, which records its actions in ``done``."""

    def open_(testbed: SshTestbed) -> OpenSshTestbed:
        made = OpenSshTestbed(testbed, Silent())
        made._hosts.agents.update(computers)  # type: ignore[arg-type]
        made._surveys.update({name: Survey({"boot_id": one.boot_id}) for name, one in computers.items()})
        done: list[str] = []

        def start(name: str, patience_s: float, *, restart: bool, not_in: str) -> None:
            assert (patience_s, restart) == (testbed.restart_within_s, True)
            assert not_in != computers[name].boot_id
            made._hosts.agents[name] = computers[name]  # type: ignore[assignment]
            made._surveys[name] = Survey({"boot_id": computers[name].boot_id})
            done.append(f"{name} back")

        monkeypatch.setattr(made, "_start_agent", start)
        monkeypatch.setattr(made, "_provision", lambda: done.append("provision"))
        monkeypatch.setattr(made, "_prepare_host", lambda host, cores: {"boot_id": computers[host.name].boot_id})
        made.done = done  # type: ignore[attr-defined]
        return made

    return open_


def test_each_block_of_several_boots_has_a_boot_for_itself(
    opened: Callable[[SshTestbed], OpenSshTestbed], computers: dict[str, Computer]
) -> None:
    made = opened(bed())
    boots = [made.prepare(State(1, own_boot))["left"]["boot_id"] for own_boot in (1, 1, 2)]
    assert boots == ["boot 2", "boot 2", "boot 3"]  # preparing a block again does not restart them
    assert made.done == ["left back", "right back", "provision"] * 2  # type: ignore[attr-defined]
    assert computers["right"].asked[:1] == ["leave"]
    assert computers["right"].asked.count("restart") == 2


@pytest.mark.parametrize(("restart", "own_boot"), [(False, 4), (True, None)])
def test_hosts_stay_up_where_the_file_or_the_plan_does_not_ask_for_it(
    restart: bool,
    own_boot: int | None,
    opened: Callable[[SshTestbed], OpenSshTestbed],
    computers: dict[str, Computer],
) -> None:
    opened(bed(restart)).prepare(State(1, own_boot))
    assert [one.boot for one in computers.values()] == [1, 1]


def test_a_restart_is_told_in_the_journal_with_its_reason(
    opened: Callable[[SshTestbed], OpenSshTestbed], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(bed())
    (told,) = made.prepare(State(1, 1))["left"]["health"]
    assert (told["before"], told["after"]) == ("well", "restarted")
    assert told["why"] == "by its own reboot, for a block's own boot"


def test_what_became_of_hosts_is_told_also_where_a_block_cannot_be_prepared(
    opened: Callable[[SshTestbed], OpenSshTestbed], computers: dict[str, Computer]
) -> None:
    computers["right"].says = AgentFailure("right: `reboot` failed with status 1: inhibited")
    with pytest.raises(TestbedError) as raised:
        opened(bed()).prepare(State(1, 1))
    sent = pickle.loads(pickle.dumps(raised.value))  # as a worker on another machine sends it
    assert [one["after"] for one in sent.health["left"]] == ["restarted"]
    assert "right" not in sent.health
    json.dumps(sent.health)


def go_down(computers: dict[str, Computer], **more: Any) -> Health:
    testbed, health = bed(**more), Health()
    hosts = Hosts(testbed.hosts, SettingsJournal("t"))
    hosts.agents.update(computers)  # type: ignore[arg-type]
    restarting.go_down(testbed.hosts, hosts, health)
    assert hosts.agents == {}
    return health


def test_settings_are_put_back_before_a_restart(computers: dict[str, Computer]) -> None:
    SettingsJournal("t").add("left", {"vm.swappiness": Setting("60", "9", "boot 1", "now")})
    go_down(computers)
    assert "write_settings" in computers["left"].asked
    assert computers["left"].asked[-1] == "restart"
    assert SettingsJournal("t").pending() == {}


def test_a_host_that_goes_down_before_it_can_answer_has_obeyed(computers: dict[str, Computer]) -> None:
    computers["left"].says = HostLost("left: gone")
    assert go_down(computers).of("left") == "restarted"
    assert all(one.closed for one in computers.values())


def test_a_host_that_refuses_is_restarted_by_its_power_command(computers: dict[str, Computer], tmp_path: Path) -> None:
    computers["left"].says = AgentFailure("left: `reboot` failed: inhibited")
    health = go_down(computers, power=("sh", "-c", f"echo once >>{tmp_path}/ran"))
    assert (tmp_path / "ran").read_text() == "once\n"
    assert health.take()["left"][0]["why"] == "by sh, for a block's own boot"


def test_a_host_that_refuses_and_has_no_power_command_is_an_error(computers: dict[str, Computer]) -> None:
    computers["right"].says = AgentFailure("right: `reboot` failed with status 1: inhibited")
    with pytest.raises(TestbedError, match=r"^right cannot be restarted for this block: right: .* has no power com"):
        go_down(computers)
    assert computers["left"].boot == 2


def test_answers_and_refusals_of_the_boot_that_ends_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    ups = [*["boot 1"] * 3, LoginRefused("h: System is going down"), HostLost("h: no route"), "boot 2"]
    answers: Iterator[Any] = iter(ups)

    def agent(login: object) -> Any:
        found = next(answers)
        if isinstance(found, Exception):
            raise found
        made = Computer()
        made.request = lambda operation, **arguments: {"boot_id": found, "taken_by": None}  # type: ignore[method-assign]
        return made

    class Clock:
        def monotonic(self) -> float:
            return now_s

        def sleep(self, seconds: float) -> None:
            nonlocal now_s
            now_s += seconds

    monkeypatch.setattr(reaching, "time", Clock())
    monkeypatch.setattr(reaching, "Agent", agent)
    made = Reaching(Silent(), True, lambda who: None)
    host = bed().hosts[0]
    made.health.become("left", reaching.Condition.RESTARTED, "by its own reboot")
    assert made.agent(host, None, 300, not_in="boot 1").request(ClockRequest())["boot_id"] == "boot 2"  # type: ignore[arg-type]
    assert [one["after"] for one in made.health.take()["left"]] == ["restarted", "ssh silent", "well"]
    answers = iter(["boot 1"] * 900)
    with pytest.raises(HostLost, match="left is broken, and not in use by anybody"):
        made.agent(host, None, 300, restart=True, not_in="boot 1")  # type: ignore[arg-type]


def test_this_computer_is_no_host_that_can_be_restarted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "boot_id").write_text("mine\n")
    monkeypatch.setattr(computer, "BOOT_ID", tmp_path / "boot_id")
    surveys = {"left": Survey({"boot_id": "mine"}), "right": Survey({"boot_id": "another"})}
    found = restarting.restart_findings(bed(), surveys)
    assert [found["left"][0].blocks, found["right"][0].blocks] == [True, False]
    assert "Remove restart:" in found["left"][0].sentence()
    assert restarting.restart_findings(bed(restart=False), surveys) == {"left": [], "right": []}
    monkeypatch.setattr(computer, "BOOT_ID", tmp_path / "no_such_file")
    assert not restarting.restart_findings(bed(), surveys)["left"][0].blocks


def test_the_agent_runs_the_hosts_own_reboot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "reboot"
    program.write_text(f"#!/bin/sh\necho $# >{tmp_path}/ran\n")
    program.chmod(0o755)
    monkeypatch.setattr(agents_restarting, "_FOLDERS", str(tmp_path))
    assert agents_restarting.restart(RestartRequest()) == {}
    assert (tmp_path / "ran").read_text() == "0\n"
    program.write_text("#!/bin/sh\necho someone holds it up >&2; exit 1\n")
    with pytest.raises(AgentError, match="someone holds it up"):
        agents_restarting.restart(RestartRequest())
    monkeypatch.setattr(agents_restarting, "_FOLDERS", str(tmp_path / "nowhere"))
    with pytest.raises(AgentError, match="there is no `reboot`"):
        agents_restarting.restart(RestartRequest())


FILE = """\
testbed: rack
provider: ssh
restart: true
restart_within: {within}
hosts:
  - {{name: one, roles: [client, gateway-a, gateway-b, server]}}
"""


def test_the_testbeds_file_says_how_long_a_restart_may_take(tmp_path: Path) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(FILE.format(within="12 min"))
    read = load_testbed(str(file))
    assert isinstance(read, SshTestbed)
    assert (read.restart, read.restart_within_s) == (True, 720.0)
    assert (bed(False).restart, bed(False).restart_within_s) == (False, 300.0)
    file.write_text(FILE.format(within="soon"))
    with pytest.raises(SpecError):
        load_testbed(str(file))


def test_restarts_teach_estimates_apart_from_blocks_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    learn("prepare/ssh", 5.0)
    assert [lessons("ssh", own_boots=own).prepare_s for own in (False, True)] == [5.0, 180.0]
    learn("restart/ssh", 95.0)
    assert lessons("ssh", own_boots=True).prepare_s == 95.0
    restarted = Capabilities(2, "offline", (), (), restarts=True)
    assert [restarted.own_boots(boots) for boots in (1, 2)] == [False, True]
    assert not replace(restarted, cores_by="boot").own_boots(2)  # a block's preparation includes the restart anyway
    assert not replace(restarted, restarts=False).own_boots(2)
