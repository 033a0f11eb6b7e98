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

# Each is a module with a System, of orchestrator.systems.protocol.
SYSTEMS = Registry(
    "systems",
    "SYSTEM",
    {name: f"orchestrator.systems.{name}" for name in ("wireguard", "ipsec", "plain")},
    needs=(
        "label",
        "devices",
        "rekeys",
        "counts_losses",
        "shares_device",
        "roams",
        "check",
        "describe",
        "load",
        "create",
        "look_back",
    ),
)


def systems_by_variant(own: "Variants") -> dict[str, Any]:
    """The systems of variants that are not of WireGuard: those of kernel/variants.yaml, and those of a spec's file."""
    found = {name: system_named(system) for name, system in catalog.systems_of_variants().items()}
    return found | {one.name: one.own_system or system_named(one.system) for one in own.described}


def needs_of(variants: Iterable[str], own: "Variants", traffic: "Traffic") -> tuple[Needs, ...]:
    """What the systems of some variants, and the tool of some traffic, need of hosts. ``own``: the variants of a
    spec's file. Raises UserError where the tool is not there."""
    from orchestrator.spec.known_tools import tool_of

    others = systems_by_variant(own)
    systems = [others[name] if name in others else system_named("wireguard") for name in variants]
    found = [Needs(one.label, one.programs, one.kernel_modules) for one in systems]
    return tuple(dict.fromkeys([*found, Needs(traffic.tool, tool_of(traffic).programs)]))


def system_named(name: str) -> Any:
    """The system of this program with a name, a `orchestrator.systems.System`. Raises UserError where there is none."""
    extension = SYSTEMS.find(name)
    assert extension is not None
    return SYSTEMS.load(extension)
