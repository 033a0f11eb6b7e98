# SPDX-License-Identifier: Apache-2.0
"""Lab machines: User-Mode Linux processes, started in a lab."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator.testbed.lab.lab import Lab, address_of
from orchestrator.testbed.lab.machine import LabMachine


@dataclass(frozen=True, slots=True)
class Machine(LabMachine):
    """The parameters of a lab machine, whose interfaces are its devices vec0, vec1 and so on.

    ``arguments``: additional kernel command-line arguments.
    """

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
    for index, (device, mac) in enumerate(machine.interfaces()):
        arguments.append(f"vec{index}:transport=raw,ifname={device},mac={mac},gro=1")
    return lab.start_program(machine.name, machine.number, machine.kernel, arguments, machine.ports("veth"))
