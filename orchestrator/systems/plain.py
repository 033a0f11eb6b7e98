# SPDX-License-Identifier: Apache-2.0
"""Plain forwarding: the same traffic over the link between the gateways without a tunnel, as in baselines."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from orchestrator.systems.protocol import System

if TYPE_CHECKING:
    from orchestrator.kernel.variants import Variant
    from orchestrator.measure.layout import Net
    from orchestrator.testbed.protocol import OpenTestbed


class Plain(System):
    """See `System`."""

    label = "plain forwarding"

    def describe(self, settings: Mapping[str, str]) -> str:
        return "plain forwarding, without a tunnel"

    def create(self, testbed: "OpenTestbed", net: "Net", tunnels: int, variant: "Variant | None") -> None:
        """Set the routes; there is no device to create. The next trial's routes replace them."""
        from orchestrator.agent.network_messages import RoutesRequest
        from orchestrator.measure import requests
        from orchestrator.measure.roles import ask_roles
        from orchestrator.spec import GATEWAYS

        ask_roles(testbed, {role: requests.plain_routes(net, role, tunnels) for role in GATEWAYS}, RoutesRequest)


SYSTEM = Plain()
