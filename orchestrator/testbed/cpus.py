# SPDX-License-Identifier: Apache-2.0
"""The CPUs of a host that trials use, in the order given by the testbed file, as many as a block has cores.

All functions here are pure.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.agent.cpus import cpu_list
from orchestrator.errors import TestbedError
from orchestrator.testbed.computer import for_the_kernel
from orchestrator.testbed.ssh.schema import SshHost

PHYSICAL_FIRST = "physical-first"
FREE = "free"  # a value of other_cpus
# Why trials do not use a CPU: the values of ``unusable`` in `cpu_rows`, each with the predicate of a sentence whose
# subject is, for instance, "CPUs 4-7".
WHY = {
    "smt": "are second threads that the kernel keeps offline, since SMT is off",
    "smt-forced": "are second threads that the kernel keeps offline until its next boot (nosmt=force)",
    "absent": "could not be started by the kernel",
    "unknown": "are offline, and were before a run",
    "isolated": "are kept from programs by the kernel (isolcpus=, or a cpuset)",
    "affinity": "may not be used by this login (CPUAffinity= of systemd, a cpuset, or taskset)",
}
_BY_NAME = ("unknown",)  # a CPU with this reason is brought online if a file names it


def with_ours(
    cpus: Sequence[Mapping[str, Any]], ours: Collection[int], earlier: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Return the rows of a survey, in which CPUs that a run on this computer took offline (``ours``) count as usable
    again.

    ``earlier``: rows of a survey from the same boot, which know the cores of CPUs that are now offline.
    """
    names = ("core", "package", "threads")
    seen = {row["cpu"]: {n: row[n] for n in names if n in row} for row in earlier if row["core"] is not None}
    rows = []
    for row in cpus:
        mine = row["cpu"] in ours
        known = seen.get(row["cpu"], {}) if row["core"] is None else {}
        rows.append({**row, **known, **({"off_because": None} if mine else {})})
    return rows


