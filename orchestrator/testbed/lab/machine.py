# SPDX-License-Identifier: Apache-2.0
"""The parameters that machines of every provider share, and their interfaces in the lab's network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.testbed.lab.lab import MANAGEMENT


@dataclass(frozen=True, slots=True)
class LabMachine:
    """The parameters of a machine.

    ``number``: from 1, for its addresses; ``cpus``: the number of virtual CPUs; ``links``: the names of its links.
    Interface 0 of the machine is for the controller, and interface i for its link i.
    """

    name: str
    number: int
    kernel: Path
    disk: Path
    cpus: int
    memory_bytes: int
    writable: bool = False  # True: the disk itself is written, not a copy-on-write file over it
    links: Sequence[str] = ()

    def ports(self, kind: str, queues: int = 1) -> list[tuple[str, str, int]]:
        """Return the ports of its interfaces in the lab's network, as `Lab.start_program` takes them."""
        return [(kind, bridge, queues) for bridge in (MANAGEMENT, *self.links)]

    def interfaces(self) -> list[tuple[str, str]]:
        """Return for each of its interfaces the lab's device of that port, and the interface's MAC address."""
        return [
            (f"nic{self.number}.{index}", f"02:00:00:00:{index:02x}:{self.number:02x}")
            for index in range(1 + len(self.links))
        ]
