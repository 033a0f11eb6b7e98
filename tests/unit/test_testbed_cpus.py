# SPDX-License-Identifier: Apache-2.0
"""The CPUs of a host that trials use."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent.cpus import cpu_list
from orchestrator.errors import TestbedError
from orchestrator.testbed.cpus import cpu_order, cpu_rows, isolated_cpus, left_out, online_states, with_ours
from orchestrator.testbed.ssh.schema import SshHost


def host(packages: int, cores: int, threads: int, *, nodes: int | None = None) -> list[dict[str, Any]]:
    """Return CPUs numbered as Linux numbers them on x86: all first threads, then all second ones."""
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


def of_clusters(clusters: int, cores: int, threads: int = 1) -> list[dict[str, Any]]:
    """Return one package whose clusters each number their own cores, as Arm's do; the threads of a core are
    adjacent."""
    rows = []
    for cluster, core, thread in itertools.product(range(clusters), range(cores), range(threads)):
        first = (cluster * cores + core) * threads
        row = {
            "cpu": first + thread,
            "core": core,
            "package": 0,
            "node": 0,
            "threads": [*range(first, first + threads)],
        }
        rows.append({**row, "online": True, "can_go_offline": True})
    return rows


def test_cores_of_clusters_that_have_the_same_number_are_several() -> None:
    assert cpu_order("h", "physical-first", of_clusters(2, 4)) == list(range(8))
    assert cpu_order("h", "physical-first", of_clusters(2, 2, 2)) == [0, 2, 4, 6, 1, 3, 5, 7]
    facts = {"cpus": of_clusters(2, 4)}
    rows = cpu_rows(gateway(tuning={"smt": False}), facts)
    assert left_out(rows) == {}
    assert left_out(cpu_rows(gateway(tuning={"smt": False}), {"cpus": of_clusters(2, 2, 2)})) == {"smt": [1, 3, 5, 7]}


def test_threads_of_a_core_are_known_while_some_are_off_line() -> None:
    earlier = of_clusters(2, 2, 2)
    now = [dict(row) for row in earlier]
    for cpu in (0, 3):
        now[cpu] |= {"core": None, "package": None, "threads": None, "online": False}
        now[cpu ^ 1]["threads"] = [cpu ^ 1]
    rows = with_ours(now, [0, 3], earlier)
    assert cpu_order("h", "physical-first", rows) == [0, 2, 4, 6, 1, 3, 5, 7]


def test_a_list_is_taken_as_it_is_written() -> None:
    assert cpu_order("h", "6,0-2,1", host(1, 8, 1)) == [6, 0, 1, 2]


def test_cpus_that_are_off_line_come_after_those_whose_core_is_known() -> None:
    cpus = host(1, 4, 1)
    cpus[1] |= {"core": None, "package": None, "online": False}
    assert cpu_order("h", "physical-first", cpus) == [0, 2, 3, 1]


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("node-2", r"h has no CPU for trials on NUMA node 2 \(cpus: node-2\), but on: 0, 1"),
        ("0-9", r"h has no CPU 8 \(cpus: 0-9\)"),
    ],
)
def test_what_a_host_does_not_have_is_told(rule: str, says: str) -> None:
    with pytest.raises(TestbedError, match=says):
        cpu_order("h", rule, host(2, 4, 1))


def test_a_node_whose_cpus_are_all_kept_from_trials_is_told() -> None:
    rows = cpu_rows(gateway(), facts(host(2, 2, 1), kernel_command_line="isolcpus=2-3"))
    with pytest.raises(TestbedError, match=r"no CPU for trials on NUMA node 1 \(cpus: node-1\), but on: 0\."):
        cpu_order("h", "node-1", rows)


def test_a_host_without_nodes_says_so() -> None:
    cpus = [{**row, "node": None} for row in host(1, 2, 1)]
    with pytest.raises(TestbedError, match="none that the kernel reports"):
        cpu_order("h", "node-0", cpus)


@given(st.sets(st.integers(0, 300), min_size=1))
def test_a_list_is_written_as_the_kernel_writes_it(cpus: set[int]) -> None:
    text = cpu_list(cpus)
    assert set(cpu_order("h", text, host(1, 301, 1))) == cpus
    ends = [part.split("-") for part in text.split(",")]
    starts = [int(part[0]) for part in ends]
    assert starts == sorted(starts)
    # Adjacent CPUs are in one part, so the next part begins at least two later.
    assert all(int(after[0]) > int(before[-1]) + 1 for before, after in itertools.pairwise(ends))


def gateway(**more: Any) -> SshHost:
    return SshHost.model_validate({"name": "h", "roles": ("gateway-a",), **more})


def hot_pluggable(cpus: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**row, "can_go_offline": row["cpu"] > 0} for row in cpus]


def test_the_others_go_off_line_unless_they_are_to_stay_free() -> None:
    cpus = hot_pluggable(host(1, 4, 1))
    assert online_states(gateway(), cpus, [0, 2]) == {1: "0", 2: "1", 3: "0"}
    assert online_states(gateway(other_cpus="free"), cpus, [1, 2]) == {1: "1", 2: "1"}


def test_a_cpu_that_cannot_go_off_line_is_told_and_may_stay_free() -> None:
    cpus = hot_pluggable(host(1, 4, 1))
    with pytest.raises(TestbedError, match=r"h cannot take its CPU 0 offline.* or set other_cpus: free"):
        online_states(gateway(), cpus, [1])
    assert online_states(gateway(other_cpus="free"), cpus, [1]) == {1: "1"}


def facts(cpus: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"cpus": cpus, "kernel_command_line": "ro quiet", **more}


def off(cpus: list[dict[str, Any]], why: str, *numbers: int) -> list[dict[str, Any]]:
    return [
        {**row, "online": False, "core": None, "package": None, "off_because": why} if row["cpu"] in numbers else row
        for row in cpus
    ]


def test_second_threads_that_the_kernel_keeps_off_line_are_no_cores() -> None:
    cpus = off(hot_pluggable(host(1, 3, 2)), "smt", 3, 4, 5)
    rows = cpu_rows(gateway(), facts(cpus))
    assert cpu_order("h", "physical-first", rows) == [0, 1, 2]
    assert left_out(rows) == {"smt": [3, 4, 5]}
    with pytest.raises(TestbedError, match=r"h cannot use its CPU 3 \(cpus: 0-3\).*SMT is off"):
        cpu_order("h", "0-3", rows)
    assert online_states(gateway(), rows, [0, 1]) == {1: "1", 2: "0", 3: "0", 4: "0", 5: "0"}


def test_a_file_that_switches_second_threads_on_or_off_decides_whether_they_count() -> None:
    with_smt = gateway(tuning={"smt": True})
    assert len(cpu_order("h", "physical-first", cpu_rows(with_smt, facts(off(host(1, 3, 2), "smt", 3, 4, 5))))) == 6
    without = gateway(tuning={"smt": False})
    assert cpu_order("h", "physical-first", cpu_rows(without, facts(host(2, 2, 2)))) == [0, 1, 2, 3]


def test_a_cpu_that_was_off_line_before_is_used_where_the_file_names_it() -> None:
    rows = cpu_rows(gateway(), facts(off(host(1, 4, 1), "unknown", 2)))
    assert cpu_order("h", "physical-first", rows) == [0, 1, 3]
    assert cpu_order("h", "0-2", rows) == [0, 1, 2]
    absent = cpu_rows(gateway(), facts(off(host(1, 4, 1), "absent", 2)))
    with pytest.raises(TestbedError, match="could not be started by the kernel"):
        cpu_order("h", "0-2", absent)


def test_cpus_that_a_run_took_off_line_keep_their_place_in_the_order() -> None:
    before = host(1, 2, 2)
    later = off(before, "unknown", 1, 3)
    assert cpu_order("h", "physical-first", cpu_rows(gateway(), facts(later))) == [0, 2]
    known = with_ours(later, {1, 3}, before)
    assert cpu_order("h", "physical-first", cpu_rows(gateway(), facts(known))) == [0, 1, 2, 3]
    assert [row["online"] for row in known] == [True, False, True, False]


ISOLATED = [
    ("isolcpus=2-5", [2, 3, 4, 5]),
    ("isolcpus=domain,managed_irq,1,3", [1, 3]),
    ("isolcpus=nohz,2-5", []),
    ("isolcpus=managed_irq,2", []),
    ("isolcpus=0-7:1/2", [0, 2, 4, 6]),
    ("isolcpus=4-N", [4, 5, 6, 7]),
    ("isolcpus=N", [7]),
    ("isolcpus=all", list(range(8))),
    ("isolcpus=6-40", [6, 7]),
    ('isolcpus="2,3"', [2, 3]),
    ("isolcpus=2 isolcpus=nohz,domain,4", [2, 4]),
    ("quiet -- isolcpus=2", []),
    ("isolcpus=x-y", []),
    ("noisolcpus=2", []),
]


@pytest.mark.parametrize(("line", "cpus"), ISOLATED)
def test_isolated_cpus_are_read_from_the_kernels_command_line(line: str, cpus: list[int]) -> None:
    shown = facts(host(1, 8, 1), kernel_command_line=f"BOOT_IMAGE=/vmlinuz ro {line}")
    assert isolated_cpus(shown) == cpus
    rows = cpu_rows(gateway(), shown)
    assert left_out(rows) == ({"isolated": cpus} if cpus else {})
    assert cpu_order("h", "physical-first", rows) == [cpu for cpu in range(8) if cpu not in cpus]


def test_the_kernels_own_list_and_what_the_login_may_use_count_too() -> None:
    rows = cpu_rows(gateway(), facts(host(1, 4, 1), cpus_isolated=[3], cpus_allowed=[0, 1]))
    assert left_out(rows) == {"isolated": [3], "affinity": [2]}
    assert isolated_cpus(facts(host(1, 4, 1), kernel_command_line="nohz_full=1-2"), "nohz_full") == [1, 2]
