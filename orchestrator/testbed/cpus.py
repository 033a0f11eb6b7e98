# SPDX-License-Identifier: Apache-2.0
"""Which CPUs of a host trials use: in an order that its file names, as many as a block has cores. Pure."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.spec import SshHost

PHYSICAL_FIRST = "physical-first"
FREE = "free"  # of other_cpus


def cpu_order(host: str, rule: str, cpus: Sequence[Mapping[str, Any]]) -> list[int]:
    """The CPUs of a host in the order in which they are taken; of a rule, those that it means.

    ``rule``: physical-first, node-N, or a list such as 0-7,16-23; ``cpus``: of the agent's survey. CPU 0 comes first
    where the rule leaves that open, since it can't be taken off line on most hosts. Raises TestbedError where a rule
    names a CPU or a node that the host does not have.
    """
    rows = {row["cpu"]: row for row in cpus}
    if rule == PHYSICAL_FIRST:
        return _physical_first(list(rows.values()))
    if rule.startswith("node-"):
        number = int(rule.removeprefix("node-"))
        chosen = [row for row in rows.values() if row["node"] == number]
        if not chosen:
            known = sorted({row["node"] for row in rows.values() if row["node"] is not None})
            there = ", ".join(map(str, known)) or "none that the kernel tells"
            raise TestbedError(f"{host} has no NUMA node {number} (cpus: {rule}); it has {there}.")
        return _physical_first(chosen)
    listed: list[int] = []
    for part in rule.split(","):
        first, _, last = part.partition("-")
        listed += range(int(first), int(last or first) + 1)
    missing = sorted(set(listed) - set(rows))
    if missing:
        raise TestbedError(f"{host} has no CPU {missing[0]} (cpus: {rule}); it has {len(rows)}.")
    return list(dict.fromkeys(listed))


def _physical_first(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Each core's first thread, package by package, then the second threads, and so on.

    A CPU that is off line does not say what core it belongs to; it is taken for a core of its own, after the others.
    """
    threads: dict[Any, int] = {}
    order = []
    for row in sorted(rows, key=lambda row: row["cpu"]):
        known = row["core"] is not None
        core = (row["package"], row["core"]) if known else ("unknown", row["cpu"])
        thread = threads.get(core, 0)
        threads[core] = thread + 1
        order.append((thread, not known, row["package"] if known else 0, row["cpu"]))
    return [cpu for *_, cpu in sorted(order)]


def online_states(host: SshHost, cpus: Sequence[Mapping[str, Any]], chosen: Collection[int]) -> dict[int, str]:
    """What the file ``online`` of each CPU is to say for a block that uses the ``chosen`` ones, where it has that file.

    CPUs that are left free keep the state that they have. Raises TestbedError where one would have to go off line and
    cannot.
    """
    states = {}
    for row in cpus:
        cpu, wanted = row["cpu"], row["cpu"] in chosen
        if wanted or host.other_cpus != FREE:
            if row["can_go_offline"]:
                states[cpu] = str(int(wanted))
            elif not wanted:
                raise TestbedError(
                    f"{host.name} cannot take its CPU {cpu} off line, and the block uses {len(chosen)} of its CPUs "
                    f"(cpus: {host.cpus}), without that one. Have the order begin with it, or say other_cpus: free."
                )
    return states
