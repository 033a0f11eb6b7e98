# SPDX-License-Identifier: Apache-2.0
"""The health of hosts: which are waited for, what is tried if a host is silent, and what is reported."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.agent import lease as agents_lease
from orchestrator.agent.host_messages import BreakLeaseRequest, LeaseRequest
from orchestrator.agent.messages import Request
from orchestrator.errors import TestbedError
from orchestrator.progress import Silent
from orchestrator.testbed.lease import holder_now
from orchestrator.testbed.login import HostLost
from orchestrator.testbed.ssh import reaching, restoring
from orchestrator.testbed.ssh.health import Condition, power_cycle
from orchestrator.testbed.ssh.looking import power_finding
from orchestrator.testbed.ssh.preflight import holder_text
from orchestrator.testbed.ssh.reaching import Reaching, ask_each
from orchestrator.testbed.ssh.schema import SshHost

OTHER = {"pid": 4, "host": "desk", "command": "orch run x", "silent_s": 12.0}


class World:
    """A host at a time that only waiting advances. ``up``: whether sshd answers at a time; ``holder``: who uses it."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.up: Callable[[float], bool] = lambda now_s: True
        self.holder: Callable[[float], dict[str, Any] | None] = lambda now_s: None
        self.broken_leases: list[bool] = []
        self.waited_for: list[str] = []
        self.closed = 0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    def agent(self, login: object) -> "World":
        self.now_s += 1.0
        if not self.up(self.now_s):
            raise HostLost("h: no login")
        return self

    def request(self, request: Request[Any]) -> dict[str, Any]:
        if isinstance(request, BreakLeaseRequest):
            self.broken_leases.append(request.hard)
        return {"taken_by": self.holder(self.now_s)} if isinstance(request, LeaseRequest) else {}

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(reaching, "time", made)
    monkeypatch.setattr(reaching, "Agent", made.agent)
    return made


def host(*power: str) -> SshHost:
    given: dict[str, Any] = {"name": "h", "roles": ("client",), **({"power": power} if power else {})}
    return SshHost.model_validate(given)


def reach(world: World, patience_s: float = 0.0, *, power: tuple[str, ...] = (), wait: bool = True) -> Reaching:
    made = Reaching(Silent(), wait, world.waited_for.append)
    made.agent(host(*power), None, patience_s, restart=True)  # type: ignore[arg-type]
    return made


def steps(made: Reaching) -> list[tuple[str, str]]:
    return [(one["before"], one["after"]) for one in made.health.take().get("h", [])]


def test_a_host_that_answers_is_well_and_there_is_nothing_to_tell(world: World) -> None:
    assert steps(reach(world, 300)) == []


def test_a_host_that_comes_back_in_time_was_silent_and_is_well(world: World) -> None:
    world.up = lambda now_s: now_s > 100
    assert steps(reach(world, 300)) == [("well", "ssh silent"), ("ssh silent", "well")]


def test_without_patience_a_silent_host_is_told_at_once(world: World) -> None:
    world.up = lambda now_s: False
    with pytest.raises(HostLost, match="no login"):
        reach(world)
    assert world.now_s < 5


def test_a_host_that_stays_silent_is_broken_and_not_in_use(world: World) -> None:
    world.up = lambda now_s: False
    with pytest.raises(HostLost, match=r"^h is broken, and not in use by anybody: ssh silent at .*; broken at"):
        reach(world, 300)


