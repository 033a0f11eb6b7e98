# SPDX-License-Identifier: Apache-2.0
"""The capabilities of this host's generators, checked before a trial relies on them."""

import functools
import socket
import subprocess

from orchestrator.agent.host import AgentError, inside, read_text, tool_version
from orchestrator.agent.packet_messages import GeneratorAnswer, GeneratorRequest

AVAILABLE = "/proc/sys/net/ipv4/tcp_available_congestion_control"


@functools.lru_cache(maxsize=None)
def version_of(tool):
    """Return the first line of a tool's version output; None if the tool is missing or prints nothing in time."""
    try:
        return tool_version([tool, "--version"])
    except subprocess.TimeoutExpired:
        return None


def generator(request: GeneratorRequest) -> GeneratorAnswer:
    """Read a tool's version once, and check that TCP in some roles can use a congestion control.

    The kernel loads the congestion control's module if it has one. Raises AgentError if it has none.
    """
    for role in request.roles if request.congestion is not None else ():
        see_congestion_control(role, request.congestion)
    return {"version": version_of(request.tool)}


def see_congestion_control(role, name):
    with inside(role), socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        try:
            probe.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, name.encode())
        except OSError as error:
            raise AgentError(
                "%s has no congestion control %s; it has %s. Change traffic.congestion, or load its module."
                % (role, name, ", ".join(read_text(AVAILABLE).split()))
            ) from error
