# SPDX-License-Identifier: Apache-2.0
"""What the providers have in common whose machines are in a lab on this computer."""

from orchestrator.testbed.provider import Provider, T


class LabProvider(Provider[T]):
    """A provider of machines in a lab. Whatever a crashed run changed ends with its machines."""

    local = True

    def restore(self, testbed: T, *, force: bool) -> list[str]:
        from orchestrator.testbed.lab.testbed import restore

        return restore(testbed)
