# SPDX-License-Identifier: Apache-2.0
"""The base class of providers, which are the kinds of testbeds: the schema of its file, and how to open a testbed.

A provider is a folder. Its ``__init__.py`` defines ``PROVIDER``, an instance of a subclass of `Provider`; its other
files are in the same folder. docs/extending.md has an example.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from orchestrator.errors import UserError
from orchestrator.spec import PROVIDERS, Testbed

if TYPE_CHECKING:
    from orchestrator.plan import Capabilities
    from orchestrator.progress import Progress
    from orchestrator.requirement import Checked
    from orchestrator.testbed.lab.testbed import Machines
    from orchestrator.testbed.protocol import OpenTestbed, Sharing
    from orchestrator.testbed.virtual import VirtualTime

T = TypeVar("T", bound=Testbed)


class Provider(ABC, Generic[T]):
    """A kind of testbed: how testbeds of this kind are described, examined, opened and restored.

    ``summary``: a description in a few words; ``schema``: the model of a testbed file; ``local``: its machines are on
    this computer and share its cores with other testbeds.
    """

    summary: ClassVar[str]
    schema: type[T]
    local: ClassVar[bool] = False

    def faults(self) -> Iterator[str]:
        """Yield clauses on what it lacks to be a provider from outside this program."""
        if not getattr(self, "summary", ""):
            yield "it has no summary"
        schema = getattr(self, "schema", None)
        if not (isinstance(schema, type) and issubclass(schema, Testbed)):
            yield "its schema is not a subclass of orchestrator.spec.Testbed"

    @abstractmethod
    def capabilities(self, testbed: T) -> "Capabilities":
        """Return what a testbed can do, without changing or starting anything. Raises TestbedError if it cannot be used
        as its file describes it."""

    @abstractmethod
    def open(self, testbed: T, progress: "Progress", *, wait: bool, sharing: "Sharing | None") -> "OpenTestbed":
        """Return a testbed that is ready to be entered.

        ``wait``: wait for another run that uses it; if False, such a run causes a TestbedError. ``sharing``: how it
        shares its computer with other testbeds of the run.
        """

    def restore(self, testbed: T, *, force: bool) -> list[str]:
        """Restore what a crashed run left changed, and return sentences on what was restored and what was not. By
        default, there is nothing to restore.

        ``force``: end an agent that still holds a host. Raises TestbedError.
        """
        return []

    def virtual(self, testbed: T) -> "VirtualTime | None":
        """Return the virtual time of a testbed, or None if its clock is real."""
        return None

    def machines(self, testbed: T, progress: "Progress") -> "Machines":
        """Return the machines of a testbed for `orch lab up`, building what they boot from if it is not cached.

        Raises UserError if the provider has no machines that can stay up by themselves.
        """
        raise UserError(
            f"The testbed {testbed.testbed} is of the provider {testbed.provider}; a lab is of the provider uml or "
            "qemu."
        )

    def examine(self, testbed: T) -> "dict[str, list[Checked]] | None":
        """Return, by host, what the hosts have and lack, for `orch doctor`; None if there is nothing to examine. Raises
        TestbedError."""
        return None


def provider_of(testbed: Testbed) -> Provider[Any]:
    """Return the provider of a testbed. Raises UserError if it is not installed, for instance on a worker."""
    extension = testbed.extension or PROVIDERS.find(testbed.provider)
    if extension is None:
        raise UserError(f"There is no provider {testbed.provider} here. Install the package that offers it.")
    loaded: Provider[Any] = PROVIDERS.load(extension)
    return loaded
