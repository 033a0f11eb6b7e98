# SPDX-License-Identifier: Apache-2.0
"""Lab machines: User-Mode Linux processes, started in a lab."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.testbed.lab.lab import MANAGEMENT, Lab, address_of


@dataclass(frozen=True, slots=True)
class Machine:
    """The parameters of a lab machine.

    ``cpus``: the number of virtual CPUs; ``links``: the names of its links, which become its devices vec1, vec2 and so
    on. vec0 is for the controller. ``arguments``: additional kernel command-line arguments.
    """

    name: str
    number: int
    kernel: Path
    disk: Path
    cpus: int
    memory_bytes: int
    writable: bool = False  # True: the disk itself is written, not a copy-on-write file over it
    links: Sequence[str] = ()
    arguments: Sequence[str] = ()


def boot(lab: Lab, machine: Machine) -> str:
    """Start or restart a machine, and return its address in the lab's network."""
    if machine.writable:
        disk = str(machine.disk)
    else:
        cow = lab.folder / f"{machine.name}.cow"
        lab.request("stop", name=machine.name)
        cow.unlink(missing_ok=True)
        disk = f"{cow},{machine.disk}"
    arguments = [
        f"mem={machine.memory_bytes // 2**20}M",
        f"ncpus={machine.cpus}",
        "seccomp=on",
        "root=/dev/ubda",
        "rootfstype=ext4",
        "rw",
        f"ubd0={disk}",
        f"ubd1r={lab.folder / 'keys.tar'}",
        "con=null",
        "con0=null,fd:1",
        "init=/sbin/orch-init",
        "panic=-1",
        "quiet",
        "bonding.max_bonds=0",  # otherwise the driver creates a bond
        f"orch.name={machine.name}",
        f"orch.address={address_of(machine.number)}/24",
    ]
    arguments += machine.arguments
    bridges = [MANAGEMENT, *machine.links]
    for index in range(len(bridges)):
        mac = f"02:00:00:00:{index:02x}:{machine.number:02x}"
        arguments.append(f"vec{index}:transport=raw,ifname=nic{machine.number}.{index},mac={mac},gro=1")
    return lab.start_program(
        machine.name, machine.number, machine.kernel, arguments, [("veth", bridge, 1) for bridge in bridges]
    )
