# SPDX-License-Identifier: Apache-2.0
"""Opening testbeds, and determining what they can do."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orchestrator import plan, spec
    from orchestrator.progress import Progress
    from orchestrator.testbed.protocol import OpenTestbed, Sharing


def usable_cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0))


def capabilities(testbed: "spec.Testbed") -> "plan.Capabilities":
    """Return what a testbed can do, without changing or starting anything. Raises TestbedError if it cannot be used as
    its file describes it."""
    from orchestrator.testbed.provider import provider_of

    return provider_of(testbed).capabilities(testbed)


def open_testbed(
    testbed: "spec.Testbed", progress: "Progress", *, wait: bool = True, sharing: "Sharing | None" = None
) -> "OpenTestbed":
    """Return a testbed that is ready to be entered.

    ``wait``: wait for another run that uses it; if False, such a run causes a TestbedError. ``sharing``: how it shares
    its computer with other testbeds of the run.
    """
    from orchestrator.testbed.provider import provider_of

    return provider_of(testbed).open(testbed, progress, wait=wait, sharing=sharing)


def restore(testbed: "spec.Testbed", *, force: bool = False) -> list[str]:
    """Restore host settings that a crashed run left changed, and return sentences on what was restored and what was
    not.

    ``force``: end an agent that still holds a host, for instance because its controller is gone. Raises TestbedError if
    a run on this computer uses the testbed, or if the journal cannot be read.
    """
    from orchestrator.testbed.provider import provider_of

    return provider_of(testbed).restore(testbed, force=force)
