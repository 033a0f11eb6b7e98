# SPDX-License-Identifier: Apache-2.0
"""The systems under test by name. A variant names one, or the path of a file or folder with one."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from orchestrator.extensions import Registry
from orchestrator.programs import Needs
from orchestrator.spec import catalog

if TYPE_CHECKING:
    from orchestrator.spec.traffic import Traffic
    from orchestrator.spec.variants import Variants

# Each is a module that defines a System (orchestrator.systems.protocol).
SYSTEMS = Registry(
    "systems",
    "SYSTEM",
    {name: f"orchestrator.systems.{name}" for name in ("wireguard", "ipsec", "plain")},
    base="orchestrator.systems.protocol:System",
)


def systems_by_variant(own: "Variants") -> dict[str, Any]:
    """Return the systems by variant: for the variants of kernel/variants.yaml that are not of WireGuard, and for all of
    a spec's file."""
    found = {name: system_named(system) for name, system in catalog.systems_of_variants().items()}
    return found | {one.name: one.own_system or system_named(one.system) for one in own.described}


def needs_of(variants: Iterable[str], own: "Variants", traffic: "Traffic") -> tuple[Needs, ...]:
    """Return what the systems of some variants, and the tool of some traffic, need on hosts.

    ``own``: the variants of a spec's file. Raises UserError if the tool is not installed.
    """
    from orchestrator.spec.known_tools import tool_of

    others = systems_by_variant(own)
    systems = [others[name] if name in others else system_named("wireguard") for name in variants]
    found = [Needs(one.label, one.programs, one.kernel_modules) for one in systems]
    return tuple(dict.fromkeys([*found, Needs(traffic.tool, tool_of(traffic).programs)]))


def system_named(name: str) -> Any:
    """Return this program's system with a name, an `orchestrator.systems.System`. Raises UserError if it cannot be
    loaded."""
    extension = SYSTEMS.find(name)
    assert extension is not None
    return SYSTEMS.load(extension)
