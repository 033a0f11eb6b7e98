# SPDX-License-Identifier: Apache-2.0
"""Testbeds: the providers, and what a testbed can do."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator import plan, spec
    from orchestrator.progress import Progress
    from orchestrator.testbed.lab.testbed import Machines
    from orchestrator.testbed.protocol import Sharing, Testbed


def usable_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def capabilities(testbed: "spec.Testbed") -> "plan.Capabilities":
    """What a testbed can do, found without changing or starting anything. Raises TestbedError where it cannot be used
    as its file says."""
    from orchestrator import spec
    from orchestrator.kernel.variants import load_variants
    from orchestrator.plan.capabilities import lab_capabilities, virtual_lab_capabilities
    from orchestrator.testbed.virtual import virtual_time_of

    if isinstance(testbed, spec.SshTestbed):
        from orchestrator.testbed.ssh.looking import hosts_capabilities

        return hosts_capabilities(testbed)
    if isinstance(testbed, spec.QemuTestbed):
        from orchestrator.testbed.qemu.provider import guests_capabilities

        return guests_capabilities(testbed, usable_cores())
    if virtual := virtual_time_of(testbed, tuple(os.sched_getaffinity(0))):
        return virtual_lab_capabilities(virtual.cores, virtual.slots, tuple(load_variants()), virtual.role_cpus)
    return lab_capabilities(usable_cores(), tuple(load_variants()), len(testbed.hosts))


def open_testbed(
    testbed: "spec.Testbed", progress: "Progress", *, wait: bool = True, sharing: "Sharing | None" = None
) -> "Testbed":
    """A testbed, ready to be entered. ``wait``: for another run that uses it; else that is a TestbedError. ``sharing``:
    its computer, with other testbeds of the run."""
    from orchestrator import spec

    if isinstance(testbed, spec.SshTestbed):
        from orchestrator.testbed.ssh.provider import HostsTestbed

        return HostsTestbed(testbed, progress, wait=wait)
    if isinstance(testbed, spec.QemuTestbed):
        from orchestrator.testbed.qemu.provider import QemuTestbed

        return QemuTestbed(testbed, progress, wait=wait, sharing=sharing)
    from orchestrator.testbed.uml.provider import UmlTestbed

    return UmlTestbed(testbed, progress, wait=wait, sharing=sharing)


def machines_of(testbed: "spec.UmlTestbed | spec.QemuTestbed", progress: "Progress") -> "Machines":
    """The machines of a testbed that is on this computer; what they boot from is made where the cache has none."""
    from orchestrator import spec

    if isinstance(testbed, spec.QemuTestbed):
        from orchestrator.testbed.qemu.provider import GuestMachines

        return GuestMachines(testbed, progress)
    from orchestrator.testbed.uml.provider import UmlMachines
    from orchestrator.testbed.virtual import virtual_time_of

    return UmlMachines(testbed, progress, virtual_time_of(testbed, tuple(os.sched_getaffinity(0))))


def restore(testbed: "spec.Testbed", *, force: bool = False) -> list[str]:
    """Put back what a run that crashed left changed on the hosts; sentences on what was done and what was not.

    ``force``: end what still has a host, for instance an agent whose controller is gone. Raises TestbedError while a
    run of this computer uses the testbed, or where the journal cannot be read.
    """
    from orchestrator import spec

    if isinstance(testbed, spec.SshTestbed):
        from orchestrator.testbed.ssh.provider import restore as restore_hosts

        return restore_hosts(testbed, force=force)
    from orchestrator.testbed.lab.testbed import restore as restore_lab

    return restore_lab(testbed)
