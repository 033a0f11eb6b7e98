# SPDX-License-Identifier: Apache-2.0
"""A kind of testbed, from what its file may say to a testbed that can be entered.

A provider is a folder: its ``__init__.py`` has ``PROVIDER``, an instance of a subclass of `Provider`, and what that
needs lies beside it. docs/extending.md shows one.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from orchestrator.errors import UserError
from orchestrator.spec import PROVIDERS, Testbed

if TYPE_CHECKING:
    from orchestrator.finding import Finding
    from orchestrator.plan import Capabilities
    from orchestrator.progress import Progress
    from orchestrator.testbed.lab.testbed import Machines
    from orchestrator.testbed.protocol import Sharing
    from orchestrator.testbed.protocol import Testbed as Opened
    from orchestrator.testbed.virtual import VirtualTime

T = TypeVar("T", bound=Testbed)


class Provider(ABC, Generic[T]):
    """How testbeds of one kind are described, looked at, opened and put back.

    ``summary``: what it is, in a few words; ``schema``: what describes a testbed file; ``local``: its machines are on
    this computer, whose cores they share with other testbeds.
    """

    summary: ClassVar[str]
    schema: type[T]
    local: ClassVar[bool] = False

    @abstractmethod
    def capabilities(self, testbed: T) -> "Capabilities":
        """What a testbed can do, found without changing or starting anything. Raises TestbedError where it cannot be
        used as its file says."""

    @abstractmethod
    def open(self, testbed: T, progress: "Progress", *, wait: bool, sharing: "Sharing | None") -> "Opened":
        """A testbed, ready to be entered. ``wait``: for another run that uses it; else that is a TestbedError.
        ``sharing``: its computer, with other testbeds of the run."""

    def restore(self, testbed: T, *, force: bool) -> list[str]:
        """Put back what a run that crashed left changed; sentences on what was done and what was not. ``force``: end
        what still has a host. Raises TestbedError. By default nothing outlasts a run."""
        return []

    def virtual(self, testbed: T) -> "VirtualTime | None":
        """The virtual time of a testbed, where its clock is virtual."""
        return None

    def machines(self, testbed: T, progress: "Progress") -> "Machines":
        """The machines of a testbed, for `orch lab up`; what they boot from is made where the cache has none. Raises
        UserError where a provider has none that stand by themselves."""
        raise UserError(
            f"The testbed {testbed.testbed} is of the provider {testbed.provider}; a lab is of the provider uml or "
            "qemu."
        )

    def examine(self, testbed: T) -> "dict[str, list[Finding]] | None":
        """What the hosts have and lack, host by host, for `orch doctor`; None where there is nothing to ask. Raises
        TestbedError."""
        return None


def provider_of(testbed: Testbed) -> Provider[Any]:
    """The provider of a testbed. Raises UserError where it is not there, as on a worker that does not have it."""
    extension = testbed.extension or PROVIDERS.find(testbed.provider)
    if extension is None:
        raise UserError(f"There is no provider {testbed.provider} here. Install the package that offers it.")
    loaded: Provider[Any] = PROVIDERS.load(extension)
    return loaded
