# SPDX-License-Identifier: Apache-2.0
"""The provisioned disk of lab machines: the lab image, provisioned by Ansible once and shared by copy-on-write.

The product ``lab-disk`` has ``root.ext4`` (sparse). It is finished only after the lab's own check: the lab kernel boots
from it, and every module build loads and is the one that was built.
"""

import os
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.commands import capture
from orchestrator.errors import TestbedError
from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.lab import lab_kernel
from orchestrator.kernel.modules import lab_module
from orchestrator.progress import Progress
from orchestrator.spec.variants import OwnCode
from orchestrator.testbed.lab.disk import Products, disk_inputs, provision, provisioning
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.uml.image import image_inputs, lab_image
from orchestrator.testbed.uml.machine import Machine, boot

BOOT_TIMEOUT_S = 60
_PROVISION_MEMORY = 512 * 2**20


@dataclass(frozen=True, slots=True)
class LabProducts(Products):
    """Everything that lab machines boot from."""

    kernel: cache.Product

    @property
    def kernel_file(self) -> Path:
        return self.kernel.path / "linux"


def lab_products(progress: Progress, own: Sequence[OwnCode] = (), packages: Sequence[str] = ()) -> LabProducts:
    """Return the kernel, modules and provisioned disk, from the cache or built now; the image is built only for a new
    disk.

    The disk has the builds of all shipped variants, so that experiments with any of them share it. The builds of an
    experiment's ``own`` code, or ``packages`` of a testbed file, make it a different disk.
    """
    kernel = lab_kernel(progress)
    made = {build.name: lab_module(build, progress) for build in needed_builds(own)}
    inputs = {"kernel": kernel.key, **disk_inputs(cache.key_of(image_inputs(packages)), made)}
    disk = cache.find("lab-disk", cache.key_of(inputs))
    if disk is None:
        image = lab_image(progress, packages)
        disk = cache.obtain(
            "lab-disk",
            inputs,
            lambda folder: _provision(folder, kernel, image, made, progress),
            progress,
            title="Provisioning the lab machine with Ansible",
            estimate_s=45,
        )
    return LabProducts(disk, made, kernel)


def _provision(
    folder: Path,
    kernel: cache.Product,
    image: cache.Product,
    builds: Mapping[str, cache.Product],
    progress: Progress,
) -> Mapping[str, Any]:
    release = kernel.description["facts"]["release"]
    of_the_kernel = {
        "orch_kernel_release": release,
        "orch_kernel_modules": str(_pack_modules(kernel.path / "modules", folder / "modules.tar")),
    }
    with provisioning(folder, image) as (lab, disk):
        cores = min(2, len(os.sched_getaffinity(0)))
        machine = Machine("lab1", 1, kernel.path / "linux", disk, cores, _PROVISION_MEMORY, writable=True)
        progress.detail("booting the lab kernel")
        boot(lab, machine)
        lab.wait_for_ssh("lab1", BOOT_TIMEOUT_S)
        facts, log = provision(lab, "lab1", release, builds, progress, further=of_the_kernel)
        if not log["crypto"]:
            raise TestbedError("The lab kernel does not report its crypto implementation: our patches are not in it.")
        _shut_down(lab)
    (folder / "modules.tar").unlink()
    return {**facts, "crypto": str(log["crypto"])}


def _pack_modules(modules: Path, target: Path) -> Path:
    """Pack the kernel's own modules into one file, so that they need one task instead of one per module."""

    def anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
        member.uid = member.gid = 0
        member.uname = member.gname = "root"
        member.mode = 0o644
        return member

    with tarfile.open(target, "w") as tar:
        for module in sorted(modules.glob("*.ko")):
            tar.add(module, module.name, filter=anonymous)
    return target


def _shut_down(lab: Lab) -> None:
    """Write everything to the disk and power off the machine."""
    script = "sync; mount -o remount,ro / && echo clean"
    command = ["ssh", *lab.ssh_options(), "root@lab1", script]
    done = capture(command, timeout_s=60)
    if "clean" not in done.stdout:
        raise TestbedError(f"The provisioned disk could not be closed cleanly: {(done.stderr or done.stdout).strip()}")
    lab.request("stop", name="lab1")


def bootable_products() -> list[cache.Product]:
    """Return the cached kernel, modules and disk that this checkout boots from, with all variants. Nothing is built.
    Raises TestbedError if one is missing."""
    products = lab_products(_OnlyCached())
    return [products.kernel, *products.builds.values(), products.disk]


def cached_products() -> list[cache.Product]:
    """Return the cached products that this checkout uses."""
    try:
        used = bootable_products()
    except TestbedError:
        used = []
    image = cache.find("lab-image", cache.key_of(image_inputs()))
    return [*used, image] if image else used


class _OnlyCached:
    """A Progress that raises TestbedError as soon as something would be built."""

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        raise TestbedError(f"Not everything is in the cache yet (next would be: {title}). Run `orch lab up` first.")

    def detail(self, text: str, share: float | None = None) -> None: ...

    def message(self, text: str) -> None: ...
