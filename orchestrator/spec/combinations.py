# SPDX-License-Identifier: Apache-2.0
"""Combinations of levels that do not work, in cells of the factors that no rule excludes, or of ``include``."""

from collections.abc import Callable, Iterator
from collections.abc import Mapping as MappingType
from itertools import islice, product
from typing import Any

from orchestrator.spec import catalog
from orchestrator.spec.cells import Cell
from orchestrator.spec.document import Items, Mapping, Node, Scalar, with_value
from orchestrator.spec.factors import Level
from orchestrator.spec.fields import NEVER
from orchestrator.spec.known_tools import own_tools_with
from orchestrator.spec.links import DELAY, REORDER
from orchestrator.spec.problems import Problem, Span
from orchestrator.spec.selection import Selection
from orchestrator.spec.systems import systems_by_variant
from orchestrator.spec.tool_checks import only_for, text_of
from orchestrator.spec.traffic import TIMES, Traffic, keys_of
from orchestrator.spec.validation import build
from orchestrator.spec.variants import Variants
from orchestrator.spec.varied import SHARED_DEVICE, TUNNEL_DEVICE, TUNNEL_MTU, TUNNEL_ROAMING, traffic_paths

_PATHS = "traffic.paths"


def unfit_devices(tree: Mapping, selection: Selection, own: Variants) -> Iterator[Problem]:
    """Yield the problems of a spec in which tunnels share a device."""
    span = _key_of(tree, TUNNEL_DEVICE)
    if span is None:
        return
    given = text_of(tree, "traffic", "paths")
    if selection.has(lambda cell: _is_shared(cell.get(TUNNEL_DEVICE)) and cell.get(_PATHS, given) == "ecmp"):
        message = f"{_PATHS} ecmp spreads flows over devices, and the tunnels share one: the kernel would not choose"
        yield Problem(f"{message} among its peers. Leave shared out of {TUNNEL_DEVICE}, or paths.", span)
    systems = systems_by_variant(own).items()
    unfit = {name: f"is {one.label}, which has no such device" for name, one in systems if not one.shares_device}
    unfit |= dict.fromkeys(_pinned(own), "keeps the work of each device on one CPU, so that all peers would share it")
    for name in selection.variants:
        if name in unfit and selection.has(_cells_with(name, TUNNEL_DEVICE, _is_shared)):
            rule = f"exclude: [{{variant: {name}, {TUNNEL_DEVICE}: {SHARED_DEVICE}}}]"
            yield Problem(f"{TUNNEL_DEVICE} shared: {name} {unfit[name]}. Leave these cells out: {rule}.", span)


def unfit_roaming(tree: Mapping, selection: Selection, own: Variants, tool: Any) -> Iterator[Problem]:
    """Yield the problems of a spec whose tunnels roam. ``tool``: the spec's tool."""
    span = _key_of(tree, TUNNEL_ROAMING)
    moving = [level for level in selection.levels(TUNNEL_ROAMING) if _moves(level)]
    if span is None or not moving:
        return
    if tool is not None and not tool.traceable:
        yield Problem(f"{TUNNEL_ROAMING}: ports are not changed during the loads of this tool. Use never.", span)
    unfit = {name: one.label for name, one in systems_by_variant(own).items() if not one.roams}
    for name in selection.variants:
        if name in unfit and selection.has(_cells_with(name, TUNNEL_ROAMING, _moves)):
            rules_wanted = ", ".join(f"{{variant: {name}, {TUNNEL_ROAMING}: {level:g}s}}" for level in moving)
            message = (
                f"{TUNNEL_ROAMING}: {name} is {unfit[name]}, whose peers do not follow. "
                f"Leave it out: exclude: [{rules_wanted}]."
            )
            yield Problem(message, span)


def unfit_links(tree: Mapping, selection: Selection) -> Iterator[Problem]:
    """Yield a problem if packets are to be reordered without a delay, in which case none can overtake another."""
    span = _key_of(tree, REORDER)
    if span is not None and selection.has(lambda cell: bool(cell.get(REORDER)) and not cell.get(DELAY)):
        yield Problem(
            f"{REORDER} lets packets overtake delayed ones, so {DELAY} must be above 0 with it. "
            f"Add {DELAY}, such as [10ms], or remove {REORDER}.",
            span,
        )


