# SPDX-License-Identifier: Apache-2.0
"""The combined capabilities of several testbeds, and which of them share a computer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestrator import spec
from orchestrator.errors import TestbedError
from orchestrator.plan import Capabilities
from orchestrator.testbed import capabilities, usable_cores
from orchestrator.testbed.computer import boot_of_computer
from orchestrator.testbed.protocol import Sharing
from orchestrator.testbed.provider import provider_of
from orchestrator.testbed.virtual import shares_of


@dataclass(frozen=True, slots=True)
class MemberCapabilities:
    """The capabilities of a single testbed, and the computer on which its machines run.

    ``computer``: identifies that computer; None for hosts elsewhere. ``computer_cores``: how many of its cores the
    testbed may use; ``machines``: the number of machines; ``slots``: in virtual time, the number of slots in the
    testbed's file, or None for as many as possible.
    """

    capabilities: Capabilities
    computer: str | None
    computer_cores: int
    machines: int
    slots: int | None = None


def look(testbed: "spec.Testbed") -> MemberCapabilities:
    """Return a testbed's capabilities as seen from this computer, without changing or starting anything. Raises
    TestbedError."""
    found, cores = capabilities(testbed), usable_cores()
    here = boot_of_computer() if provider_of(testbed).local else None
    return MemberCapabilities(found, here, cores, len(testbed.hosts), testbed.wanted_slots)


def sharing_of(seen: Mapping[str, MemberCapabilities], run: str) -> dict[str, Sharing]:
    """Return how testbeds share their computer with others of the pool, by name, for those that do."""
    how_many = Counter(one.computer for one in seen.values())
    machines, slots = _machines(seen), _slots(seen)
    return {
        name: Sharing(run, machines[one.computer], slots.get(name))
        for name, one in seen.items()
        if one.computer is not None and how_many[one.computer] > 1
    }


def _slots(seen: Mapping[str, MemberCapabilities]) -> dict[str, tuple[int, int]]:
    """Return the slots of each testbed in virtual time, computer by computer, as `shares_of` divides them."""
    virtual = {name: one for name, one in seen.items() if one.capabilities.slots is not None}
    shares = {}
    for computer in {one.computer for one in virtual.values()}:
        here = {name: one for name, one in virtual.items() if one.computer == computer}
        fewest = min(one.computer_cores for one in here.values())
        shares.update(shares_of({name: one.slots for name, one in here.items()}, fewest))
    return shares


def _machines(seen: Mapping[str, MemberCapabilities]) -> Counter[str]:
    """Return the number of machines on each computer."""
    machines: Counter[str] = Counter()
    for one in seen.values():
        if one.computer is not None:
            machines[one.computer] += one.machines
    return machines


def pool_capabilities(seen: Mapping[str, MemberCapabilities]) -> Capabilities:
    """Return what every testbed of the pool can do, so that any of them can carry any block. The reasons name the
    testbed that sets each limit.

    Machines on the same computer work at the same time. In real time, they never have more virtual CPUs together than
    the computer has cores; in virtual time, they share its cores as slots. Raises TestbedError if the testbeds have no
    core count or no topology in common.
    """
    slots = _slots(seen) if len(seen) > 1 else {}
    limited = {
        name: replace(one.capabilities, slots=slots[name][1]) if name in slots else _beside_others(one, seen)
        for name, one in seen.items()
    }
    if len(limited) == 1:
        return next(iter(limited.values()))
    fewest = min(limited, key=lambda name: limited[name].max_cores)
    most_least = max(limited, key=lambda name: limited[name].min_cores)
    cores, least = limited[fewest].max_cores, limited[most_least].min_cores
    variants = [set(one.variants) for one in limited.values()]
    topologies = [set(one.topologies) for one in limited.values()]
    every_variant, every_topology = set.intersection(*variants), set.intersection(*topologies)
    if least > cores or not every_topology:
        raise TestbedError(
            f"The testbeds {', '.join(seen)} have no number of cores, or no topology, in common: any of them must be "
            f"able to carry any block. {most_least} uses {least} cores at least, and {fewest} has {cores}."
        )
    lacking = next((name for name, one in limited.items() if set(one.variants) != set.union(*variants)), fewest)
    reasons = {}
    for reason, name in (("cores", fewest), ("few_cores", most_least), ("variants", lacking)):
        if reason in limited[name].reasons:
            reasons[reason] = f"of the pool's testbeds, {name}: {limited[name].reasons[reason]}"
    first = next(iter(limited.values()))
    return Capabilities(
        max_cores=cores,
        cores_by=first.cores_by,
        topologies=tuple(topology for topology in first.topologies if topology in every_topology),
        variants=tuple(variant for variant in first.variants if variant in every_variant),
        reasons=reasons,
        min_cores=least,
        testbeds=len(seen),
        clock=first.clock,
        slots=None if first.slots is None else min(one.slots or first.slots for one in limited.values()),
        role_cpus=first.role_cpus,
        restarts=all(one.restarts for one in limited.values()),
    )


def _beside_others(one: MemberCapabilities, seen: Mapping[str, MemberCapabilities]) -> Capabilities:
    """Return what a testbed can do while the other testbeds on its computer work."""
    if one.computer is None or one.capabilities.slots is not None:
        return one.capabilities
    machines = _machines(seen)[one.computer]
    if machines == one.machines:
        return one.capabilities
    cores = one.computer_cores // machines
    have = f"this computer has {one.computer_cores} core{'s' * (one.computer_cores != 1)} for {machines} machines"
    if cores < 1:
        raise TestbedError(f"These testbeds cannot work at the same time: {have}. Name fewer in the pool.")
    if cores >= one.capabilities.max_cores:
        return one.capabilities
    return replace(one.capabilities, max_cores=cores, reasons={**one.capabilities.reasons, "cores": have})
