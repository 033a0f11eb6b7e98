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
from orchestrator.progress import Progress
from orchestrator.provision import Target, from_here, run_playbook, variables
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


def provision(
    lab: Lab,
    machine: str,
    release: str,
    builds: Mapping[str, cache.Product],
    progress: Progress,
    *,
    further: Mapping[str, Any] | None = None,
    timeout_s: float = 900,
) -> tuple[dict[str, Any], Mapping[str, Any]]:
    """Provision a machine that accepts logins, and check its modules as `check_modules` does.

    ``further``: variables of the playbook in addition to the module builds; ``timeout_s``: of the playbook. Return what
    is recorded of the disk, and the agent's answer to ``kernel_log``. Raises TestbedError.
    """
    wanted = {**variables([from_here(name, product) for name, product in builds.items()]), **(further or {})}
    target = Target(machine, "root", lab.ssh_options())
    outcome = run_playbook("provision", [target], wanted, progress, timeout_s=timeout_s)
    progress.detail("checking that every module build loads")
    log = check_modules(lab, machine, release, builds)
    return {"tasks": outcome.tasks, "changed": outcome.changed}, log


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
