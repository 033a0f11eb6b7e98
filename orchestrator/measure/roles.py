# SPDX-License-Identifier: Apache-2.0
"""The roles of a topology on the hosts of a prepared testbed."""

from collections.abc import Mapping
from typing import Any

from orchestrator.measure import requests
from orchestrator.measure.layout import Net, Placement
from orchestrator.spec.fields import LINK_MTU
from orchestrator.testbed.protocol import Testbed
from orchestrator.testbed.remote import request_all


def placement_of(testbed: Testbed) -> Placement:
    """Return the placement of roles on a testbed's hosts."""
    return Placement(testbed.hosts, testbed.nics)


def ask_roles(
    testbed: Testbed,
    operation: str,
    by_role: Mapping[str, Any],
    timeout_s: float = 30,
    *,
    key: str = "roles",
    **common: Any,
) -> dict[str, dict[str, Any]]:
    """Ask the hosts of roles for an operation at the same time; return the answers by host.

    ``by_role``: the argument for each role; each host gets its roles' part as the argument ``key``. ``common``:
    arguments that all hosts get. ``timeout_s``: as for `together`.
    """
    split = placement_of(testbed).split(by_role)
    asked = {host: {key: part, **common} for host, part in split.items()}
    return request_all(testbed.agents, operation, asked, timeout_s)


def make_links(testbed: Testbed, net: Net, tunnels: int) -> None:
    """Create the roles' namespaces and the links between them, and check that packets pass.

    There are addresses for up to ``tunnels`` tunnels. Raises TestbedError if a host does not answer, or two roles do
    not reach each other.
    """
    placement = placement_of(testbed)
    links = requests.links_requests(net, tunnels, placement, testbed.links, testbed.cpus)
    request_all(testbed.agents, "links", links, timeout_s=30 + 0.1 * tunnels)
    see_neighbours(testbed, net)


def see_neighbours(testbed: Testbed, net: Net) -> None:
    """Check that packets pass the links between roles. Raises TestbedError if two roles do not reach each other."""
    near = {role: {"addresses": reached} for role, reached in requests.neighbours(net).items()}
    ask_roles(testbed, "neighbours", near, 60, mtu=LINK_MTU)
