# SPDX-License-Identifier: Apache-2.0
"""Problems with keys that the traffic's tool does not support, or requires."""

from collections.abc import Iterator
from itertools import product

from orchestrator.spec.document import Items, Mapping, Node, Scalar
from orchestrator.spec.experiment import Factors
from orchestrator.spec.problems import Problem
from orchestrator.spec.searching import Search
from orchestrator.spec.traffic import OF_TOOL, Traffic
from orchestrator.spec.validation import build
from orchestrator.spec.varied import OF_TRAFFIC, TUNNEL_MTU

_PACKET_SIZE = "packet_size"


def misused(tree: Mapping) -> Iterator[Problem]:
    """Return the problems of a resolved spec."""
    traffic = tree.entries.get("traffic")
    if not isinstance(traffic, Mapping):
        return
    tool = _text(traffic.entries.get("tool")) or Traffic.model_fields["tool"].default
    if tool not in OF_TOOL:
        return  # which is a problem of its own
    for key, span in traffic.keys.items():
        others = [other for other, names in OF_TOOL.items() if key in names]
        if others and tool not in others:
            yield Problem(f"traffic.{key} is only for the tool {others[0]}, but the tool is {tool}. Remove it.", span)
    yield from _packet_sizes(tree, tool, traffic)
    if tool == "command" and "command" not in traffic.entries:
        message = (
            "The tool command runs your own programs. Add command, with client, read and quantity (docs/traffic.md)."
        )
        yield Problem(message, traffic.keys["tool"])
    if tool != "pktgen":
        return
    if _text(tree.entries.get("topology")) == "gateway-to-gateway":
        message = (
            "pktgen writes to an interface and bypasses the routes and tunnels of its host, so a gateway cannot use it."
        )
        yield Problem(f"{message} Use the topology site-to-site, in which the client sends.", tree.keys["topology"])
    if "rate" not in traffic.entries and "search" not in traffic.entries:
        message = 'pktgen needs a rate. Add "rate", in packets per second, such as 200 kpps or max.'
        yield Problem(f'{message} Or add "search", such as {{goals: [ndr, pdr]}}.', tree.keys["traffic"])
    yield from _searches(traffic)
    if "trace" in tree.entries:
        message = "Traces and profiles need the tool iperf3. Remove trace."
        yield Problem(message, tree.keys["trace"])


def unfit_levels(tree: Mapping, factors: Factors) -> Iterator[Problem]:
    """Yield problems with levels that the tool does not accept, or that conflict; the first of each kind."""
    traffic, place = tree.entries.get("traffic"), tree.entries["factors"]
    more = factors.more
    if not more or not isinstance(traffic, Mapping) or not isinstance(place, Mapping):
        return
    tool = _text(traffic.entries.get("tool")) or Traffic.model_fields["tool"].default
    if TUNNEL_MTU in more and tool == "pktgen":
        yield Problem(
            f"{TUNNEL_MTU} cannot be used with the tool pktgen, whose packet sizes are given. Remove it.",
            place.keys[TUNNEL_MTU],
        )
        return
    for path in filter(OF_TRAFFIC.__contains__, more):
        others = [other for other, names in OF_TOOL.items() if path.partition(".")[2] in names]
        if tool in OF_TOOL and tool not in others:
            yield Problem(
                f"{path} is only for the tool {others[0]}, but the tool is {tool}. Remove it.", place.keys[path]
            )
            return
    nodes = {path: node.items for path in more if path in OF_TRAFFIC and isinstance(node := place.entries[path], Items)}
    if not nodes:
        return
    for chosen in product(*nodes.values()):
        levels = dict(zip(nodes, chosen, strict=True))
        own = {path.partition(".")[2]: level for path, level in levels.items()}
        keys = {path.partition(".")[2]: place.keys[path] for path in levels}
        found, refused = build(Traffic, Mapping({**traffic.entries, **own}, {**traffic.keys, **keys}, traffic.span))
        if found is None or found.too_slow:
            words = ", ".join(f"{path} {level.value}" for path, level in levels.items() if isinstance(level, Scalar))
            why = f"{found.too_slow}." if found else refused[0].message
            yield Problem(f"The levels {words} conflict: {why}", place.keys[next(iter(nodes))])
            return


def _searches(traffic: Mapping) -> Iterator[Problem]:
    search = traffic.entries.get("search")
    if not isinstance(search, Mapping):
        return
    if "rate" in traffic.entries:
        yield Problem("rate and search exclude each other. Remove one of them.", traffic.keys["rate"])
    found, _ = build(Search, search)
    if found is None:
        return  # which is a problem of its own
    least, most = found.min_rate_pps, found.max_rate_pps
    if least is not None and most is not None and least >= most:
        message = "traffic.search.min_rate must be below max_rate. Lower it."
        yield Problem(message, search.keys["min_rate"])
    if found.method == "binary" and found.tries > 1:
        message = "traffic.search.tries is only for the method mlrsearch; binary offers each load once. Remove it."
        yield Problem(message, search.keys["tries"])
    if len(set(found.goals)) < len(found.goals):
        yield Problem("traffic.search.goals names a goal twice. Remove one.", search.entries["goals"].span)


def _packet_sizes(tree: Mapping, tool: str, traffic: Mapping) -> Iterator[Problem]:
    factors = tree.entries.get("factors")
    if not isinstance(factors, Mapping):
        return
    sizes = _PACKET_SIZE in factors.entries
    if tool == "pktgen" and not sizes:
        message = "pktgen needs the factor packet_size, such as [64, 512, 1420] or [imix]. Add it."
        yield Problem(message, traffic.keys["tool"])
    if tool != "pktgen" and sizes:
        instead = ": iperf3 has mss and datagram." if tool == "iperf3" else f", and the tool is {tool}."
        message = f"The factor packet_size is only for the tool pktgen{instead}"
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


def _text(node: Node | None) -> str | None:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else None


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []
