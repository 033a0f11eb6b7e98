# SPDX-License-Identifier: Apache-2.0
"""The base class of providers whose machines are in a lab on this computer."""

from orchestrator.testbed.provider import Provider, T


class LabProvider(Provider[T]):
    """A provider of machines in a lab. Changes of a crashed run end with its machines."""

    local = True

    def restore(self, testbed: T, *, force: bool) -> list[str]:
        from orchestrator.testbed.lab.testbed import restore

        return restore(testbed)
