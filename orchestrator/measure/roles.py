# SPDX-License-Identifier: Apache-2.0
"""The roles of a topology on the hosts of a prepared testbed."""

from orchestrator.measure import layout
from orchestrator.measure.layout import Net, Placement
from orchestrator.testbed.protocol import Testbed
from orchestrator.testbed.remote import together


def placement_of(testbed: Testbed) -> Placement:
    """Where a testbed has the roles."""
    return Placement(testbed.hosts, testbed.nics)


def make_links(testbed: Testbed, net: Net, tunnels: int) -> None:
    """Make the roles' namespaces and the links between them, for up to ``tunnels`` tunnels, and see that packets pass.

    Raises TestbedError: a host does not answer, or two roles do not reach each other.
    """
    placement = placement_of(testbed)
    links = layout.links_requests(net, tunnels, placement, testbed.links, testbed.cpus)
    together(testbed.agents, "links", links, timeout_s=30 + 0.1 * tunnels)
    near = {role: {"addresses": reached} for role, reached in layout.neighbours(net).items()}
    asked = {host: {"roles": roles, "mtu": layout.LINK_MTU} for host, roles in placement.split(near).items()}
    together(testbed.agents, "neighbours", asked, timeout_s=60)
