# SPDX-License-Identifier: Apache-2.0
"""Combinations that do not work: a device that tunnels share, with other systems than WireGuard, ECMP or pinned
tunnels; and roaming tunnels, with other systems or pktgen."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from orchestrator.spec import catalog, document
from orchestrator.spec.cells import Cell
from orchestrator.spec.experiment import ExtraCell, Factors, Rule
from orchestrator.spec.factors import Level
from orchestrator.spec.fields import NEVER
from orchestrator.spec.problems import Problem
from orchestrator.spec.selection import cells, deciding_maxima, excluded, extra_cells
from orchestrator.spec.systems import systems_by_variant
from orchestrator.spec.variants import Variants
from orchestrator.spec.varied import SHARED_DEVICE, TUNNEL_DEVICE, TUNNEL_ROAMING


def unfit_devices(
    tree: document.Mapping, factors: Factors, rules: Sequence[Rule], extras: Sequence[ExtraCell], own: Variants
) -> Iterator[Problem]:
    """Yield the problems of a spec in which tunnels share a device. ``rules``: of exclude; ``extras``: of include."""
    place = tree.entries["factors"]
    if SHARED_DEVICE not in factors.more.get(TUNNEL_DEVICE, ()) or not isinstance(place, document.Mapping):
        return
    span = place.keys[TUNNEL_DEVICE]
    traffic = tree.entries.get("traffic")
    paths = traffic.entries.get("paths") if isinstance(traffic, document.Mapping) else None
    if isinstance(paths, document.Scalar) and paths.value == "ecmp":
        message = (
            "traffic.paths ecmp spreads flows over devices, and the tunnels share one: the kernel would not choose"
        )
        yield Problem(f"{message} among its peers. Leave shared out of {TUNNEL_DEVICE}, or paths.", span)
    systems = systems_by_variant(own).items()
    unfit = {name: f"is {one.label}, which has no such device" for name, one in systems if not one.shares_device}
    unfit |= dict.fromkeys(_pinned(own), "keeps the work of each device on one CPU, so that all peers would share it")
    for name in factors.variant:
        if name in unfit and _has(name, TUNNEL_DEVICE, _is_shared, factors, rules, extras):
            rule = f"exclude: [{{variant: {name}, {TUNNEL_DEVICE}: {SHARED_DEVICE}}}]"
            yield Problem(f"{TUNNEL_DEVICE} shared: {name} {unfit[name]}. Leave these cells out: {rule}.", span)


def unfit_roaming(
    tree: document.Mapping,
    factors: Factors,
    rules: Sequence[Rule],
    extras: Sequence[ExtraCell],
    own: Variants,
    tool: Any,
) -> Iterator[Problem]:
    """Yield the problems of a spec whose tunnels roam. ``rules``: of exclude; ``extras``: of include; ``tool``: the
    spec's tool."""
    place = tree.entries["factors"]
    moving = [level for level in factors.more.get(TUNNEL_ROAMING, ()) if _moves(level)]
    if not moving or not isinstance(place, document.Mapping):
        return
    span = place.keys[TUNNEL_ROAMING]
    if tool is not None and not tool.traceable:
        yield Problem(f"{TUNNEL_ROAMING}: ports are not changed during the loads of this tool. Use never.", span)
    unfit = {name: one.label for name, one in systems_by_variant(own).items() if not one.roams}
    for name in factors.variant:
        if name in unfit and _has(name, TUNNEL_ROAMING, _moves, factors, rules, extras):
            rules_wanted = ", ".join(f"{{variant: {name}, {TUNNEL_ROAMING}: {level:g}s}}" for level in moving)
            message = (
                f"{TUNNEL_ROAMING}: {name} is {unfit[name]}, whose peers do not follow. "
                f"Leave it out: exclude: [{rules_wanted}]."
            )
            yield Problem(message, span)


def _is_shared(level: Level | None) -> bool:
    return level == SHARED_DEVICE


def _moves(level: Level | None) -> bool:
    return level is not None and level != NEVER


def _pinned(own: Variants) -> frozenset[str]:
    return catalog.pinned_variants() | {one.name for one in own.described if one.entry.settings.get("cpus") == "own"}


def _has(
    name: str,
    path: str,
    wanted: Callable[[Level | None], bool],
    factors: Factors,
    rules: Sequence[Rule],
    extras: Sequence[ExtraCell],
) -> bool:
    """Return whether any cell of a variant has a wanted level of a factor, on any testbed."""

    def meant(cell: Cell) -> bool:
        return cell.variant == name and wanted(cell.get(path))

    maxima = deciding_maxima(factors, rules)
    left = (cell for cell in cells(factors) if meant(cell))
    return any(map(meant, extra_cells(extras))) or any(
        any(not any(excluded(rule, cell, most) for rule in rules) for most in maxima) for cell in left
    )
