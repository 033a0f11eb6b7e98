# SPDX-License-Identifier: Apache-2.0
"""Virtual time of the embedded lab: which cores of this computer run a machine's virtual CPUs, and to which roles these
belong. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import TestbedError
from orchestrator.plan import dilation
from orchestrator.spec import EQUAL_ENDS, OWN_CPUS, ROLES, SHARED_CPUS, VIRTUAL_CLOCK, RoleCpus, groups, machine_cpus

if TYPE_CHECKING:
    from orchestrator.testbed.uml.schema import UmlTestbed

# The factor by which other programs may prolong a trial beyond its estimate before it counts as failed.
_MARGIN = 3.0


@dataclass(frozen=True, slots=True)
class VirtualTime:
    """The virtual time of an opened testbed.

    ``cores``: the maximum number of virtual CPUs of a cell, in each gateway if roles have their own; ``cpus``: the CPUs
    of this computer that run them, one for each slot; ``quantum_s``: how far a virtual CPU's clock may run ahead of the
    others', in seconds; ``computer_cores``: how many CPUs of the computer this process may use; ``role_cpus``: whether
    all roles share the machine's virtual CPUs, or each has its own.
    """

    cores: int
    cpus: tuple[int, ...]
    quantum_s: float
    computer_cores: int
    role_cpus: RoleCpus = SHARED_CPUS

    @property
    def own_cpus(self) -> bool:
        """True if each role has virtual CPUs of its own."""
        return self.role_cpus == OWN_CPUS

    @property
    def slots(self) -> int:
        """The number of virtual CPUs that run at a time."""
        return len(self.cpus)

    def machine_cpus(self, cores: int) -> int:
        """Return the number of virtual CPUs of a machine in a cell with ``cores`` cores."""
        return machine_cpus(cores, self.role_cpus)

    def cpus_by_role(self, cores: int) -> dict[str, range]:
        """Return the virtual CPUs of each role in a cell with ``cores`` cores."""
        return cpus_by_role(cores, self.role_cpus)

    def arguments(self, cores: int) -> list[str]:
        """Return the lab kernel's command-line arguments for a cell with ``cores`` cores.

        ``cpu_groups``: the numbers of CPUs of the client, gateway-a, gateway-b and the server, counted from CPU 0.
        """
        clock = f"virtual_time={self.quantum_s * 1e6:.0f}:{','.join(map(str, self.cpus))}"
        if not self.own_cpus:
            return [clock]
        return [clock, f"cpu_groups={','.join(str(len(group)) for group in groups(cores))}"]

    def patience(self, cores: int) -> float:
        """Return the factor by which a controller's time-outs exceed those of real time, for a cell with ``cores``
        cores."""
        return _MARGIN * dilation(cores, cores, self.slots, self.role_cpus)

    def to_json(self) -> dict[str, Any]:
        """Return the fields of run.json on virtual time, except the clock's name."""
        return {
            "slots": self.slots,
            "cores": self.cores,
            "quantum_s": self.quantum_s,
            "computer_cores": self.computer_cores,
            "role_cpus": self.role_cpus,
            **({"ends": EQUAL_ENDS} if self.own_cpus else {}),
        }


def cpus_by_role(cores: int, role_cpus: RoleCpus = SHARED_CPUS) -> dict[str, range]:
    """Return the CPUs of each role on a machine that has all roles, in a cell with ``cores`` cores."""
    if role_cpus == OWN_CPUS:
        return dict(zip(ROLES, groups(cores), strict=True))
    return dict.fromkeys(ROLES, range(cores))


def virtual_time_of(
    testbed: "UmlTestbed", usable: Sequence[int], share: tuple[int, int] | None = None
) -> VirtualTime | None:
    """Return the virtual time of a testbed, or None if its clock is real.

    ``usable``: the CPUs of this computer that this process may use; ``share``: in a pool, the position of the testbed's
    first slot among them and its number of slots, as returned by `shares_of`. Raises TestbedError if the testbed asks
    for more slots than there are CPUs.
    """
    if testbed.clock != VIRTUAL_CLOCK:
        return None
    assert testbed.cores is not None
    ordered = sorted(usable)
    wanted = testbed.slots or min(len(ordered), machine_cpus(testbed.cores, testbed.role_cpus))
    if wanted > len(ordered):
        raise TestbedError(
            f"The testbed {testbed.testbed} asks for {wanted} slots, and this process may use {_cores(len(ordered))} "
            "of this computer; each slot needs a core. Ask for fewer slots, or leave them out to use all cores."
        )
    first, slots = share or (0, wanted)
    cpus = tuple(ordered[(first + i) % len(ordered)] for i in range(slots))
    return VirtualTime(testbed.cores, cpus, testbed.quantum_s, len(ordered), testbed.role_cpus)


def shares_of(wanted: Mapping[str, int | None], computer_cores: int) -> dict[str, tuple[int, int]]:
    """Divide a computer's cores among the virtual testbeds of a pool: {testbed: (position of its first slot, slots)}.

    ``wanted``: the slots that each testbed's file asks for, or None for as many as possible. The latter divide the
    remaining cores equally, with at least one slot each. Testbeds have separate cores as long as there are enough;
    beyond that, assignment starts again at the first core.
    """
    asked = sum(slots for slots in wanted.values() if slots is not None)
    open_ended = sum(slots is None for slots in wanted.values())
    each = max(1, (computer_cores - asked) // open_ended) if open_ended else 0
    shares, first = {}, 0
    for name, slots in wanted.items():
        mine = slots or each
        shares[name] = (first % computer_cores, mine)
        first += mine
    return shares


def check_kernel(name: str, testbed: str, virtual: VirtualTime, found: Mapping[str, Any] | None) -> None:
    """Raise TestbedError if a machine did not boot in the virtual time that its testbed asks for.

    ``found``: the agent's reading of /proc/virtual_time, or None if there is no such file.
    """
    if found is None:
        raise TestbedError(
            f"{name} came up in real time although the testbed {testbed} says clock: {VIRTUAL_CLOCK}: the lab kernel "
            "in the cache is too old to know virtual time. `orch cache prune --all` removes it, and the next run "
            "builds that of this checkout."
        )
    asked = (virtual.slots, round(virtual.quantum_s * 1e9))
    if (found["slots"], found["quantum_ns"]) != asked:
        raise TestbedError(
            f"{name} came up with {found['slots']} slots and a quantum of {found['quantum_ns'] / 1e3:g} us, and the "
            f"testbed {testbed} asks for {asked[0]} and {asked[1] / 1e3:g} us."
        )


def _cores(number: int) -> str:
    return f"{number} core{'s' * (number != 1)}"
