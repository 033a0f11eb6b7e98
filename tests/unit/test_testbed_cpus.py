# SPDX-License-Identifier: Apache-2.0
"""Which CPUs of a host trials use."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent.cpus import cpu_list
from orchestrator.errors import TestbedError
from orchestrator.spec import SshHost
from orchestrator.testbed.cpus import cpu_order, online_states


def host(packages: int, cores: int, threads: int, *, nodes: int | None = None) -> list[dict[str, Any]]:
    """CPUs numbered as Linux numbers them on x86: all first threads, then all second ones."""
    rows = []
    for thread in range(threads):
        for package in range(packages):
            for core in range(cores):
                cpu = (thread * packages + package) * cores + core
                node = package if nodes is None else (package * cores + core) * nodes // (packages * cores)
                rows.append({"cpu": cpu, "core": core, "package": package, "node": node, "online": True})
    return rows


hosts = st.builds(host, st.integers(1, 4), st.integers(1, 8), st.integers(1, 4))


@given(hosts)
def test_physical_first_has_every_cpu_once_and_no_second_thread_before_every_core_has_one(
    cpus: list[dict[str, Any]],
) -> None:
    order = cpu_order("h", "physical-first", cpus)
    assert sorted(order) == [row["cpu"] for row in cpus]
    by_cpu = {row["cpu"]: (row["package"], row["core"]) for row in cpus}
    cores = set(by_cpu.values())
    assert {by_cpu[cpu] for cpu in order[: len(cores)]} == cores
    assert order[0] == 0


@given(hosts)
def test_the_same_host_gives_the_same_order_whatever_its_rows_are_sorted_by(cpus: list[dict[str, Any]]) -> None:
    assert cpu_order("h", "physical-first", cpus) == cpu_order("h", "physical-first", cpus[::-1])


@given(hosts, st.data())
def test_a_node_has_its_own_cpus_only(cpus: list[dict[str, Any]], data: st.DataObject) -> None:
    node = data.draw(st.sampled_from(sorted({row["node"] for row in cpus})))
    order = cpu_order("h", f"node-{node}", cpus)
    assert sorted(order) == [row["cpu"] for row in cpus if row["node"] == node]


def test_a_list_is_taken_as_it_is_written() -> None:
    assert cpu_order("h", "6,0-2,1", host(1, 8, 1)) == [6, 0, 1, 2]


def test_cpus_that_are_off_line_come_after_those_whose_core_is_known() -> None:
    cpus = host(1, 4, 1)
    cpus[1] |= {"core": None, "package": None, "online": False}
    assert cpu_order("h", "physical-first", cpus) == [0, 2, 3, 1]


@pytest.mark.parametrize(
    ("rule", "says"),
    [("node-2", r"h has no NUMA node 2 \(cpus: node-2\); it has 0, 1"), ("0-9", r"h has no CPU 8 \(cpus: 0-9\)")],
)
def test_what_a_host_does_not_have_is_told(rule: str, says: str) -> None:
    with pytest.raises(TestbedError, match=says):
        cpu_order("h", rule, host(2, 4, 1))


def test_a_host_without_nodes_says_so() -> None:
    cpus = [{**row, "node": None} for row in host(1, 2, 1)]
    with pytest.raises(TestbedError, match="none that the kernel tells"):
        cpu_order("h", "node-0", cpus)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_is_written_as_the_kernel_writes_it(cpus: set[int]) -> None:
    text = cpu_list(cpus)
    assert set(cpu_order("h", text, host(1, 301, 1))) == cpus
    ends = [part.split("-") for part in text.split(",")]
    starts = [int(part[0]) for part in ends]
    assert starts == sorted(starts)
    # Neighbours are in one part, so the next part begins two later at least.
    assert all(int(after[0]) > int(before[-1]) + 1 for before, after in itertools.pairwise(ends))


def gateway(**more: str) -> SshHost:
    return SshHost.model_validate({"name": "h", "roles": ("gateway-a",), **more})


def hot_pluggable(cpus: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "can_go_offline": row["cpu"] > 0} for row in cpus]


def test_the_others_go_off_line_unless_they_are_to_stay_free() -> None:
    cpus = hot_pluggable(host(1, 4, 1))
    assert online_states(gateway(), cpus, [0, 2]) == {1: "0", 2: "1", 3: "0"}
    assert online_states(gateway(other_cpus="free"), cpus, [1, 2]) == {1: "1", 2: "1"}


def test_a_cpu_that_cannot_go_off_line_is_told_and_may_stay_free() -> None:
    cpus = hot_pluggable(host(1, 4, 1))
    with pytest.raises(TestbedError, match=r"h cannot take its CPU 0 off line.* or say other_cpus: free"):
        online_states(gateway(), cpus, [1])
    assert online_states(gateway(other_cpus="free"), cpus, [1]) == {1: "1"}
