# SPDX-License-Identifier: Apache-2.0
"""The embedded lab as the testbed of a run."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from orchestrator.progress import Progress
from orchestrator.spec import crossing_links
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.lab.testbed import LabTestbed, module_file
from orchestrator.testbed.protocol import ModuleFile, Sharing
from orchestrator.testbed.uml.disk import BOOT_TIMEOUT_S, LabProducts, lab_products
from orchestrator.testbed.uml.machine import Machine, boot
from orchestrator.testbed.virtual import VirtualTime, virtual_time_of

if TYPE_CHECKING:
    from orchestrator.testbed.uml import schema


class UmlMachines:
    """The lab machines of a testbed. The constructor builds what they boot from if it is not cached.

    ``virtual``: their virtual time; None if their clock is real.
    """

    def __init__(self, testbed: "schema.UmlTestbed", progress: Progress, virtual: VirtualTime | None = None) -> None:
        self._spec = testbed
        self._virtual = virtual
        self._patience = 1.0
        self.products: LabProducts = lab_products(progress, testbed.own_code, testbed.packages)

    def boot(self, lab: Lab, number: int, cores: int) -> None:
        host = self._spec.hosts[number - 1]
        links = crossing_links(self._spec.hosts, host)
        kernel, disk = self.products.kernel_file, self.products.disk_file
        virtual = self._virtual
        self._patience = 1.0 if virtual is None else virtual.patience(cores)
        arguments = () if virtual is None else virtual.arguments(cores)
        cpus = cores if virtual is None else virtual.machine_cpus(cores)
        boot(lab, Machine(host.name, number, kernel, disk, cpus, host.memory, links=links, arguments=arguments))

    def wait(self, lab: Lab, name: str) -> None:
        lab.wait_for_ssh(name, BOOT_TIMEOUT_S * self._patience)


class OpenUmlTestbed(LabTestbed):
    """Lab machines on this computer."""

    provider = "uml"

    def __init__(
        self, testbed: "schema.UmlTestbed", progress: Progress, *, wait: bool = True, sharing: Sharing | None = None
    ) -> None:
        share = sharing.slots if sharing else None
        virtual = virtual_time_of(testbed, tuple(os.sched_getaffinity(0)), share)
        super().__init__(testbed, "vec", "machine", progress, wait, sharing, virtual, testbed.links)
        self._uml = testbed
        self._products: LabProducts | None = None

    def _obtain(self) -> UmlMachines:
        machines = UmlMachines(self._uml, self._progress, self.virtual)
        self._products = machines.products
        return machines

    def module(self, build: str, host: str) -> ModuleFile:
        assert self._products is not None
        return module_file(build, self._products.builds[build])

    def environment(self) -> Mapping[str, Any]:
        assert self._products is not None
        products = self._products
        return {
            "kernel": {"key": products.kernel.key, **products.kernel.description["facts"]},
            **products.described,
        }
