# SPDX-License-Identifier: Apache-2.0
"""The probes of a spec that this program defines: polls, profile and latency.

They are read as ``trace`` and ``traffic.latency``, their older spelling and stored form, so that a spec has the same
trials in either spelling. This is done in the spec, in each of its tiers and in each --set before these are merged.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.spec.document import Mapping, Node, Scalar
from orchestrator.spec.problems import Problem, Span

TRACES = {
    "polls": "Each cell is measured once more while the kernel records on which CPUs NAPI polls run.",
    "profile": "Each cell is measured once more while a profiler samples each CPU.",
}
LATENCY = "latency"
TRIAL = "trial"
_OWN_KEYS = ("command", "tracepoint")  # a probe of this name with one of these is the user's own


@dataclass(frozen=True, slots=True)
class Placed:
    """A spec's tree in which built-in probes have their stored form, and what was wrong with them. ``latencies``: the
    values that were moved to the traffic."""

    tree: Mapping
    problems: tuple[Problem, ...] = ()
    latencies: tuple[Span, ...] = ()

    def as_written(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return problems that name the keys as the spec spells them."""
        return [
            replace(one, message=one.message.replace(f"traffic.{LATENCY}", f"probes.{LATENCY}"))
            if one.span is not None and any(_within(one.span, span) for span in self.latencies)
            else one
            for one in problems
        ]


def with_built_in_probes(spec: Mapping) -> Placed:
    """Return a spec in which the built-in probes, also those of tiers, have their stored form."""
    placed = placed_in_layer(spec, spec, of_spec=True)
    tree, problems, latencies = placed.tree, placed.problems, placed.latencies
    tiers = tree.entries.get("tiers")
    if not isinstance(tiers, Mapping):
        return placed
    changed = dict(tiers.entries)
    for name, tier in tiers.entries.items():
        if isinstance(tier, Mapping):
            of_tier = placed_in_layer(tier, spec)
            changed[name] = of_tier.tree
            problems, latencies = problems + of_tier.problems, latencies + of_tier.latencies
    entries = {**tree.entries, "tiers": Mapping(changed, tiers.keys, tiers.span)}
    return Placed(Mapping(entries, tree.keys, tree.span), problems, latencies)


def placed_in_layer(layer: Mapping, base: Mapping, of_spec: bool = False) -> Placed:
    """Return a tier, or the tree of a --set, in which the built-in probes have their stored form.

    ``base``: the tree that it changes, in which a probe of such a name may be the user's own; ``of_spec``: the layer is
    the spec itself, which must have traffic.
    """
    probes = layer.entries.get("probes")
    if not isinstance(probes, Mapping):
        return Placed(layer)
    own = _own_names(layer) | _own_names(base)
    names = [name for name in (*TRACES, LATENCY) if name in probes.entries and name not in own]
    if not names:
        return Placed(layer)
    entries, keys, problems = dict(layer.entries), dict(layer.keys), []
    latencies: list[Span] = []
    rest = {name: node for name, node in probes.entries.items() if name not in names}
    if rest:
        entries["probes"] = Mapping(rest, {name: probes.keys[name] for name in rest}, probes.span)
    else:
        del entries["probes"], keys["probes"]
    for name in names:
        node, key = probes.entries[name], probes.keys[name]
        if name == LATENCY:
            refused = _move_latency(entries, keys, node, key, of_spec)
            problems += refused
            latencies += [] if refused else [key, node.span]
        else:
            problems += _move_trace(entries, keys, name, node, key)
    return Placed(Mapping(entries, keys, layer.span), tuple(problems), tuple(latencies))


def _own_names(layer: Mapping) -> set[str]:
    probes = layer.entries.get("probes")
    entries = probes.entries if isinstance(probes, Mapping) else {}
    return {name for name, node in entries.items() if isinstance(node, Mapping) and set(_OWN_KEYS) & set(node.entries)}


def _move_trace(entries: dict[str, Node], keys: dict[str, Span], name: str, node: Node, key: Span) -> list[Problem]:
    if not (isinstance(node, Scalar) and node.value == TRIAL):
        if isinstance(node, Scalar) and node.value is None:
            return []  # reported by the parser
        does = TRACES[name].removesuffix(".")
        message = f"probes.{name} is not valid. Expected {TRIAL}: {does[0].lower()}{does[1:]}, in a trial of its own."
        return [Problem(f"{message} A probe of your own has a command or a tracepoint.", node.span)]
    if "trace" in entries:
        other = entries["trace"]
        value = other.value if isinstance(other, Scalar) else None
        if value in TRACES and value != name:
            message = f"probes.{name} cannot be used together with {value}. Remove one of them."
        else:
            message = f"trace is the older spelling of probes.{name}. Remove trace."
        return [Problem(message, key)]
    entries["trace"], keys["trace"] = Scalar(name, node.span), key
    return []


def _move_latency(
    entries: dict[str, Node], keys: dict[str, Span], node: Node, key: Span, of_spec: bool
) -> list[Problem]:
    traffic = entries.get("traffic")
    if traffic is None and not of_spec:
        traffic, keys["traffic"] = Mapping({}, {}, key), key
    if not isinstance(traffic, Mapping):
        return []  # reported as an error of the traffic
    if LATENCY in traffic.entries:
        message = f"traffic.{LATENCY} is the older spelling of probes.{LATENCY}. Remove one of them."
        return [Problem(message, key)]
    entries["traffic"] = Mapping({**traffic.entries, LATENCY: node}, {**traffic.keys, LATENCY: key}, traffic.span)
    return []


def _within(span: Span, outer: Span) -> bool:
    begins = (outer.line, outer.column) <= (span.line, span.column)
    return span.source is outer.source and begins and (span.line, span.column) < (outer.end_line, outer.end_column)


def describe_built_in_probes(described: dict[str, Any]) -> None:
    """Add the built-in probes to the JSON Schema of a spec's probes, in place."""
    probes = next((one for one in described.get("anyOf", ()) if one.get("type") == "object"), described)
    ((pattern, own),) = probes["patternProperties"].items()
    built_in: dict[str, Any] = {name: {"const": TRIAL, "description": text} for name, text in TRACES.items()}
    built_in[LATENCY] = {"$ref": "#/$defs/Latency"}
    probes["properties"] = {name: {"anyOf": [one, own]} for name, one in built_in.items()}
    probes["additionalProperties"] = own
    probes["propertyNames"] = {"pattern": pattern}
    del probes["patternProperties"]
