# SPDX-License-Identifier: Apache-2.0
"""The provider ``ssh``: existing hosts, reached by SSH."""

from typing import TYPE_CHECKING

from orchestrator.progress import Progress
from orchestrator.testbed.provider import Provider
from orchestrator.testbed.ssh.schema import SshTestbed

if TYPE_CHECKING:
    from orchestrator.plan import Capabilities
    from orchestrator.requirement import Checked
    from orchestrator.testbed.protocol import Sharing
    from orchestrator.testbed.ssh.provider import OpenSshTestbed


class Ssh(Provider[SshTestbed]):
    """Hosts that are reached by SSH."""

    summary = "hosts that are reached by SSH"
    schema = SshTestbed

    def capabilities(self, testbed: SshTestbed) -> "Capabilities":
        from orchestrator.testbed.ssh.looking import hosts_capabilities

        return hosts_capabilities(testbed)

    def open(
        self, testbed: SshTestbed, progress: Progress, *, wait: bool, sharing: "Sharing | None"
    ) -> "OpenSshTestbed":
        from orchestrator.testbed.ssh.provider import OpenSshTestbed

        return OpenSshTestbed(testbed, progress, wait=wait)

    def restore(self, testbed: SshTestbed, *, force: bool) -> list[str]:
        from orchestrator.testbed.ssh.restoring import restore

        return restore(testbed, force=force)

    def examine(self, testbed: SshTestbed) -> "dict[str, list[Checked]]":
        from orchestrator.testbed.ssh.looking import look_at

        return look_at(testbed)[1]


PROVIDER = Ssh()