def test_the_power_command_is_the_last_thing_that_is_tried(world: World, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    world.up = lambda now_s: ran.exists() and now_s > 400
    made = reach(world, 300, power=("sh", "-c", f"echo once >>{ran}"))
    assert steps(made) == [
        ("well", "ssh silent"),
        ("ssh silent", "restarted"),
        ("restarted", "ssh silent"),
        ("ssh silent", "well"),
    ]
    assert ran.read_text() == "once\n"


def test_a_host_that_a_restart_does_not_bring_back_is_restarted_once(world: World, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    world.up = lambda now_s: False
    with pytest.raises(HostLost, match=r"h is broken.*restarted at .* \(by sh\)"):
        reach(world, 300, power=("sh", "-c", f"echo once >>{ran}"))
    assert ran.read_text() == "once\n"


def test_a_power_command_that_fails_is_told_without_its_arguments(world: World) -> None:
    world.up = lambda now_s: False
    with pytest.raises(HostLost, match=r"`sh` ended with status 3: no such board") as caught:
        reach(world, 300, power=("sh", "-c", "echo no such board >&2; exit 3", "secret"))
    assert "secret" not in str(caught.value)
    assert "cannot be run: No such file" in power_cycle(["/nowhere/power"])
    assert power_cycle(["true"]) == ""


def test_a_power_command_that_is_not_here_is_told_before_it_is_needed() -> None:
    assert power_finding(host()) == []
    assert power_finding(host("sh", "-c", "secret"))[0].found
    (missing,) = power_finding(host("no-such-power-tool", "secret"))
    assert not missing.found
    assert missing.what == "`no-such-power-tool` is not on this computer"


def test_our_own_last_agent_is_asked_to_end_then_made_to(world: World) -> None:
    mine = holder_now()
    world.holder = lambda now_s: mine if now_s < 25 else None
    assert steps(reach(world, 300)) == []
    assert world.broken_leases[0] is False
    assert world.broken_leases[-1] is True


def test_an_agent_that_cannot_be_ended_makes_the_host_broken_instead_of_taken(world: World) -> None:
    mine = holder_now()
    world.holder = lambda now_s: mine
    with pytest.raises(HostLost, match=r"h is broken, and not in use by anybody.*its last agent does not end"):
        reach(world, 60)
    assert world.waited_for == []


def test_a_hung_agent_is_ended_by_restore(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "time", world)
    monkeypatch.setattr(restoring, "leave", lambda *arguments, **more: ([], []))
    monkeypatch.setattr(restoring, "put_back", lambda *arguments: ["h: done"])
    ended = restoring._restore_one  # the agent that has the host ends only when it is made to
    world.holder = lambda now_s: None if True in world.broken_leases else {**OTHER, "silent_s": 9e4}
    assert ended(world, "h", None, True)[-1] == "h: done"  # type: ignore[arg-type]
    assert world.broken_leases[0] is False
    world.broken_leases.clear()
    world.holder = lambda now_s: OTHER
    assert "does not end; nothing was put back. Restart the host." in ended(world, "h", None, True)[0]  # type: ignore[arg-type]
    assert ended(world, "h", None, False)[0].startswith("h is in use by process 4")  # type: ignore[arg-type]


def test_another_run_is_waited_for_or_told(world: World) -> None:
    world.holder = lambda now_s: OTHER if now_s < 500 else None
    reach(world)
    assert world.waited_for == ["on h by process 4 (`orch run x`) of desk"]
    world.now_s = 0.0
    with pytest.raises(TestbedError, match="h is in use by process 4"):
        reach(world, wait=False)


@pytest.mark.parametrize("up", [True, False], ids=["another run has it", "it is gone"])
def test_a_run_that_is_interrupted_waits_for_no_host(world: World, up: bool) -> None:
    world.up, world.holder = lambda now_s: up, lambda now_s: OTHER
    made = Reaching(Silent(), True, world.waited_for.append)
    sleep = world.sleep

    def interrupted(seconds: float) -> None:
        made.interrupted = True
        sleep(seconds)

    world.sleep = interrupted  # type: ignore[method-assign]
    with pytest.raises(TestbedError, match="h is in use by process 4" if up else "no login"):
        made.agent(host("false"), None, 900, restart=True)  # type: ignore[arg-type]
    assert world.now_s < 10


def ended() -> dict[str, Any]:
    """Return a run of this computer that existed and has ended."""
    return {**holder_now(), "pid": 2**30, "started": "7", "silent_s": 60.0}


def test_an_agent_of_a_run_of_this_computer_that_has_ended_is_ended(world: World) -> None:
    theirs = ended()
    world.holder = lambda now_s: None if world.broken_leases else theirs
    reach(world, wait=False)
    assert world.broken_leases == [False]
    assert world.waited_for == []
    assert holder_text({**theirs, "ended": True}).endswith(", which has ended")


def test_restore_ends_it_too(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "time", world)
    monkeypatch.setattr(restoring, "leave", lambda *arguments, **more: ([], []))
    monkeypatch.setattr(restoring, "put_back", lambda *arguments: ["h: done"])
    theirs = ended()
    world.holder = lambda now_s: None if world.broken_leases else theirs
    assert restoring._restore_one(world, "h", None, False)[-1] == "h: done"  # type: ignore[arg-type]


@pytest.mark.parametrize("other", ["processes", "started"])
def test_another_process_with_the_number_of_this_one_is_another_run(world: World, other: str) -> None:
    theirs = {**holder_now(), other: "of another container"}
    if other == "started":
        theirs["processes"] = "of another container"
    world.holder = lambda now_s: theirs if now_s < 100 else None
    reach(world)
    assert len(world.waited_for) == 1
    assert world.broken_leases == []


def test_a_run_whose_controller_is_gone_is_not_waited_for(world: World) -> None:
    world.holder = lambda now_s: {**OTHER, "silent_s": 2.5 * 3600}
    with pytest.raises(
        TestbedError, match=r"only looks as if it were in use .* has asked nothing for 2\.5 h\. `orch rest"
    ):
        reach(world)
    assert world.waited_for == []
    assert world.closed == 1
    assert holder_text({"silent_s": 7200.0}) == "by an unknown run, which has asked nothing for 2.0 h"


def test_each_host_is_asked_in_turn_and_left_although_one_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "routes", lambda testbed: dict.fromkeys(("h", "i", "j")))
    world.up = lambda now_s: now_s != 2.0

    def ask(name: str, agent: Any) -> str:
        if name == "j":
            raise TestbedError("j: no answer")
        return f"{name} answers"

    bed: Any = SimpleNamespace(file="t")
    told = ask_each(bed, ask, lambda name, error: f"{name}: {error}")
    assert told == {"h": "h answers", "i": "i: h: no login", "j": "j: j: no answer"}
    assert world.closed == 2


def test_a_condition_that_stays_is_told_once(world: World) -> None:
    made = Reaching(Silent(), True, world.waited_for.append)
    for why in ("first", "again"):
        made.health.become("h", Condition.AGENT_SILENT, why)
    (one,) = made.health.take()["h"]
    assert (one["before"], one["after"], one["why"]) == ("well", "agent silent", "first")
    assert made.health.take() == {}
    assert made.health.of("h") == Condition.AGENT_SILENT


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(agents_lease, "RUNTIME", str(tmp_path))
    monkeypatch.setattr(agents_lease, "LEASE", {})
    yield tmp_path
    for file in set(agents_lease.LEASE.values()):
        file.close()


def test_who_has_a_host_says_for_how_long_nothing_was_asked(folder: Path) -> None:
    with (folder / "lease").open("w") as held:
        held.write(json.dumps({"pid": 4, "agent_pid": 5}))
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        os.utime(held.fileno(), (0, 0))
        found = agents_lease.lease(LeaseRequest({"pid": 9}))["taken_by"]
        assert (found["pid"], found["silent_s"] > 1e9) == (4, True)
        assert agents_lease.holder_of_lease()["silent_s"] > 1e9
        agents_lease.note_request()  # an agent that waits does not hold the lease
        assert agents_lease.holder_of_lease()["silent_s"] > 1e9
    assert agents_lease.lease(LeaseRequest({"pid": 9})) == {"taken_by": None}
    os.utime(folder / "lease", (0, 0))
    agents_lease.note_request()
    assert (folder / "lease").stat().st_mtime > 1e9
    assert json.loads((folder / "lease").read_text())["pid"] == 9
