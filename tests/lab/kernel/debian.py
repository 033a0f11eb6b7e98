# SPDX-License-Identifier: Apache-2.0
"""Machines with Debian's own kernels and our modules, emulated where KVM does not work."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from orchestrator.progress import Silent
from orchestrator.provision import from_here
from orchestrator.spec import load_testbed
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.qemu import machine
from orchestrator.testbed.qemu.disk import BOOT_TIMEOUT_S
from orchestrator.testbed.qemu.provider import GuestMachines
from orchestrator.testbed.qemu.schema import QemuTestbed
from tests.lab.kernel.machine import GUEST, KernelMachine, two_cores

KERNELS = ("bookworm-6.1", "trixie-6.12", "trixie-rt-6.12")


def qemu_testbed(name: str) -> QemuTestbed:
    testbed = load_testbed(name)
    assert isinstance(testbed, QemuTestbed)
    return testbed


@contextmanager
def one_guest(kernel: str) -> Iterator[KernelMachine]:
    """A guest with a kernel of kernel/releases.yaml, two virtual CPUs (or one, as the computer has cores), and the
    programs of kernel/guest."""
    host = qemu_testbed("guests").hosts[0].model_copy(update={"kernel": kernel})
    guests = GuestMachines(qemu_testbed("guests").model_copy(update={"hosts": (host,)}), Silent())
    products = guests.products[host.kernel]
    lab = Lab.start()
    try:
        guests.boot(lab, 1, two_cores())
        machine.wait_until_up(lab, host.name, BOOT_TIMEOUT_S[guests.accelerator.name])
        guest = KernelMachine(lab, host.name, products.builds["upstream"].path)
        modules = {build: from_here(build, product).path for build, product in products.builds.items()}
        # Their dependencies are the kernel's own modules.
        depends = "modinfo -F depends {0} | tr , ' ' | xargs modprobe -a && ln -s {0} /run/modules/{1}.ko"
        guest.run("; ".join(["set -e; mkdir /run/modules", *(depends.format(modules[b], b) for b in modules)]))
        guest.put({path.name: path for path in GUEST.glob("*.py")}, "/run/guest")
        yield guest
    finally:
        lab.close()


def complaints(guest: KernelMachine) -> list[str]:
    """What the guest's kernel log has that should not be there."""
    return re.findall(r".*(?:WARNING|BUG:|Oops|general protection).*", guest.run("dmesg"))
