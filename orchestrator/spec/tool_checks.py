# SPDX-License-Identifier: Apache-2.0
"""Problems that can occur with every tool: keys that the traffic's tool does not support, or requires.

Each tool reports its own problems itself.
"""

from collections.abc import Iterator, Sequence

from orchestrator.spec.document import Items, Mapping, Node, Scalar
from orchestrator.spec.known_tools import own_tools_with
from orchestrator.spec.problems import Problem
from orchestrator.spec.traffic import DEFAULT_TOOL, Traffic, keys_of

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
            yield Problem(only_for(f"traffic.{key}", others, tool), span)


def only_for(what: str, others: Sequence[str], tool: str) -> str:
    """Return a sentence on a traffic key of other tools."""
    those = f"tool{'s' * (len(others) != 1)} {' and '.join(others)}"
    return f"{what} is only for the {those}, but the tool is {tool}. Remove it."


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
