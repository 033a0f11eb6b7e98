# SPDX-License-Identifier: Apache-2.0
"""The roles of a topology on the hosts of a prepared testbed."""

from collections.abc import Callable, Mapping
from typing import TypeVar

from orchestrator.agent.messages import Request
from orchestrator.agent.network_messages import NeighbourAddresses, NeighboursRequest
from orchestrator.measure import requests
from orchestrator.measure.layout import Net, Placement
from orchestrator.spec.fields import LINK_MTU
from orchestrator.testbed.protocol import OpenTestbed
from orchestrator.testbed.remote import request_all

Part = TypeVar("Part")
Answer = TypeVar("Answer")


def placement_of(testbed: OpenTestbed) -> Placement:
    """Return the placement of roles on a testbed's hosts."""
    return Placement(testbed.hosts, testbed.nics)


def ask_roles(
    testbed: OpenTestbed,
    by_role: Mapping[str, Part],
    request_of: Callable[[dict[str, Part]], Request[Answer]],
    timeout_s: float = 30,
) -> dict[str, Answer]:
    """Ask the hosts of roles for an operation at the same time; return the answers by host.

    ``by_role``: the part of the request for each role; ``request_of``: makes a host's request from the parts of its
    roles. ``timeout_s``: as in `request_all`.
    """
    split = placement_of(testbed).split(by_role)
    return request_all(testbed.agents, {host: request_of(part) for host, part in split.items()}, timeout_s)


def make_links(testbed: OpenTestbed, net: Net, tunnels: int) -> None:
    """Create the roles' namespaces and the links between them, and check that packets pass.

    There are addresses for up to ``tunnels`` tunnels. Raises TestbedError if a host does not answer, or two roles do
    not reach each other.
    """
    placement = placement_of(testbed)
    links = requests.links_requests(net, tunnels, placement, testbed.links, testbed.cpus)
    request_all(testbed.agents, links, timeout_s=30 + 0.1 * tunnels)
    see_neighbours(testbed, net)


def see_neighbours(testbed: OpenTestbed, net: Net, mtu: int = LINK_MTU) -> None:
    """Check that packets of up to ``mtu`` bytes pass the links between roles. Raises TestbedError if they do not."""
    near: dict[str, NeighbourAddresses] = {
        role: {"addresses": reached} for role, reached in requests.neighbours(net).items()
    }
    ask_roles(testbed, near, lambda part: NeighboursRequest(part, mtu), 60)
