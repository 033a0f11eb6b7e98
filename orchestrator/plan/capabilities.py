# SPDX-License-Identifier: Apache-2.0
"""What a testbed can do, as far as a plan depends on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a testbed can do.

    ``max_cores``, ``min_cores``: the most and the fewest processors that the hosts can use. ``cores_by``: how their
    number is set (``boot``: by a restart; ``off line``: the others are taken off line; ``free``: nothing of a trial
    goes to the others; ``as they are``). ``reasons``: why a limit is what it is, by its name (cores, few_cores,
    variants), as in {"cores": "this computer has 2 cores"}. ``testbeds``: how many carry blocks at the same time; more
    than one in a pool.
    """

    max_cores: int
    cores_by: str
    topologies: tuple[str, ...]
    variants: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)
    min_cores: int = 1
    testbeds: int = 1


def lab_capabilities(computer_cores: int, variants: Sequence[str], machines: int = 1) -> Capabilities:
    """Of the embedded lab with so many machines on a computer with so many usable cores.

    Lab machines never get more virtual CPUs than there are cores: they would measure the computer's scheduler.
    """
    cores = f"this computer has {computer_cores} core{'s' * (computer_cores != 1)}"
    if machines > 1:
        cores += f" for {machines} machines"
    topologies = ("site-to-site", "gateway-to-gateway")
    return Capabilities(max(1, computer_cores // machines), "boot", topologies, tuple(variants), {"cores": cores})
