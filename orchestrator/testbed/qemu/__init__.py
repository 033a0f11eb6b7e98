# SPDX-License-Identifier: Apache-2.0
"""The provider ``qemu``: QEMU virtual machines on this computer, with Debian's own kernels, under KVM or emulated."""

import os
from typing import TYPE_CHECKING

from orchestrator.progress import Progress
from orchestrator.testbed.lab.provider import LabProvider
from orchestrator.testbed.qemu.schema import QemuTestbed

if TYPE_CHECKING:
    from orchestrator.plan import Capabilities
    from orchestrator.testbed.protocol import Sharing
    from orchestrator.testbed.qemu.provider import GuestMachines, OpenQemuTestbed


class Qemu(LabProvider[QemuTestbed]):
    """Guests on this computer."""

    summary = "guests on this computer, with Debian's own kernels"
    schema = QemuTestbed

    def capabilities(self, testbed: QemuTestbed) -> "Capabilities":
        from orchestrator.testbed.qemu.provider import guests_capabilities

        return guests_capabilities(testbed, len(os.sched_getaffinity(0)))

    def open(
        self, testbed: QemuTestbed, progress: Progress, *, wait: bool, sharing: "Sharing | None"
    ) -> "OpenQemuTestbed":
        from orchestrator.testbed.qemu.provider import OpenQemuTestbed

        return OpenQemuTestbed(testbed, progress, wait=wait, sharing=sharing)

    def machines(self, testbed: QemuTestbed, progress: Progress) -> "GuestMachines":
        from orchestrator.testbed.qemu.provider import GuestMachines

        return GuestMachines(testbed, progress)


PROVIDER = Qemu()
