# SPDX-License-Identifier: Apache-2.0
"""Restart of the host."""

import os
import shutil

from orchestrator.agent.host import AgentError, call
from orchestrator.agent.host_messages import RestartRequest
from orchestrator.agent.messages import Nothing

_FOLDERS = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin"))  # a login may lack the last two


def restart(request: RestartRequest) -> Nothing:
    """Restart this host with its own `reboot`. The host then goes down, and this agent with it."""
    del request
    program = shutil.which("reboot", path=_FOLDERS)
    if program is None:
        raise AgentError("there is no `reboot` on this host.")
    call([program], timeout=60)
    return {}
