# SPDX-License-Identifier: Apache-2.0
"""Hosts are restored as far as possible: failures are reported, and do not keep other settings from being restored."""

from pathlib import Path
from typing import Any, cast

import pytest

from orchestrator.agent.messages import Request
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.remote import Agent, AgentFailure
from orchestrator.testbed.settings import Setting, SettingsJournal
from orchestrator.testbed.ssh.schema import SshHost

NAME = "net.core.rmem_max"
LEFT = "eth1 is not as it was: putting back the route 10.0.0.0/16 failed: Network is unreachable."


class LeavingAgent:
    """An agent whose host has one setting. ``leave``: its answer to the request to leave, or its failure."""

    def __init__(self, leave: dict[str, Any] | AgentFailure) -> None:
        self.leave, self.value = leave, "2"

    def request(self, request: Request[Any], timeout_s: float = 30) -> dict[str, Any]:
        operation, asked = request.operation, request.arguments()
        if operation == "leave":
            if isinstance(self.leave, AgentFailure):
                raise self.leave
            return self.leave
        if operation == "write_settings":
            self.value = asked["values"][NAME]
            return {"refused": {}}
        return {"values": dict.fromkeys(asked["names"], self.value), "boot_id": "b"}

    def close(self) -> None:
        pass


def given_back(agent: LeavingAgent, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    journal = SettingsJournal("t")
    journal.add("left", {NAME: Setting("1", "2", "b", "2026-01-01T00:00:00Z")})
    hosts = Hosts([SshHost.model_validate({"name": "left", "roles": ("client",)})], journal)
    hosts.agents["left"] = cast(Agent, agent)
    said = hosts.give_back()
    assert (agent.value, journal.pending()) == ("1", {})
    return said


def test_settings_go_back_where_an_interface_does_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = LeavingAgent({"done": ["the namespaces client were removed"], "left": [LEFT]})
    assert given_back(agent, tmp_path, monkeypatch) == [f"left: {LEFT} `orch restore` tries it again."]


def test_settings_go_back_where_the_agent_cannot_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = LeavingAgent(AgentFailure("left: `rmmod wireguard` failed with status 1."))
    said = given_back(agent, tmp_path, monkeypatch)
    assert said == ["left: `rmmod wireguard` failed with status 1. `orch restore` tries it again."]


def test_nothing_is_said_of_a_host_that_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert given_back(LeavingAgent({"done": [], "left": []}), tmp_path, monkeypatch) == []
