# SPDX-License-Identifier: Apache-2.0
"""The kernels that testbed files ask for: they are installed as packages, and booted once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from orchestrator.progress import Progress
from orchestrator.provision import run_playbook
from orchestrator.testbed.ssh.route import SshRoute
from orchestrator.testbed.ssh.schema import SshHost
from orchestrator.testbed.ssh.surveys import Survey, family

_PLAYBOOK_S = 2400  # to install a package, make an initrd, and restart with a server's slow firmware


def with_other_kernels(hosts: Sequence[SshHost], surveys: Mapping[str, Survey]) -> list[SshHost]:
    """Return the hosts that do not run the kernel that their file asks for."""
    return [host for host in hosts if host.kernel not in (None, surveys[host.name].facts["kernel_release"])]


def restart_with_kernels(
    hosts: Sequence[SshHost],
    routes: Mapping[str, SshRoute],
    surveys: Mapping[str, Survey],
    progress: Progress,
    is_interrupted: Callable[[], bool],
) -> None:
    """Install the kernels that the hosts should run, and restart the hosts with them. The agents' connections must be
    closed before. Raises TestbedError."""
    targets = [
        replace(
            routes[host.name].target(),
            variables={"orch_kernel_wanted": host.kernel, "orch_family": family(surveys[host.name].facts)},
        )
        for host in hosts
    ]
    run_playbook("kernel", targets, {}, progress, timeout_s=_PLAYBOOK_S, is_interrupted=is_interrupted)
