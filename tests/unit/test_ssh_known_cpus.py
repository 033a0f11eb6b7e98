# SPDX-License-Identifier: Apache-2.0
"""Offline CPUs that nevertheless count as cores: those that a run took offline."""

from pathlib import Path
from typing import Any

import pytest

from orchestrator.testbed.cpus import cpu_order, cpu_rows
from orchestrator.testbed.lease import holder_now
from orchestrator.testbed.settings import Setting, SettingsJournal
from orchestrator.testbed.ssh.looking import with_known_cpus
from orchestrator.testbed.ssh.schema import SshHost
from orchestrator.testbed.ssh.surveys import Survey

HOST = SshHost.model_validate({"name": "h", "roles": ("gateway-a",)})


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SettingsJournal:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return SettingsJournal("t")


def survey(off: tuple[int, ...] = (), *, boot_id: str = "b", holder: dict[str, Any] | None = None) -> Survey:
    """Return a host of two cores with two threads each, 0 and 2, 1 and 3."""
    rows = [
        {"cpu": cpu, "online": cpu not in off, "can_go_offline": True, "node": 0}
        | ({"core": None, "package": None, "off_because": "unknown"} if cpu in off else {})
        | ({"core": cpu % 2, "package": 0, "off_because": None} if cpu not in off else {})
        for cpu in range(4)
    ]
    return Survey({"boot_id": boot_id, "cpus": rows, "holder": holder})


def order(found: Survey) -> list[int]:
    return cpu_order("h", "physical-first", cpu_rows(HOST, found.facts))


def taken_off(journal: SettingsJournal, *cpus: int) -> None:
    names = [f"/sys/devices/system/cpu/cpu{cpu}/online" for cpu in cpus]
    journal.add("h", {name: Setting("1", "0", "b", "now") for name in names})


def test_a_cpu_that_nobody_here_took_off_line_is_no_core(journal: SettingsJournal) -> None:
    assert order(with_known_cpus("h", survey((3,)), journal)) == [0, 1, 2]


def test_those_of_a_run_of_this_computer_are_cores_until_the_host_restarts(journal: SettingsJournal) -> None:
    taken_off(journal, 2, 3)
    assert sorted(order(with_known_cpus("h", survey((2, 3)), journal))) == [0, 1, 2, 3]
    assert order(with_known_cpus("h", survey((2, 3), boot_id="later"), journal)) == [0, 1]


def test_an_agent_that_came_anew_knows_the_order_of_before(journal: SettingsJournal) -> None:
    before = survey()
    taken_off(journal, 1, 3)
    assert order(before) == [0, 1, 2, 3]
    assert order(with_known_cpus("h", survey((1, 3)), journal, before)) == [0, 1, 2, 3]


def test_those_of_another_run_that_has_the_host_come_back_with_its_end(journal: SettingsJournal) -> None:
    other = {"pid": 4, "host": "desk"}
    assert sorted(order(with_known_cpus("h", survey((2, 3), holder=other), journal))) == [0, 1, 2, 3]
    assert order(with_known_cpus("h", survey((2, 3), holder=holder_now()), journal)) == [0, 1]
