# SPDX-License-Identifier: Apache-2.0
"""Problems that can occur with every tool: keys that the traffic's tool does not support, or requires.

Each tool reports its own problems itself.
"""

from collections.abc import Iterator
from itertools import product
from typing import Any

from orchestrator.spec.document import Items, Mapping, Node, Scalar
from orchestrator.spec.known_tools import own_tools_with
from orchestrator.spec.problems import Problem
from orchestrator.spec.traffic import DEFAULT_TOOL, Traffic, keys_of
from orchestrator.spec.validation import build
from orchestrator.spec.varied import TUNNEL_MTU, traffic_paths

_PACKET_SIZE = "packet_size"


def text_of(tree: Node | None, *path: str) -> str | None:
    """Return the text at a path of a tree; None if there is none."""
    for key in path:
        tree = tree.entries.get(key) if isinstance(tree, Mapping) else None
    return tree.value if isinstance(tree, Scalar) and isinstance(tree.value, str) else None


def tool_named_in(tree: Mapping) -> str:
    """Return the name of the tool in a resolved spec."""
    return text_of(tree, "traffic", "tool") or DEFAULT_TOOL


def foreign_keys(traffic: Mapping, tool: str, schema: type[Traffic]) -> Iterator[Problem]:
    """Yield problems with traffic keys of other tools."""
    mine = keys_of(schema)
    for key, span in traffic.keys.items():
        others = own_tools_with(key)
        if others and key not in mine:
            yield Problem(_only_for(f"traffic.{key}", others[0], tool), span)


def _only_for(what: str, other: str, tool: str) -> str:
    return f"{what} is only for the tool {other}, but the tool is {tool}. Remove it."


def unfit_levels(tree: Mapping, more: dict[str, Any], tool: str, schema: type[Traffic]) -> Iterator[Problem]:
    """Yield problems with levels of traffic keys that the tool does not support, or that conflict; the first of each
    kind.

    ``more``: the factors by path, with their levels.
    """
    traffic, place = tree.entries.get("traffic"), tree.entries["factors"]
    if not more or not isinstance(traffic, Mapping) or not isinstance(place, Mapping):
        return
    if TUNNEL_MTU in more and tool == "pktgen":
        yield Problem(
            f"{TUNNEL_MTU} cannot be used with the tool pktgen, whose packet sizes are given. Remove it.",
            place.keys[TUNNEL_MTU],
        )
        return
    paths, mine = traffic_paths(schema), keys_of(schema)
    for path in filter(paths.__contains__, more):
        key = path.partition(".")[2]
        if key not in mine:
            yield Problem(_only_for(path, own_tools_with(key)[0], tool), place.keys[path])
            return
    nodes = {path: node.items for path in more if path in paths and isinstance(node := place.entries[path], Items)}
    if not nodes:
        return
    foreign = {key for key in traffic.entries if key not in mine and own_tools_with(key)}  # reported elsewhere
    given = {key: value for key, value in traffic.entries.items() if key not in foreign}
    for chosen in product(*nodes.values()):
        levels = dict(zip(nodes, chosen, strict=True))
        own = {path.partition(".")[2]: level for path, level in levels.items()}
        keys = {path.partition(".")[2]: place.keys[path] for path in levels}
        found, refused = build(schema, Mapping({**given, **own}, {**traffic.keys, **keys}, traffic.span))
        if found is None or found.too_slow:
            words = ", ".join(f"{path} {level.value}" for path, level in levels.items() if isinstance(level, Scalar))
            why = f"{found.too_slow}." if found else refused[0].message
            yield Problem(f"The levels {words} conflict: {why}", place.keys[next(iter(nodes))])
            return


def packet_sizes(tree: Mapping, tool: str, takes: bool, instead: str) -> Iterator[Problem]:
    """Yield problems with the factor packet_size, if the tool does not support it or needs it, and with packet sizes in
    rules.

    ``instead``: a sentence on other keys to use; empty if there are none.
    """
    factors, traffic = tree.entries.get("factors"), tree.entries["traffic"]
    if not isinstance(factors, Mapping) or not isinstance(traffic, Mapping):
        return
    sizes = _PACKET_SIZE in factors.entries
    if takes and not sizes:
        message = f"{tool} needs the factor packet_size, such as [64, 512, 1420] or [imix]. Add it."
        yield Problem(message, traffic.keys["tool"])
    if not takes and sizes:
        why = f": {instead}" if instead else f", and the tool is {tool}."
        message = f"The factor packet_size is only for the tool pktgen{why}"
        yield Problem(f"{message} Remove it.", factors.keys[_PACKET_SIZE])
    for rules, wanted in (("include", sizes), ("exclude", None)):
        for cell in _items(tree.entries.get(rules)):
            if not isinstance(cell, Mapping):
                continue
            has = _PACKET_SIZE in cell.entries
            if has and not sizes:
                message = "packet_size is not a factor of this spec. Add it to factors, or remove it here."
                yield Problem(message, cell.keys[_PACKET_SIZE])
            elif wanted and not has:
                yield Problem("packet_size is a factor, but this cell has none. Add it.", cell.span)


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []
