# SPDX-License-Identifier: Apache-2.0
"""Systems under test, which provide the tunnels between the gateways. Each variant belongs to one of them."""

from typing import TYPE_CHECKING

from orchestrator.spec.overhead import Overhead
from orchestrator.spec.systems import system_named
from orchestrator.systems.protocol import System, SystemReport, make_devices

if TYPE_CHECKING:
    from orchestrator.kernel.variants import Variant

__all__ = ["Overhead", "System", "SystemReport", "make_devices", "system_of"]


def system_of(variant: "Variant | None") -> System:
    """Return the system of a variant; for a baseline, which has no variant, plain forwarding."""
    found: System
    if variant is None:
        found = system_named("plain")
    else:
        found = variant.own_system if variant.own_system is not None else system_named(variant.system)
    return found
