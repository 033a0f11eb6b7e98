# SPDX-License-Identifier: Apache-2.0
"""The controller's side of a conversation with an agent, whose other side is the agent's own code in this process."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.agent import agent as agents_own
from orchestrator.agent.host_messages import ClockRequest, PauseRequest, WriteSettingsRequest
from orchestrator.agent.messages import Request
from orchestrator.agent.survey_messages import HelloRequest, QueueInterruptsRequest
from orchestrator.testbed.login import HostLost, Login, LoginRefused
from orchestrator.testbed.remote import Agent, AgentFailure, request_all
from orchestrator.testbed.ssh.session import SshSession

Reply = Callable[[Mapping[str, Any]], Mapping[str, Any]]


class Host:
    """A host with an agent, and the channel to it. ``reply``: returns the agent's answer to a message."""

    host, become, password, closed = "h", "none", None, False

    def __init__(self, reply: Reply) -> None:
        self.reply, self.received = reply, list[Mapping[str, Any]]()
        self._has_program, self._answers = False, b""

    def run(self, command: str, patience: float = 1.0) -> "Host":
        assert "orch-agent" in command
        return self

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def sendall(self, data: bytes) -> None:
        if not self._has_program:
            self._has_program = True
            return
        for line in data.splitlines():
            self.received.append(json.loads(line))
            self._answers += json.dumps(self.reply(self.received[-1])).encode() + b"\n"

    def recv(self, size: int) -> bytes:
        found, self._answers = self._answers[:size], self._answers[size:]
        return found

    def said(self) -> str:
        return ""

    def close(self) -> None:
        self.closed = True


def on(host: Host) -> Agent:
    return Agent(cast(Login, host))


def test_requests_reach_the_agent_and_its_answers_come_back() -> None:
    host = Host(agents_own.answer)
    agent = on(host)
    assert set(agent.request(ClockRequest())) == {"clock_s", "monotonic_s"}
    assert agent.request(PauseRequest(0.0)) == {}
    assert agent.request(HelloRequest())["python"].startswith("3.")
    assert host.received[:2] == [{"op": "clock"}, {"op": "pause", "seconds": 0.0}]
    assert agent.in_step
    assert agent.answers()


def test_what_the_agent_refuses_is_a_failure_and_the_conversation_goes_on() -> None:
    agent = on(Host(agents_own.answer))
    with pytest.raises(AgentFailure, match=r"h: .*no/such/setting cannot be set to '1'"):
        agent.request(WriteSettingsRequest({"no.such.setting": "1"}))
    assert agent.in_step
    assert agent.request(ClockRequest())["clock_s"] > 0


@pytest.mark.parametrize(
    ("request_", "answer", "says"),
    [
        (ClockRequest(), {"clock_s": 1.0}, r"h: The answer to 'clock' lacks monotonic_s\."),
        (QueueInterruptsRequest(), {}, r"h: The answer to 'queue_interrupts' lacks interrupts\."),
        (PauseRequest(0.0), {"slept_s": 0.0}, r"h: The answer to 'pause' has the unknown slept_s\."),
    ],
)
def test_an_answer_that_is_not_as_declared_is_a_failure(
    request_: Request[Any], answer: Mapping[str, Any], says: str
) -> None:
    agent = on(Host(lambda message: {"ok": True, **answer}))
    with pytest.raises(AgentFailure, match=says):
        agent.request(request_)
    assert agent.in_step


def test_an_agent_of_another_version_says_so() -> None:
    class Dance(Request[Any]):
        operation = "dance"

    with pytest.raises(AgentFailure, match="h: this agent has no operation 'dance'"):
        on(Host(agents_own.answer)).request(Dance())


def test_several_hosts_are_asked_together_and_the_one_that_is_lost_is_named() -> None:
    def silent(message: Mapping[str, Any]) -> Mapping[str, Any]:
        raise OSError("broken pipe")

    agents = {"one": on(Host(agents_own.answer)), "two": on(Host(agents_own.answer))}
    answers = request_all(agents, {name: ClockRequest() for name in agents})
    assert {name: set(answer) for name, answer in answers.items()} == {
        name: {"clock_s", "monotonic_s"} for name in agents
    }
    refuse = Host(lambda message: {"ok": False, "error": "no."})
    with pytest.raises(HostLost, match="the agent was lost during 'clock'"):
        request_all({"one": on(refuse), "two": on(Host(silent))}, {"one": ClockRequest(), "two": ClockRequest()})


# What sudo does with these options: it reads a line, three times at most, and an empty one ends it.
SUDO = """\
#!/bin/sh
[ "$1 $2 $3 $4" = "-S -k -p " ] || exit 9
shift 4
[ -e "$0.asks-nothing" ] && exec "$@"
for attempt in 1 2 3; do
    IFS= read -r word
    [ "$word" = "$(cat "$0.password")" ] && exec "$@"
    [ -n "$word" ] || { echo "sudo: no password was provided" >&2; break; }
    echo "Sorry, try again." >&2
done
echo "sudo: $((attempt - 1)) incorrect password attempt" >&2
exit 1
"""


@dataclass(frozen=True)
class Local:
    """A login to this computer, whose sudo is the program above."""

    folder: Path
    password: str | None
    host: str = "h"
    become: str = "sudo"

    def run(self, command: str, patience: float = 1.0) -> SshSession:
        (self.folder / "ssh").write_text('#!/bin/sh\nexec sh -c "$1"\n')
        (self.folder / "sudo").write_text(SUDO)
        for name in ("ssh", "sudo"):
            (self.folder / name).chmod(0o755)
        (self.folder / "sudo.password").write_text("open é {{sesame}}\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{self.folder}:{os.environ['PATH']}")
            return SshSession([command])


@pytest.mark.parametrize("asks", [True, False])
def test_the_password_for_sudo_is_given_where_it_is_asked_for(tmp_path: Path, asks: bool) -> None:
    if not asks:
        (tmp_path / "sudo.asks-nothing").touch()
    agent = Agent(Local(tmp_path, "open é {{sesame}}"))
    assert agent.answers()
    agent.close()


def test_a_wrong_password_for_sudo_is_told_without_being_shown(tmp_path: Path) -> None:
    agent = Agent(Local(tmp_path, "guessed"))
    with pytest.raises(LoginRefused, match=r"h: sudo refuses the ansible_become_password .*1 incorrect") as refusal:
        agent.request(ClockRequest())
    assert "guessed" not in str(refusal.value)
