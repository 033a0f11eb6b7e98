# SPDX-License-Identifier: Apache-2.0
"""The MTU of links and paths, for trials whose tunnels have an MTU of their own."""

from orchestrator.agent import mtu_messages as messages
from orchestrator.measure import layout
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.roles import ask_roles, see_neighbours
from orchestrator.spec import LINKS
from orchestrator.spec.fields import LINK_MTU
from orchestrator.spec.varied import TUNNEL_MTU
from orchestrator.testbed.remote import request_all


def prepare_mtu(attempt: Attempt) -> None:
    """Have the hosts forget the MTUs of the paths through other trials' tunnels, and raise the MTU of the links if this
    trial's packets do not fit into the usual one.

    Raises TestbedError if a link cannot have the MTU, or such packets do not pass.
    """
    if TUNNEL_MTU not in attempt.trial.levels.more:
        return
    ipv6 = attempt.trial.traffic.version == 6
    forget = dict.fromkeys(attempt.roles)
    ask_roles(attempt.testbed, forget, lambda part: messages.ForgetPathsRequest(list(part), ipv6))
    if not _wide(attempt):
        return
    mtu = attempt.net.link_mtu
    wanted: dict[str, messages.WideLinks] = {role: {"devices": [], "mtu": mtu} for role in attempt.roles}
    for link, ends in LINKS.items():
        if set(ends) <= set(wanted):
            for role in ends:
                wanted[role]["devices"].append(layout.device_of(link))
    ask_roles(attempt.testbed, wanted, messages.WidenLinksRequest)
    see_neighbours(attempt.testbed, attempt.net, mtu)


def restore_mtu(attempt: Attempt) -> None:
    """Set the MTU of the links back. Raises TestbedError if that fails."""
    if _wide(attempt):
        request_all(attempt.testbed.agents, {host: messages.NarrowLinksRequest() for host in attempt.hosts})


def _wide(attempt: Attempt) -> bool:
    return attempt.tunnelled and attempt.net.link_mtu > LINK_MTU
