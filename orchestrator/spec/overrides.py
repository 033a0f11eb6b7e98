# SPDX-License-Identifier: Apache-2.0
"""Merging the trees of a spec: the base, then the tier, then --set."""

from orchestrator.spec.document import Items, Mapping, Node, key_at, parse, with_value
from orchestrator.spec.host_settings import NICS, SETTINGS
from orchestrator.spec.links import OF_LINKS
from orchestrator.spec.problems import Problem, SourceText, Span, SpecError
from orchestrator.spec.traffic import Traffic, factor_keys_of
from orchestrator.spec.varied import OF_TUNNELS

# Keys that describe the tier itself, and are not carried over to the experiment.
_OWN_OF_TIER = ("description",)
_LONGEST_NAMED = 80
_FIXED = {
    "tiers": "--set is applied after the tier. Set the value directly, for instance repetitions=3",
    "default_tier": "Choose a tier with --tier",
}


def merged(base: Mapping, change: Mapping) -> Mapping:
    """Return ``base`` updated by ``change``: mappings key by key, everything else replaced as a whole."""
    entries, keys = dict(base.entries), dict(base.keys)
    for key, value in change.entries.items():
        old = entries.get(key)
        entries[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        keys[key] = change.keys[key]
    return Mapping(entries, keys, base.span)


def with_tier(base: Mapping, tier: str) -> Mapping:
    """Return the tree of a tier; the base itself if the tier is not a mapping (validation reports that)."""
    tiers = base.entries.get("tiers")
    change = tiers.entries.get(tier) if isinstance(tiers, Mapping) else None
    if not isinstance(change, Mapping):
        return base
    own = {key: value for key, value in change.entries.items() if key not in _OWN_OF_TIER}
    return merged(base, Mapping(own, change.keys, change.span))


def with_first_levels(tree: Mapping, schema: type[Traffic]) -> Mapping:
    """Return a spec's tree in which each traffic key that is a factor and has no value has the factor's first level as
    its value.

    The traffic of a cell is made from these values. ``schema``: of the traffic.
    """
    factors, traffic = tree.entries.get("factors"), tree.entries.get("traffic")
    if not isinstance(factors, Mapping) or not isinstance(traffic, Mapping):
        return tree
    paths = {f"traffic.{key}" for key in factor_keys_of(schema)}
    for path, levels in factors.entries.items():
        _, _, key = path.partition(".")
        if path in paths and key_at(traffic, key) is None and isinstance(levels, Items) and levels.items:
            traffic = with_value(traffic, key, levels.items[0], factors.keys[path])
    return Mapping({**tree.entries, "traffic": traffic}, tree.keys, tree.span)


def name_of(override: str) -> str:
    """Return how messages name KEY.PATH=VALUE: in visible characters, and not longer than a line."""
    short = override if len(override) <= _LONGEST_NAMED else f"{override[:_LONGEST_NAMED]}…"
    return "--set " + "".join(one if one.isprintable() else ascii(one)[1:-1] for one in short)


def read_override(text: str) -> tuple[Mapping, list[Problem]]:
    """Return the tree with the one value of KEY.PATH=VALUE. Raises SpecError if the text does not have this form."""
    source = SourceText(name_of(text), text, is_file=False)
    path, equals, value = text.partition("=")
    whole = Span(source, 0, 0, 0, len(text))
    keys = _keys(path)
    if not equals or not all(keys):
        raise _refused(source, "The form is KEY=VALUE, for instance --set traffic.duration=3s.", whole)
    if not value.strip():
        raise _refused(source, "The value after the equals sign is missing.", whole)
    if keys[0] in _FIXED:
        raise _refused(source, f'"{keys[0]}" cannot be set here. {_FIXED[keys[0]]}.', whole)
    # Spaces in place of the key keep the positions of the value.
    try:
        node, problems = parse(SourceText(source.name, " " * (len(path) + 1) + value, is_file=False), place=keys)
    except SpecError as error:
        raise _refused(source, error.problems[0].message, whole) from error
    node = _moved(node, source)
    offset = len(path)
    for key in reversed(keys):
        offset -= len(key)
        span = Span(source, 0, offset, 0, offset + len(key))
        node = Mapping({key: node}, {key: span}, whole)
        offset -= 1
    assert isinstance(node, Mapping)
    return node, [Problem(p.message, _with_source(p.span, source) if p.span else whole) for p in problems]


def refuse_into_values(base: Mapping, change: Mapping, text: str) -> None:
    """Raise SpecError if an override sets a part of a value that has no keys, such as factors.cores.0, or an empty
    mapping, which would change nothing."""
    node: Node = base
    for _ in _keys(text.partition("=")[0]):
        key, inner = next(iter(change.entries.items()))
        if not isinstance(node, Mapping):
            message = 'Lists and single values have no keys. Set the whole value, as in factors.cores="[1, 2]".'
            raise SpecError(name_of(text), [Problem(message, change.keys[key])])
        if key not in node.entries or not isinstance(inner, Mapping):
            return
        if not inner.entries and isinstance(node.entries[key], Mapping):
            message = f'An empty mapping changes nothing, since the keys of "{key}" stay as they are. Set each of them.'
            raise SpecError(name_of(text), [Problem(message, change.keys[key])])
        node, change = node.entries[key], inner


def _keys(path: str) -> list[str]:
    """Return the keys of a path. A factor that is itself a path counts as one key: factors, then traffic.streams."""
    keys = path.strip().split(".")
    below = keys.index("factors") + 1 if "factors" in keys else len(keys)
    factor = ".".join(keys[below:])
    known = factor in (*OF_TUNNELS, *OF_LINKS) or factor.startswith(("traffic.", SETTINGS, NICS))
    return [*keys[:below], factor] if known else keys


def _refused(source: SourceText, message: str, span: Span) -> SpecError:
    return SpecError(source.name, [Problem(message, span)])


def _with_source(span: Span, source: SourceText) -> Span:
    return Span(source, span.line, span.column, span.end_line, span.end_column)


def _moved(node: Node, source: SourceText) -> Node:
    """Return the tree with its locations moved to another source of the same layout."""
    node.span = _with_source(node.span, source)
    if isinstance(node, Mapping):
        node.keys = {key: _with_source(span, source) for key, span in node.keys.items()}
        for value in node.entries.values():
            _moved(value, source)
    elif hasattr(node, "items"):
        for item in node.items:
            _moved(item, source)
    return node
