# SPDX-License-Identifier: Apache-2.0
"""Systems under test: what makes the tunnels between the gateways. A variant belongs to one of them."""

from collections.abc import Mapping

from orchestrator.kernel.variants import Variant
from orchestrator.systems.ipsec import IPsec
from orchestrator.systems.protocol import System
from orchestrator.systems.wireguard import WireGuard

SYSTEMS: Mapping[str, System] = {system.name: system for system in (WireGuard(), IPsec())}


def system_of(variant: Variant) -> System:
    """The system of a variant."""
    return SYSTEMS[variant.system]
