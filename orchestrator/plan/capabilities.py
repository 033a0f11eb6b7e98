# SPDX-License-Identifier: Apache-2.0
"""The capabilities of a testbed, as far as a plan depends on them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from orchestrator.spec import OWN_CPUS, REAL_CLOCK, SHARED_CPUS, VIRTUAL_CLOCK, Clock, RoleCpus
from orchestrator.spec.variants import Variants

_LAB_TOPOLOGIES = ("site-to-site", "gateway-to-gateway")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a testbed can do.

    ``max_cores``, ``min_cores``: the most and the fewest processors that the hosts can use. ``cores_by``: how their
    number is set (``boot``: by a restart; ``offline``: the others are taken offline; ``free``: nothing of a trial
    goes to the others; ``as they are``). ``reasons``: the cause of a limit by its name (cores, few_cores, variants), as
    in {"cores": "this computer has 2 cores"}. ``testbeds``: how many carry blocks at the same time; more than one in a
    pool. ``clock``: real or virtual; ``slots``: in virtual time, how many virtual CPUs run at a time, else None.
    ``role_cpus``: whether roles on a machine share its CPUs, or each has its own. ``restarts``: whether the hosts are
    restarted for each block of a plan with several boots.
    """

    max_cores: int
    cores_by: str
    topologies: tuple[str, ...]
    variants: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    min_cores: int = 1
    testbeds: int = 1
    clock: Clock = REAL_CLOCK
    slots: int | None = None
    role_cpus: RoleCpus = SHARED_CPUS
    restarts: bool = True

    def own_boots(self, boots: int) -> bool:
        """Return True if a plan with ``boots`` boots restarts hosts that setting a block's cores does not restart."""
        return boots > 1 and self.restarts and self.cores_by != "boot"

    def with_own(self, own: Variants, shipped: Variants) -> "Capabilities":
        """Return these capabilities with the variants of an experiment's own file added.

        A testbed that cannot load all ``shipped`` variants can load an own variant if that loads no module, or if its
        base and polling mode are those of a shipped one that the testbed can load.
        """
        able = {one.kind for one in shipped.described if one.name in self.variants}
        more = [
            one.name for one in own.described if "variants" not in self.reasons or not one.build or one.kind in able
        ]
        return replace(self, variants=(*self.variants, *more))


def lab_capabilities(computer_cores: int, variants: Sequence[str], machines: int = 1) -> Capabilities:
    """Return the capabilities of the embedded lab in real time.

    ``computer_cores``: how many cores this process may use; ``machines``: how many machines the lab has. Machines never
    get more virtual CPUs than there are cores, because they would then measure the computer's scheduler.
    """
    cores = f"this computer has {computer_cores} core{'s' * (computer_cores != 1)}"
    if machines > 1:
        cores += f" for {machines} machines"
    most = max(1, computer_cores // machines)
    return Capabilities(most, "boot", _LAB_TOPOLOGIES, tuple(variants), {"cores": cores})


def virtual_lab_capabilities(
    cores: int, slots: int, variants: Sequence[str], role_cpus: RoleCpus = SHARED_CPUS
) -> Capabilities:
    """Return the capabilities of the embedded lab in virtual time.

    ``cores``: the most virtual CPUs that its testbed file allows, in each gateway where roles have their own;
    ``slots``: how many run at a time.
    """
    whose = " in each gateway" if role_cpus == OWN_CPUS else ""
    reason = f"the testbed file allows {cores} virtual CPU{'s' * (cores != 1)}{whose} (cores: {cores})"
    return Capabilities(
        cores,
        "boot",
        _LAB_TOPOLOGIES,
        tuple(variants),
        {"cores": reason},
        clock=VIRTUAL_CLOCK,
        slots=slots,
        role_cpus=role_cpus,
    )
