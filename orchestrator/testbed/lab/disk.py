# SPDX-License-Identifier: Apache-2.0
"""Disks of machines in a lab: an image, provisioned by Ansible once and shared by copy-on-write.

A disk is finished only after a check: the machine boots from it, and every module build loads and is the one that was
built.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.agent.host_messages import KernelLogRequest, VariantRequest
from orchestrator.agent.survey_messages import HelloRequest
from orchestrator.debian import DISK, copy_disk
from orchestrator.errors import TestbedError
from orchestrator.paths import PLAYBOOKS
from orchestrator.provision import from_here
from orchestrator.testbed.lab.image import FIXED_TIME_S
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.remote import Agent

_LOAD_TIMEOUT_S = 120.0  # to load a module on an emulated machine


@dataclass(frozen=True, slots=True)
class Products:
    """The products that machines of every provider boot from. ``builds``: module build name -> its product."""

    disk: cache.Product
    builds: Mapping[str, cache.Product]

    @property
    def disk_file(self) -> Path:
        return self.disk.path / DISK

    @property
    def described(self) -> dict[str, Any]:
        """The properties of the products that are recorded."""
        return {
            "image_packages": (self.disk.path / "packages.txt").read_text().splitlines(),
            "modules": {build: product.description["facts"] for build, product in self.builds.items()},
            "disk": {"key": self.disk.key, **self.disk.description["facts"]},
        }


def disk_inputs(image: str, builds: Mapping[str, cache.Product]) -> dict[str, Any]:
    """Return the inputs of a disk. ``image``: the key of its image."""
    return {
        "image": image,
        "playbooks": cache.hash_tree(PLAYBOOKS),
        "modules": {build: product.key for build, product in builds.items()},
    }


@contextmanager
def provisioning(folder: Path, image: cache.Product) -> Iterator[tuple[Lab, Path]]:
    """Context manager that yields a lab and, in ``folder``, a writable copy of the image's disk for a machine in it.

    The disk is complete if the context ends without an error.
    """
    disk = folder / DISK
    copy_disk(image.path / DISK, disk)
    lab = Lab.start()
    try:
        yield lab, disk
    finally:
        lab.close()
    shutil.copy(image.path / "packages.txt", folder)
    os.utime(disk, (FIXED_TIME_S, FIXED_TIME_S))


def check_modules(lab: Lab, machine: str, release: str, builds: Mapping[str, cache.Product]) -> Mapping[str, Any]:
    """Check that a machine runs a kernel release and that every module build loads there. Return the agent's answer to
    ``kernel_log`` after that. Raises TestbedError."""
    agent = Agent(lab.login(machine))
    try:
        running = agent.request(HelloRequest())["kernel_release"]
        if running != release:
            raise TestbedError(f"The machine {machine} runs the kernel {running}, not {release}.")
        for name, product in builds.items():
            build_id = product.description["facts"]["build_id"]
            module = from_here(name, product).path
            agent.request(VariantRequest(module, build_id, {}), timeout_s=_LOAD_TIMEOUT_S)
        log = agent.request(KernelLogRequest(most=5))
    finally:
        agent.close()
    if log["complaints"]:
        said = " | ".join(log["complaints"])
        raise TestbedError(f"The kernel of {machine} complains after loading the modules: {said}")
    return log
