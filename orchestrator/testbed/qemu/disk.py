# SPDX-License-Identifier: Apache-2.0
"""The provisioned disk of guests: a guest image, provisioned by Ansible once and shared by copy-on-write.

The product ``guest-disk`` has ``root.ext4`` (sparse). It is finished only after its own check: the guest boots from the
image, and every module build loads and is the one that was built.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.errors import TestbedError
from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.releases import cached_release_module, load_releases, release_module
from orchestrator.progress import Progress
from orchestrator.spec.variants import OwnCode
from orchestrator.testbed.lab.disk import Products, disk_inputs, provision, provisioning
from orchestrator.testbed.qemu.image import cached_image, guest_image
from orchestrator.testbed.qemu.machine import KVM, TCG, Guest, boot, shut_down, wait_until_up

BOOT_TIMEOUT_S = {KVM: 60.0, TCG: 240.0}  # emulated on a busy computer with two cores, a boot took 60 s
_PROVISION_TIMEOUT_S = 1800
_MEMORY = 2**30


@dataclass(frozen=True, slots=True)
class GuestProducts(Products):
    """Everything that the guests of a release boot from."""

    image: cache.Product


def guest_products(
    name: str,
    accelerator: str,
    progress: Progress,
    own: Sequence[OwnCode] = (),
    packages: Sequence[str] = (),
) -> GuestProducts:
    """Return the image, modules and provisioned disk of a release, from the cache or built now.

    The disk has the builds of all shipped variants and of an experiment's ``own`` code. ``packages``: those of a
    testbed file.
    """
    release = load_releases()[name]
    image = guest_image(release, progress, packages)
    made = {build.name: release_module(name, build, progress) for build in needed_builds(own)}
    check_release(image, made)
    disk = cache.obtain(
        "guest-disk",
        disk_inputs(image.key, made),
        lambda folder: _provision(folder, image, made, accelerator, progress),
        progress,
        title=f"Provisioning the guest {name} with Ansible",
        estimate_s=60 if accelerator == KVM else 150,
    )
    return GuestProducts(disk, made, image)


def check_release(image: cache.Product, builds: Mapping[str, cache.Product]) -> None:
    """Raise TestbedError if a module is for another kernel than the image boots, because Debian released a new one
    between their builds."""
    exact = image.description["facts"]["kernel_release"]
    for build, product in builds.items():
        found = product.description["facts"]["release"]
        if found != exact:
            older = min((image, product), key=lambda made: str(made.description["made_at"]))
            raise TestbedError(
                f"The wireguard module ({build}) was built for the kernel {found}, and the guest image boots {exact}: "
                f"Debian has released another one between the two. Remove {older.path} and try again; it is then "
                "built again."
            )


def _provision(
    folder: Path,
    image: cache.Product,
    builds: Mapping[str, cache.Product],
    accelerator: str,
    progress: Progress,
) -> Mapping[str, Any]:
    with provisioning(folder, image) as (lab, disk):
        progress.detail(f"booting the guest ({accelerator})")
        kernel, initrd = image.path / "vmlinuz", image.path / "initrd"
        cores = min(2, len(os.sched_getaffinity(0))) if accelerator == KVM else 1
        guest = Guest("guest1", 1, kernel, disk, cores, _MEMORY, writable=True, initrd=initrd, accelerator=accelerator)
        boot(lab, guest)
        wait_until_up(lab, "guest1", BOOT_TIMEOUT_S[accelerator])
        release = image.description["facts"]["kernel_release"]
        facts, _ = provision(lab, "guest1", release, builds, progress, timeout_s=_PROVISION_TIMEOUT_S)
        progress.detail("shutting the guest down")
        shut_down(lab, "guest1")
    return {**facts, "provisioned_by": accelerator}


def cached_products() -> list[cache.Product]:
    """Return the cached products that guests of this checkout use."""
    found = []
    for release in load_releases().values():
        modules = {build.name: cached_release_module(release, build) for build in needed_builds()}
        made = {build: product for build, product in modules.items() if product}
        image = cached_image(release)
        disk = cache.find("guest-disk", cache.key_of(disk_inputs(image.key, made))) if image else None
        found += [*made.values(), *(product for product in (image, disk) if product)]
    return found
