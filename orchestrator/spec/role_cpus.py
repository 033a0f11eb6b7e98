# SPDX-License-Identifier: Apache-2.0
"""The virtual CPUs of a lab machine whose roles have their own CPUs: how many, and which belong to which role.

Virtual CPUs cost nothing, so each role has as many as a host of its own would have: the number of cores of the cell. In
earlier runs the client and the server had half as many, and the server then limited fast variants.
"""

from typing import Literal

RoleCpus = Literal["shared", "own"]
SHARED_CPUS: RoleCpus = "shared"
OWN_CPUS: RoleCpus = "own"
# How many CPUs the client and the server have: as many as a gateway, or half as many, as in runs that do not state it.
Ends = Literal["equal", "half"]
EQUAL_ENDS: Ends = "equal"
HALF_ENDS: Ends = "half"
# How packets get to the CPUs of the role that receives them.
LinkKind = Literal["veth", "rss", "steered"]
VETH: LinkKind = "veth"
RSS: LinkKind = "rss"
STEERED: LinkKind = "steered"
MOST_MACHINE_CPUS = 128  # CONFIG_NR_CPUS of the lab kernel


def group_sizes(cores: int, ends: Ends = EQUAL_ENDS) -> tuple[int, int, int, int]:
    """Return the number of CPUs of the client, gateway-a, gateway-b and the server, in this order."""
    end = cores if ends == EQUAL_ENDS else max(1, -(-cores // 2))
    return end, cores, cores, end


def groups(cores: int) -> tuple[range, range, range, range]:
    """Return the CPU numbers of each role, one role after another."""
    client, a, b, server = group_sizes(cores)
    first, second, third = client, client + a, client + a + b
    return range(first), range(first, second), range(second, third), range(third, third + server)


def machine_cpus(cores: int, role_cpus: RoleCpus, ends: Ends = EQUAL_ENDS) -> int:
    """Return the total number of CPUs of a machine, in a cell with the given number of cores."""
    return sum(group_sizes(cores, ends)) if role_cpus == OWN_CPUS else cores


MOST_CORES_OF_OWN = max(cores for cores in range(1, MOST_MACHINE_CPUS) if sum(group_sizes(cores)) <= MOST_MACHINE_CPUS)
