# SPDX-License-Identifier: Apache-2.0
"""The testbed file of the provider ``uml``."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from orchestrator.spec.fields import MOST_VIRTUAL_CPUS, Memory, Packages, Quantum, expected
from orchestrator.spec.role_cpus import (
    MOST_CORES_OF_OWN,
    MOST_MACHINE_CPUS,
    OWN_CPUS,
    SHARED_CPUS,
    STEERED,
    VETH,
    LinkKind,
    RoleCpus,
    machine_cpus,
)
from orchestrator.spec.testbed import REAL_CLOCK, ROLES, VIRTUAL_CLOCK, Clock, Host, Testbed


class UmlHost(Host):
    """A lab machine. ``memory`` is in bytes."""

    memory: Memory = 2**30


DEFAULT_QUANTUM_S = 20e-6
_VirtualCpus = Annotated[int, Field(ge=1, le=MOST_VIRTUAL_CPUS)]


class UmlTestbed(Testbed):
    """The embedded lab: machines on this computer.

    With ``clock: virtual`` a machine has more virtual CPUs than run at a time (``slots``); each has a clock that
    advances only while it runs. ``quantum_s`` (seconds): how far one of these clocks may run ahead of the others.
    ``slots`` None: as many as this process may use cores of the computer. ``cores``: the maximum number of virtual CPUs
    of a cell, in each gateway if ``role_cpus`` is own, in the whole machine if it is shared. ``links``: how received
    packets get to the CPUs of a role. ``packages``: Debian packages to install in addition to those of the lab's image.
    """

    provider: Literal["uml"]
    packages: Packages = ()
    clock: Clock = Field(
        default=REAL_CLOCK,
        description="virtual: a machine may have more virtual CPUs than the computer has cores, and each has a clock "
        "that advances only while it runs.",
    )
    role_cpus: RoleCpus = Field(
        default=SHARED_CPUS,
        description="own: each role has virtual CPUs of its own, as on separate hosts, the default in virtual "
        "time; shared: all roles share the machine's, the default and the only choice in real time.",
    )
    cores: _VirtualCpus | None = Field(
        default=None,
        description="In virtual time: the maximum number of virtual CPUs of a cell, in each gateway, or if role_cpus "
        "is shared in the whole machine.",
    )
    slots: _VirtualCpus | None = Field(
        default=None,
        description="In virtual time: how many virtual CPUs run at a time, each on a core of this computer; by default "
        "all cores.",
    )
    quantum_s: Quantum = Field(default=DEFAULT_QUANTUM_S, alias="quantum")
    links: LinkKind = Field(
        default=VETH,
        description="How received packets get to the CPUs of a role. veth: they stay on the CPU that sent them, the "
        "default in real time; rss: a gateway spreads them by a hash of their outer headers; steered: flows take the "
        "gateway's CPUs in turn, the default in virtual time.",
    )
    hosts: Annotated[tuple[UmlHost, ...], Field(min_length=1, max_length=len(ROLES))]

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_clock(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("clock") == VIRTUAL_CLOCK:
            return {"role_cpus": OWN_CPUS, "links": STEERED, **values}
        return values

    @field_validator("cores")
    @classmethod
    def _cpus_of_a_machine(cls, cores: int | None, info: ValidationInfo) -> int | None:
        own = info.data.get("role_cpus") == OWN_CPUS
        if cores is not None and own and cores > MOST_CORES_OF_OWN:
            raise expected(
                f"at most {MOST_CORES_OF_OWN} cores, or role_cpus: {SHARED_CPUS}",
                because=f"with CPUs of its own for each role, {cores} cores in each gateway take "
                f"{machine_cpus(cores, OWN_CPUS)} virtual CPUs in all, and a lab machine has at most "
                f"{MOST_MACHINE_CPUS}",
            )
        return cores

    @field_validator("cores", "slots", "quantum_s")
    @classmethod
    def _only_in_virtual_time(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("clock") == REAL_CLOCK:
            name = str(info.field_name).removesuffix("_s")
            raise expected(
                f"no {name}, or clock: {VIRTUAL_CLOCK} beside it", because=f"{name} is a setting of virtual time"
            )
        return value

    @field_validator("role_cpus")
    @classmethod
    def _own_only_in_virtual_time(cls, value: RoleCpus, info: ValidationInfo) -> RoleCpus:
        if value == OWN_CPUS and info.data.get("clock") == REAL_CLOCK:
            raise expected(
                f"role_cpus: {SHARED_CPUS}, or clock: {VIRTUAL_CLOCK} beside it",
                because="in real time a machine has no more virtual CPUs than the computer has cores, which all roles "
                "share",
            )
        return value

    @field_validator("hosts")
    @classmethod
    def _steered_on_one_machine(cls, hosts: tuple[UmlHost, ...], info: ValidationInfo) -> tuple[UmlHost, ...]:
        if len(hosts) > 1 and info.data.get("links", VETH) != VETH and info.data.get("clock") == REAL_CLOCK:
            raise expected(
                f"one host with all roles, or links: {VETH}",
                because=f"links: {info.data['links']} is for virtual Ethernet inside a machine, and a link between two "
                "machines is not one",
            )
        return hosts

    @field_validator("hosts")
    @classmethod
    def _one_clock(cls, hosts: tuple[UmlHost, ...], info: ValidationInfo) -> tuple[UmlHost, ...]:
        if len(hosts) > 1 and info.data.get("clock") == VIRTUAL_CLOCK:
            raise expected(
                f"one host with all roles, or clock: {REAL_CLOCK}",
                because=f"with clock: {VIRTUAL_CLOCK} each machine has a virtual time of its own, so that packets "
                "between two machines would cross between two clocks",
            )
        return hosts

    @model_validator(mode="after")
    def _each_role_once(self) -> "UmlTestbed":
        self.check_roles()
        return self

    @model_validator(mode="after")
    def _virtual_cpus(self) -> "UmlTestbed":
        if self.clock == VIRTUAL_CLOCK and self.cores is None:
            raise expected(
                "the most virtual CPUs that a machine may have, such as cores: 16",
                because=f"with clock: {VIRTUAL_CLOCK} their number does not follow from the computer's",
            )
        return self

    @property
    def timed_by(self) -> Clock:
        return self.clock

    @property
    def wanted_slots(self) -> int | None:
        return self.slots

    def clashes(self, others: Sequence[Testbed]) -> Iterator[str]:
        """Yield where the testbed divides CPUs or steers packets differently from others: all testbeds of a pool must
        agree."""
        first = others[0] if others else self
        if not isinstance(first, UmlTestbed) or self.clock != first.clock:
            return
        for name in ("role_cpus", "links"):
            mine, theirs = getattr(self, name), getattr(first, name)
            if mine != theirs:
                yield (
                    f"{self.testbed} has {name}: {mine}, and {first.testbed} has {name}: {theirs}. Cores mean "
                    "something else with each, so all testbeds of a pool must have the same."
                )
