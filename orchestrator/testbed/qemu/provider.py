# SPDX-License-Identifier: Apache-2.0
"""Guests on this computer as the testbed of a run: under KVM if it works, otherwise emulated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from orchestrator.kernel.releases import load_releases
from orchestrator.kernel.source import version_key
from orchestrator.kernel.variants import load_variants
from orchestrator.plan.capabilities import Capabilities, lab_capabilities
from orchestrator.progress import Progress
from orchestrator.spec import GATEWAYS, crossing_links
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.lab.testbed import LabTestbed, module_file
from orchestrator.testbed.protocol import ModuleFile, Sharing, State
from orchestrator.testbed.qemu.disk import BOOT_TIMEOUT_S, GuestProducts, guest_products
from orchestrator.testbed.qemu.image import guest_image
from orchestrator.testbed.qemu.machine import TCG, Guest, accelerator_of, boot, program, version, wait_until_up
from orchestrator.testbed.qemu.probe import Accelerator, find_accelerator

if TYPE_CHECKING:
    from orchestrator.testbed.qemu import schema

_THREADED_FROM = (6, 12)
_UNSAFE = "a threaded NAPI can stall for good on kernels before 6.12 (CVE-2026-52945)"


def guests_capabilities(testbed: "schema.QemuTestbed", computer_cores: int) -> Capabilities:
    """Return what guests can do on a computer with ``computer_cores`` usable cores."""
    variants = load_variants()
    found = lab_capabilities(computer_cores, tuple(variants), len(testbed.hosts))
    kernels = [host.kernel for host in testbed.hosts if set(host.roles) & set(GATEWAYS)]
    if all(version_key(kernel.rpartition("-")[2]) >= _THREADED_FROM for kernel in kernels):
        return found
    safe = tuple(name for name, variant in variants.items() if not variant.threaded)
    return replace(found, variants=safe, reasons={**found.reasons, "variants": _UNSAFE})


class GuestMachines:
    """The guests of a testbed. The constructor builds what they boot from if it is not cached. Raises TestbedError."""

    def __init__(self, testbed: "schema.QemuTestbed", progress: Progress) -> None:
        program()  # fails before anything is built
        self._spec = testbed
        kernels = list(dict.fromkeys(host.kernel for host in testbed.hosts))
        first = guest_image(load_releases()[kernels[0]], progress, testbed.packages)
        self.accelerator: Accelerator = find_accelerator(first.path / "vmlinuz", first.path / "initrd", progress)
        self.products: dict[str, GuestProducts] = {
            kernel: guest_products(kernel, self.accelerator.name, progress, testbed.own_code, testbed.packages)
            for kernel in kernels
        }
        if self.emulated:
            progress.message(
                f"The testbed {testbed.testbed} is emulated, since {self.accelerator.why}: it shows that things work, "
                "not how fast."
            )

    @property
    def emulated(self) -> bool:
        return self.accelerator.name == TCG

    def boot(self, lab: Lab, number: int, cores: int) -> None:
        host = self._spec.hosts[number - 1]
        products = self.products[host.kernel]
        guest = Guest(
            host.name,
            number,
            products.image.path / "vmlinuz",
            products.disk_file,
            cores,
            host.memory,
            links=crossing_links(self._spec.hosts, host),
            initrd=products.image.path / "initrd",
            accelerator=self.accelerator.name,
        )
        boot(lab, guest)

    def wait(self, lab: Lab, name: str) -> None:
        wait_until_up(lab, name, BOOT_TIMEOUT_S[self.accelerator.name])


class OpenQemuTestbed(LabTestbed):
    """Guests on this computer. ``emulated`` is known once the testbed has been entered."""

    provider = "qemu"

    def __init__(
        self, testbed: "schema.QemuTestbed", progress: Progress, *, wait: bool = True, sharing: Sharing | None = None
    ) -> None:
        super().__init__(testbed, "nic", "guest", progress, wait, sharing)
        self._kernels = {host.name: host.kernel for host in testbed.hosts}
        self._guests: GuestMachines | None = None
        self._qemu = testbed

    def _obtain(self) -> GuestMachines:
        self._guests = GuestMachines(self._qemu, self._progress)
        if self._guests.emulated:
            self.emulated = True
            self.label += ", emulated: functional only"
        return self._guests

    def prepare(self, state: State) -> Mapping[str, Any]:
        found = super().prepare(state)
        return {name: {**facts, "accelerator": accelerator_of(self.lab, name)} for name, facts in found.items()}

    def module(self, build: str, host: str) -> ModuleFile:
        assert self._guests is not None
        return module_file(build, self._guests.products[self._kernels[host]].builds[build])

    def environment(self) -> Mapping[str, Any]:
        assert self._guests is not None
        accelerator, kernels = self._guests.accelerator, self._guests.products
        parts = {kernel: _described(products) for kernel, products in kernels.items()}
        return {
            "qemu": version(),
            "accelerator": {"name": accelerator.name, "why": accelerator.why},
            **(parts.popitem()[1] if len(parts) == 1 else {"guests": parts}),
        }


def _described(products: GuestProducts) -> dict[str, Any]:
    image = products.image.description["facts"]
    return {
        "kernel": {"key": products.image.key, "release": image["kernel_release"], "for": image["for"]},
        **products.described,
    }
