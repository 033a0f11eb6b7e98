# SPDX-License-Identifier: Apache-2.0
"""The testbed file of the provider ``qemu``."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from orchestrator.spec import catalog
from orchestrator.spec.fields import Memory, Packages, expected
from orchestrator.spec.testbed import ROLES, Host, Testbed


def _kernel_name(value: str) -> str:
    known = catalog.known_kernels()
    if value not in known:
        raise expected(f"a kernel of kernel/releases.yaml: {', '.join(known)}")
    return value


KernelName = Annotated[
    str, AfterValidator(_kernel_name), Field(description="A Debian kernel from kernel/releases.yaml.")
]


class QemuHost(Host):
    """A guest: a virtual machine with a Debian kernel. ``memory`` is in bytes."""

    memory: Memory = 2**30
    kernel: KernelName = "trixie-6.12"


class QemuTestbed(Testbed):
    """Guests on this computer, with Debian's own kernels. ``packages``: Debian packages to install in addition to those
    of the lab's image."""

    provider: Literal["qemu"]
    packages: Packages = ()
    hosts: Annotated[tuple[QemuHost, ...], Field(min_length=1, max_length=len(ROLES))]

    @model_validator(mode="after")
    def _each_role_once(self) -> "QemuTestbed":
        self.check_roles()
        return self
