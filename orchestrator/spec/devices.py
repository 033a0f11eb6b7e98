# SPDX-License-Identifier: Apache-2.0
"""What does not go with a device that tunnels share: other systems than WireGuard, ECMP, and pinned tunnels."""

from collections.abc import Iterator, Sequence

from orchestrator.spec import catalog, document
from orchestrator.spec.cells import Cell
from orchestrator.spec.experiment import ExtraCell, Factors, Rule
from orchestrator.spec.problems import Problem
from orchestrator.spec.selection import cells, deciding_maxima, excluded, extra_cells
from orchestrator.spec.systems import systems_by_variant
from orchestrator.spec.variants import Variants
from orchestrator.spec.varied import SHARED_DEVICE, TUNNEL_DEVICE


def unfit_devices(
    tree: document.Mapping, factors: Factors, rules: Sequence[Rule], extras: Sequence[ExtraCell], own: Variants
) -> Iterator[Problem]:
    """The problems of a spec in which tunnels share a device; ``rules``: of exclude; ``extras``: of include."""
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
        if name in unfit and _shares(name, factors, rules, extras):
            rule = f"exclude: [{{variant: {name}, {TUNNEL_DEVICE}: {SHARED_DEVICE}}}]"
            yield Problem(f"{TUNNEL_DEVICE} shared: {name} {unfit[name]}. Leave these cells out: {rule}.", span)


def _pinned(own: Variants) -> frozenset[str]:
    return catalog.pinned_variants() | {one.name for one in own.described if one.entry.settings.get("cpus") == "own"}


def _shares(name: str, factors: Factors, rules: Sequence[Rule], extras: Sequence[ExtraCell]) -> bool:
    """Whether a cell of a variant has tunnels that share a device, on any testbed."""

    def meant(cell: Cell) -> bool:
        return cell.variant == name and cell.get(TUNNEL_DEVICE) == SHARED_DEVICE

    maxima = deciding_maxima(factors, rules)
    left = (cell for cell in cells(factors) if meant(cell))
    return any(map(meant, extra_cells(extras))) or any(
        any(not any(excluded(rule, cell, most) for rule in rules) for most in maxima) for cell in left
    )
