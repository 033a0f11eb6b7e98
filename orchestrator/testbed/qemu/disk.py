# SPDX-License-Identifier: Apache-2.0
"""The provisioned disk of guests: a guest image after Ansible, made once and shared by copy-on-write.

The product ``guest-disk`` has ``root.ext4`` (sparse). It is finished only after its own check: the guest boots from the
image, and every module build loads and is the one that was built.
"""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.debian import DISK, copy_disk
from orchestrator.errors import TestbedError
from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.releases import cached_release_module, load_releases, release_module
from orchestrator.paths import PLAYBOOKS
from orchestrator.progress import Progress
from orchestrator.provision import Target, from_here, run_playbook, variables
from orchestrator.spec.variants import OwnCode
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.qemu.image import cached_image, guest_image
from orchestrator.testbed.qemu.machine import KVM, TCG, Guest, boot, shut_down, wait_until_up
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.uml.image import FIXED_TIME_S

BOOT_TIMEOUT_S = {KVM: 60.0, TCG: 240.0}  # emulated on a busy computer with two cores, 60 s were seen
_PROVISION_TIMEOUT_S = 1800
_MEMORY = 2**30


@dataclass(frozen=True, slots=True)
class GuestProducts:
    """Everything that the guests of a release boot from. ``builds``: module build name -> its product."""

    image: cache.Product
    disk: cache.Product
    builds: Mapping[str, cache.Product]

    @property
    def disk_file(self) -> Path:
        return self.disk.path / DISK


def guest_products(
    name: str,
    accelerator: str,
    progress: Progress,
    own: Sequence[OwnCode] = (),
    packages: Sequence[str] = (),
) -> GuestProducts:
    """Return the image, modules and provisioned disk of a release, from the cache or built now. The disk has the builds
    of all shipped variants and of an experiment's ``own`` code. ``packages``: those of a testbed file."""
    release = load_releases()[name]
    image = guest_image(release, progress, packages)
    made = {build.name: release_module(name, build, progress) for build in needed_builds(own)}
    check_release(image, made)
    disk = cache.obtain(
        "guest-disk",
        _inputs(image, made),
        lambda folder: _provision(folder, image, made, accelerator, progress),
        progress,
        title=f"Provisioning the guest {name} with Ansible",
        estimate_s=60 if accelerator == KVM else 150,
    )
    return GuestProducts(image, disk, made)


def _inputs(image: cache.Product, builds: Mapping[str, cache.Product]) -> dict[str, Any]:
    return {
        "image": image.key,
        "playbooks": cache.hash_tree(PLAYBOOKS),
        "modules": {build: product.key for build, product in builds.items()},
    }


def check_release(image: cache.Product, builds: Mapping[str, cache.Product]) -> None:
    """Raise TestbedError if a module is for another kernel than the image boots: Debian released a new one between
    their builds."""
    exact = image.description["facts"]["kernel_release"]
    for build, product in builds.items():
        found = product.description["facts"]["release"]
        if found != exact:
            older = min((image, product), key=lambda made: str(made.description["made_at"]))
            raise TestbedError(
                f"The wireguard module ({build}) was built for the kernel {found}, and the guest image boots {exact}: "
                f"Debian has released another one between the two. Remove {older.path} and try again; it is then "
                "made anew."
            )


def _provision(
    folder: Path,
    image: cache.Product,
    builds: Mapping[str, cache.Product],
    accelerator: str,
    progress: Progress,
) -> Mapping[str, Any]:
    disk = folder / DISK
    copy_disk(image.path / DISK, disk)
    lab = Lab.start()
    try:
        progress.detail(f"booting the guest ({accelerator})")
        kernel, initrd = image.path / "vmlinuz", image.path / "initrd"
        cores = min(2, len(os.sched_getaffinity(0))) if accelerator == KVM else 1
        boot(lab, Guest("guest1", 1, kernel, initrd, disk, cores, _MEMORY, accelerator, writable=True))
        wait_until_up(lab, "guest1", BOOT_TIMEOUT_S[accelerator])
        wanted = variables([from_here(name, product) for name, product in builds.items()])
        target = Target("guest1", "root", lab.ssh_options())
        outcome = run_playbook("provision", [target], wanted, progress, timeout_s=_PROVISION_TIMEOUT_S)
        progress.detail("checking that every module build loads")
        _check(lab, image.description["facts"]["kernel_release"], builds)
        progress.detail("shutting the guest down")
        shut_down(lab, "guest1")
    finally:
        lab.close()
    shutil.copy(image.path / "packages.txt", folder)
    os.utime(disk, (FIXED_TIME_S, FIXED_TIME_S))
    return {"tasks": outcome.tasks, "changed": outcome.changed, "provisioned_by": accelerator}


def _check(lab: Lab, release: str, builds: Mapping[str, cache.Product]) -> None:
    agent = Agent(lab.login("guest1"))
    try:
        facts = agent.request("hello")
        if facts["kernel_release"] != release:
            raise TestbedError(f"The guest runs {facts['kernel_release']}, not {release}.")
        for name, product in builds.items():
            build_id = product.description["facts"]["build_id"]
            module = from_here(name, product).path
            agent.request("variant", timeout_s=120, module=module, build_id=build_id, parameters={})
        complaints = agent.request("kernel_log", most=5)["complaints"]
        if complaints:
            raise TestbedError(f"The guest's kernel complains after loading the modules: {' | '.join(complaints)}")
    finally:
        agent.close()


def cached_products() -> list[cache.Product]:
    """Return the cached products that guests of this checkout use."""
    found = []
    for release in load_releases().values():
        modules = {build.name: cached_release_module(release, build) for build in needed_builds()}
        made = {build: product for build, product in modules.items() if product}
        image = cached_image(release)
        disk = cache.find("guest-disk", cache.key_of(_inputs(image, made))) if image else None
        found += [*made.values(), *(product for product in (image, disk) if product)]
    return found
