# SPDX-License-Identifier: Apache-2.0
"""Preparing hosts for a block: the records of it, and the order of the steps."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from orchestrator.measure.layout import Net
from orchestrator.progress import Silent
from orchestrator.run import work
from orchestrator.testbed.protocol import State
from orchestrator.testbed.ssh.health import Condition
from orchestrator.testbed.ssh.provider import OpenSshTestbed
from orchestrator.testbed.ssh.schema import SshTestbed
from orchestrator.testbed.ssh.surveys import Survey


class Silenced:
    """An agent that no longer answers."""

    in_step = True

    def answers(self) -> bool:
        return False

    def close(self) -> None:
        pass


@pytest.fixture
def testbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenSshTestbed:
    """Return a testbed of two hosts, of which `left` is silent and recovers by a restart."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    left = {"name": "left", "roles": ("client", "gateway-a"), "nics": {"wan": "en7"}}
    right = {"name": "right", "roles": ("gateway-b", "server"), "nics": {"wan": "en7"}}
    bed = SshTestbed.model_validate({"testbed": "t", "provider": "ssh", "hosts": (left, right)})
    made = OpenSshTestbed(bed, Silent())
    answering = Silenced()
    monkeypatch.setattr(answering, "answers", lambda: True)
    made._hosts.agents.update(left=Silenced(), right=answering)  # type: ignore[arg-type]
    made._surveys.update({name: Survey({"boot_id": "first"}) for name in ("left", "right")})
    done: list[str] = []

    def start(name: str, patience_s: float, *, restart: bool) -> None:
        assert (patience_s > 0, restart) == (True, True)
        made._reaching.health.become(name, Condition.RESTARTED, "by ipmitool")
        made._reaching.health.become(name, Condition.WELL, "an agent has it")
        made._surveys[name] = Survey({"boot_id": "second"})
        done.append(f"start {name}")

    monkeypatch.setattr(made, "_start_agent", start)
    monkeypatch.setattr(made, "_provision", lambda: done.append("provision"))
    monkeypatch.setattr(made, "_prepare_host", lambda host, cores: {"settings": {"a": "1"}, "cpus_usable": cores})
    made.done = done  # type: ignore[attr-defined]
    return made


def test_a_host_that_was_silent_is_brought_back_provisioned_and_told(testbed: OpenSshTestbed) -> None:
    states = testbed.prepare(State(1))
    assert testbed.done == ["start left", "provision"]  # type: ignore[attr-defined]
    told = [(one["before"], one["after"], one["why"]) for one in states["left"]["health"]]
    assert told == [
        ("well", "agent silent", "it gave no answer"),
        ("agent silent", "restarted", "by ipmitool"),
        ("restarted", "well", "an agent has it"),
    ]
    assert states["right"]["health"] == []


def test_what_is_done_once_links_are_up_is_recorded_with_the_rest(
    testbed: OpenSshTestbed, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(work, "make_links", lambda *arguments: order.append("links"))

    def in_roles(host: Any, cpus: object) -> Mapping[str, Any]:
        order.append(host.name)
        return {"settings": {"irq/7": "0"}, "settings_before": {"irq/7": "0-3"}, "settings_refused": {}}

    monkeypatch.setattr(testbed._tuner, "in_roles", in_roles)
    testbed.cpus.update({role: [0] for host in testbed._spec.hosts for role in host.roles})
    found = work.Prepare(1, Net("site-to-site"), 1).carry_out(testbed, lambda text: None)
    assert order == ["links", "left", "right"]
    assert found["left"]["settings"] == {"a": "1", "irq/7": "0"}
    assert found["left"]["settings_before"] == {"irq/7": "0-3"}
    assert found["left"]["cpus_usable"] == 1