def foreign_levels(tree: Mapping, tool: str, schema: type[Traffic]) -> Iterator[Problem]:
    """Yield problems with factors that a spec's tool does not support. ``tool``: its name; ``schema``: of its
    traffic."""
    paths, mine = traffic_paths(schema), keys_of(schema)
    for path, span in (item for cell in _cells(tree) for item in cell.keys.items()):
        first = path.split(".")[1] if path in paths else None
        if path == TUNNEL_MTU and tool == "pktgen":
            yield Problem(f"{path} cannot be used with the tool pktgen, whose packet sizes are given. Remove it.", span)
        elif first is not None and first not in mine and first not in TIMES:
            yield Problem(only_for(path, own_tools_with(first), tool), span)


def unfit_traffic(tree: Mapping, selection: Selection, tool: str, schema: type[Traffic]) -> Iterator[Problem]:
    """Yield the first problem with levels of traffic keys that conflict, in the cells of the factors, and in those of
    ``include``. ``tool`` and ``schema`` as in `foreign_levels`."""
    traffic, factors = tree.entries.get("traffic"), tree.entries.get("factors")
    if not isinstance(traffic, Mapping) or not isinstance(factors, Mapping) or any(foreign_levels(tree, tool, schema)):
        return
    paths, mine = traffic_paths(schema), keys_of(schema)
    foreign = {key for key in traffic.entries if key not in mine and own_tools_with(key)}  # reported elsewhere
    own = {key: node for key, node in traffic.entries.items() if key not in foreign}
    given = Mapping(own, traffic.keys, traffic.span)

    def conflict(levels: MappingType[str, Node], keys: MappingType[str, Span]) -> Problem | None:
        tried = given
        for path, level in levels.items():
            tried = with_value(tried, path.partition(".")[2], level, keys[path])
        found, refused = build(schema, tried)
        if not levels or (found is not None and not found.too_slow):
            return None
        words = ", ".join(f"{path} {level.value}" for path, level in levels.items() if isinstance(level, Scalar))
        why = f"{found.too_slow}." if found else refused[0].message
        return Problem(f"The levels {words} conflict: {why}", keys[next(iter(levels))])

    varied = {path: node.items for path, node in factors.entries.items() if path in paths and isinstance(node, Items)}
    pairs = [zip(items, selection.factors.more[path], strict=True) for path, items in varied.items()]
    for chosen in islice(product(*pairs), 1, None):  # the first is the traffic of the spec, which is checked as such
        levels = dict(zip(varied, chosen, strict=True))
        problem = conflict({path: node for path, (node, _) in levels.items()}, factors.keys)
        if problem and selection.has(lambda cell: all(cell.get(path) == level for path, (_, level) in levels.items())):  # noqa: B023
            yield problem
            return
    for extra in _extras(tree):
        if problem := conflict({path: extra.entries[path] for path in paths if path in extra.entries}, extra.keys):
            yield problem
            return


def _extras(tree: Mapping) -> list[Mapping]:
    """Return the cells of ``include`` in a spec's tree."""
    node = tree.entries.get("include")
    return [one for one in (node.items if isinstance(node, Items) else ()) if isinstance(one, Mapping)]


def _cells(tree: Mapping) -> list[Mapping]:
    """Return the factors and the cells of ``include`` in a spec's tree."""
    factors = tree.entries.get("factors")
    return [*([factors] if isinstance(factors, Mapping) else []), *_extras(tree)]


def _key_of(tree: Mapping, path: str) -> Span | None:
    """Return the location of a factor's key, in ``factors`` or else in ``include``; None if it is in neither."""
    return next((cell.keys[path] for cell in _cells(tree) if path in cell.keys), None)


def _cells_with(variant: str, path: str, wanted: Callable[[Level | None], bool]) -> Callable[[Cell], bool]:
    """Return whether a cell is of a variant and has a wanted level of a factor, as a function."""
    return lambda cell: cell.variant == variant and wanted(cell.get(path))


def _is_shared(level: Level | None) -> bool:
    return level == SHARED_DEVICE


def _moves(level: Level | None) -> bool:
    return level is not None and level != NEVER


def _pinned(own: Variants) -> frozenset[str]:
    return catalog.pinned_variants() | {one.name for one in own.described if one.entry.settings.get("cpus") == "own"}
