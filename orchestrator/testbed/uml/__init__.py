# SPDX-License-Identifier: Apache-2.0
"""The provider ``uml``, the embedded lab: machines of User-Mode Linux on this computer."""

import os
from typing import TYPE_CHECKING

from orchestrator.progress import Progress
from orchestrator.testbed.lab.provider import LabProvider
from orchestrator.testbed.uml.schema import UmlTestbed

if TYPE_CHECKING:
    from orchestrator.plan import Capabilities
    from orchestrator.testbed.protocol import Sharing
    from orchestrator.testbed.uml.provider import OpenUmlTestbed, UmlMachines
    from orchestrator.testbed.virtual import VirtualTime


class Uml(LabProvider[UmlTestbed]):
    """The embedded lab."""

    summary = "the lab on this computer"
    schema = UmlTestbed

    def capabilities(self, testbed: UmlTestbed) -> "Capabilities":
        from orchestrator.kernel.variants import load_variants
        from orchestrator.plan.capabilities import lab_capabilities, virtual_lab_capabilities

        variants = tuple(load_variants())
        if virtual := self.virtual(testbed):
            return virtual_lab_capabilities(virtual.cores, virtual.slots, variants, virtual.role_cpus)
        return lab_capabilities(len(os.sched_getaffinity(0)), variants, len(testbed.hosts))

    def open(
        self, testbed: UmlTestbed, progress: Progress, *, wait: bool, sharing: "Sharing | None"
    ) -> "OpenUmlTestbed":
        from orchestrator.testbed.uml.provider import OpenUmlTestbed

        return OpenUmlTestbed(testbed, progress, wait=wait, sharing=sharing)

    def virtual(self, testbed: UmlTestbed) -> "VirtualTime | None":
        from orchestrator.testbed.virtual import virtual_time_of

        return virtual_time_of(testbed, tuple(os.sched_getaffinity(0)))

    def machines(self, testbed: UmlTestbed, progress: Progress) -> "UmlMachines":
        from orchestrator.testbed.uml.provider import UmlMachines

        return UmlMachines(testbed, progress, self.virtual(testbed))


PROVIDER = Uml()