def cpu_rows(host: SshHost, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the CPUs of a host from the agent's survey, each with ``unusable``: a key of WHY, or None."""
    cpus = facts["cpus"]
    isolated = {*isolated_cpus(facts), *facts.get("cpus_isolated", ())}
    allowed = facts.get("cpus_allowed")
    core_of = _cores(cpus)
    rows, cores = [], set()
    for row in sorted(cpus, key=lambda row: int(row["cpu"])):
        cpu, why = row["cpu"], row.get("off_because")
        core = core_of.get(cpu)
        second = core is not None and core in cores
        cores.add(core)
        if why == "smt" and host.tuning.smt:
            why = None
        elif why is None and second and host.tuning.smt is False:
            why = "smt"
        elif why is None and cpu in isolated:
            why = "isolated"
        elif why is None and allowed is not None and row["online"] and cpu not in allowed:
            why = "affinity"
        rows.append({**row, "unusable": why})
    return rows


def _cores(rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
    """Return the core of each CPU whose core is known, as the lowest CPU number among its threads.

    Threads of a core list each other; if they do not, CPUs with the same package and core number are threads of one
    core.
    """
    numbered: dict[Any, set[int]] = {}
    groups: dict[int, set[int]] = {}
    for row in rows:
        if row["core"] is None:
            continue
        mates = set(row.get("threads") or ()) or numbered.setdefault((row["package"], row["core"]), set())
        mates.add(row["cpu"])
        whole = mates.union(*(groups.get(cpu, set()) for cpu in mates))
        groups.update(dict.fromkeys(whole, whole))
    return {row["cpu"]: min(groups[row["cpu"]]) for row in rows if row["cpu"] in groups}


def left_out(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[int]]:
    """Return the CPUs that trials do not use, grouped by reason, in the order of WHY."""
    found = {why: [row["cpu"] for row in rows if row["unusable"] == why] for why in WHY}
    return {why: cpus for why, cpus in found.items() if cpus}


def left_out_text(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the CPUs that trials do not use, with the reasons, as text. Empty if trials use all CPUs."""
    return "; ".join(f"CPUs {cpu_list(cpus)} {WHY[why]}" for why, cpus in left_out(rows).items())


def isolated_cpus(facts: Mapping[str, Any], parameter: str = "isolcpus") -> list[int]:
    """Return the CPUs that the kernel's command line lists in ``isolcpus=`` (no programs run there), or in
    ``nohz_full=``. See Documentation/admin-guide/kernel-parameters.txt."""
    last = max((row["cpu"] for row in facts["cpus"]), default=0)
    found: set[int] = set()
    for word in for_the_kernel(facts.get("kernel_command_line", "")).split():
        name, _, value = word.replace('"', "").partition("=")
        if name == parameter:
            parts = value.split(",")
            flags = [part for part in parts if part.replace("_", "").isalpha() and part not in ("N", "all")]
            # Without a flag, CPUs are isolated from programs; with only nohz or managed_irq, from ticks or interrupts.
            if parameter != "isolcpus" or not flags or "domain" in flags:
                found.update(_of_kernel_list([part for part in parts if part not in flags], last))
    return sorted(found)


def _of_kernel_list(parts: Sequence[str], last: int) -> Iterator[int]:
    """Yield the CPUs of a list in the kernel's syntax: 1, 2-5, 0-N (N: the last), 0-15:2/4 (the first 2 of every 4),
    all."""
    for part in parts:
        if part == "all":
            yield from range(last + 1)
            continue
        span, _, stride = part.partition(":")
        first, _, end = span.replace("N", str(last)).partition("-")
        used, _, group = stride.partition("/")
        try:
            numbers = range(int(first), int(end or first) + 1)
            every, of = (int(used), int(group)) if stride else (1, 1)
            yield from (cpu for place, cpu in enumerate(numbers) if cpu <= last and place % of < every)
        except (ValueError, ZeroDivisionError):
            continue  # the kernel ignores it too


def cpu_order(host: str, rule: str, cpus: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the CPUs of a host in the order in which blocks take them. A rule selects among those that trials can use.

    ``rule``: physical-first, node-N, or a list such as 0-7,16-23; ``cpus``: rows from `cpu_rows`. If the rule allows
    it, CPU 0 comes first, because most hosts cannot take it offline. Raises TestbedError if the rule names a CPU or a
    node that the host does not have, or a CPU that cannot be used.
    """
    rows = {row["cpu"]: row for row in cpus}
    usable = [row for row in rows.values() if row.get("unusable") is None]
    if rule == PHYSICAL_FIRST:
        return _physical_first(usable)
    if rule.startswith("node-"):
        number = int(rule.removeprefix("node-"))
        chosen = [row for row in usable if row["node"] == number]
        if not chosen:
            known = sorted({row["node"] for row in usable if row["node"] is not None})
            there = ", ".join(map(str, known)) or "none that the kernel reports"
            raise TestbedError(f"{host} has no CPU for trials on NUMA node {number} (cpus: {rule}), but on: {there}.")
        return _physical_first(chosen)
    listed: list[int] = []
    for part in rule.split(","):
        first, _, last = part.partition("-")
        listed += range(int(first), int(last or first) + 1)
    missing = sorted(set(listed) - set(rows))
    if missing:
        raise TestbedError(f"{host} has no CPU {missing[0]} (cpus: {rule}); it has {len(rows)}.")
    for cpu in listed:
        why = rows[cpu].get("unusable")
        if why is not None and why not in _BY_NAME:
            raise TestbedError(f"{host} cannot use its CPU {cpu} (cpus: {rule}): CPUs {cpu_list([cpu])} {WHY[why]}.")
    return list(dict.fromkeys(listed))


def _physical_first(rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the first thread of each core, package by package, then the second threads, and so on.

    The core of an offline CPU is unknown, so such a CPU counts as a core of its own, after all others.
    """
    threads: dict[Any, int] = {}
    order = []
    core_of = _cores(rows)
    for row in sorted(rows, key=lambda row: row["cpu"]):
        known = row["cpu"] in core_of
        core = ("known", core_of[row["cpu"]]) if known else ("unknown", row["cpu"])
        thread = threads.get(core, 0)
        threads[core] = thread + 1
        order.append((thread, not known, (row["package"] or 0) if known else 0, row["cpu"]))
    return [cpu for *_, cpu in sorted(order)]


def online_states(host: SshHost, cpus: Sequence[Mapping[str, Any]], chosen: Collection[int]) -> dict[int, str]:
    """Return the value to write to the file ``online`` of each CPU that has one, for a block that uses the ``chosen``
    CPUs.

    CPUs that are left free keep their state. Raises TestbedError if a CPU must go offline and cannot.
    """
    states = {}
    for row in cpus:
        cpu, wanted = row["cpu"], row["cpu"] in chosen
        if wanted or host.other_cpus != FREE:
            if row["can_go_offline"]:
                states[cpu] = str(int(wanted))
            elif not wanted and row["online"]:
                raise TestbedError(
                    f"{host.name} cannot take its CPU {cpu} offline, and the block uses {len(chosen)} of its CPUs "
                    f"(cpus: {host.cpus}), without that one. Put it first in cpus, or set other_cpus: free."
                )
    return states
