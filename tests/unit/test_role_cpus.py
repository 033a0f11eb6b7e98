# SPDX-License-Identifier: Apache-2.0
"""The virtual CPUs of each role of a machine, and the work on them."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent import cpus as agent_cpus
from orchestrator.agent import roles
from orchestrator.agent.host import AgentError
from orchestrator.spec import MOST_CORES_OF_OWN, machine_cpus
from orchestrator.spec import ROLES as ROLE_NAMES
from orchestrator.testbed.virtual import cpus_by_role


@given(st.integers(1, MOST_CORES_OF_OWN))
def test_roles_have_cpus_of_their_own_and_a_machine_none_beside(cores: int) -> None:
    found = cpus_by_role(cores, "own")
    assert list(found) == list(ROLE_NAMES)
    assert [cpu for cpus in found.values() for cpu in cpus] == list(range(machine_cpus(cores, "own")))
    assert machine_cpus(cores, "own") <= 128
    assert [len(cpus) for cpus in found.values()] == [cores] * 4
    assert cpus_by_role(cores) == dict.fromkeys(ROLE_NAMES, range(cores))
    assert machine_cpus(cores, "shared") == cores


def test_a_machine_with_the_most_cores_has_nearly_all_cpus_of_the_kernel() -> None:
    assert (MOST_CORES_OF_OWN, machine_cpus(MOST_CORES_OF_OWN, "own")) == (32, 128)


@given(st.sets(st.integers(0, 200)))
def test_masks_are_read_as_they_were_written(cpus: set[int]) -> None:
    mask = agent_cpus.cpu_mask(cpus)
    assert agent_cpus.cpus_in(mask) == sorted(cpus)
    assert agent_cpus.cpus_in(f"0000,{mask}\n") == sorted(cpus)
    assert all(len(word) == 8 for word in mask.split(","))


def test_a_mask_is_written_as_the_kernel_reads_it(tmp_path: Path) -> None:
    assert agent_cpus.cpu_mask(range(16, 48)) == "0000ffff,ffff0000"
    file = tmp_path / "rps_cpus"
    agent_cpus.set_mask(str(file), [0, 33])
    assert file.read_text() == "00000002,00000001"


def test_what_is_done_for_a_role_is_done_on_its_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    here = os.sched_getaffinity(0)
    one = min(here)
    entered: list[str] = []

    @contextlib.contextmanager
    def inside(role: str) -> Iterator[None]:
        entered.append(role)
        yield

    monkeypatch.setattr(agent_cpus, "inside", inside)
    with agent_cpus.acting_as("gateway-a"):
        assert os.sched_getaffinity(0) == here
    monkeypatch.setitem(agent_cpus.PLACED, "gateway-a", [one])
    with contextlib.suppress(KeyError), agent_cpus.acting_as("gateway-a"):
        assert os.sched_getaffinity(0) == {one}
        raise KeyError
    assert os.sched_getaffinity(0) == here
    assert entered == ["gateway-a"] * 2


def test_links_are_steered_as_they_are_asked_to_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, str] = {}
    monkeypatch.setattr(roles, "sysfs_of", lambda role: f"{tmp_path}/{role}")
    monkeypatch.setattr(roles, "set_and_check", written.__setitem__)
    monkeypatch.setattr(roles, "set_mask", lambda path, cpus: written.update({path: agent_cpus.cpu_list(cpus)}))
    gateway = {"devices": ["lan0", "wan0"], "cpus": [2, 3], "receive_hash": "turns", "to_reader": False}
    roles.steer("gateway-a", gateway)
    base = f"{tmp_path}/gateway-a/class/net"
    assert written == {
        f"{base}/{device}/{name}": value
        for device in ("lan0", "wan0")
        for name, value in (("veth/receive_hash", "turns"), ("queues/rx-0/rps_cpus", "2-3"))
    }
    written.clear()
    roles.steer("client", {"devices": ["lan0"], "cpus": [0, 1], "receive_hash": None, "to_reader": True})
    base = f"{tmp_path}/client/class/net/lan0/queues/rx-0"
    flows = {"/proc/sys/net/core/rps_sock_flow_entries": "4096", f"{base}/rps_flow_cnt": "4096"}
    assert written == {**flows, f"{base}/rps_cpus": "0-1"}


def test_missing_polling_threads_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(agent_cpus.PLACED, "gateway-a", [0])
    with pytest.raises(AgentError, match="gateway-a has 2 peers that are polled in threads, and only 0 new threads"):
        agent_cpus.place_polls("gateway-a", agent_cpus.processes(), 2)
