# SPDX-License-Identifier: Apache-2.0
"""Testbeds: the providers, and what a testbed can do."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator import plan, spec
    from orchestrator.progress import Progress
    from orchestrator.testbed.protocol import Sharing, Testbed


def usable_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))


def capabilities(testbed: "spec.Testbed") -> "plan.Capabilities":
    """What a testbed can do, found without changing or starting anything. Raises TestbedError where it cannot be used
    as its file says."""
    from orchestrator.testbed.provider import provider_of

    return provider_of(testbed).capabilities(testbed)


def open_testbed(
    testbed: "spec.Testbed", progress: "Progress", *, wait: bool = True, sharing: "Sharing | None" = None
) -> "Testbed":
    """A testbed, ready to be entered. ``wait``: for another run that uses it; else that is a TestbedError. ``sharing``:
    its computer, with other testbeds of the run."""
    from orchestrator.testbed.provider import provider_of

    return provider_of(testbed).open(testbed, progress, wait=wait, sharing=sharing)


def restore(testbed: "spec.Testbed", *, force: bool = False) -> list[str]:
    """Put back what a run that crashed left changed on the hosts; sentences on what was done and what was not.

    ``force``: end what still has a host, for instance an agent whose controller is gone. Raises TestbedError while a
    run of this computer uses the testbed, or where the journal cannot be read.
    """
    from orchestrator.testbed.provider import provider_of

    return provider_of(testbed).restore(testbed, force=force)
