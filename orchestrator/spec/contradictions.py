# SPDX-License-Identifier: Apache-2.0
"""What a well-formed spec can still get wrong: unknown names, repeated levels, rules without effect, nothing left.

All of it works on the tree, and on those parts of the spec that are valid: a mistake elsewhere hides nothing here.
"""

import math
from collections.abc import Iterable, Iterator

from orchestrator.spec import catalog, noise_floor
from orchestrator.spec.devices import unfit_devices
from orchestrator.spec.document import Items, Mapping, Node, Scalar
from orchestrator.spec.experiment import ExtraCell, Factors, Rule
from orchestrator.spec.limits import REKEY_AFTER_S, REKEY_MARGIN_S, Limits
from orchestrator.spec.links import unfit_links
from orchestrator.spec.problems import Problem, Span, did_you_mean, nearest
from orchestrator.spec.selection import cells, deciding_maxima, excluded
from orchestrator.spec.tools import misused, unfit_levels
from orchestrator.spec.traffic import Traffic
from orchestrator.spec.validation import build
from orchestrator.spec.variants import IPSEC, Variants
from orchestrator.spec.varied import OF_TRAFFIC

MOST_TRIALS = 1_000_000


def contradictions(tree: Mapping, own: Variants) -> list[Problem]:
    """The problems of one resolved spec, except rules without effect. ``own``: the variants of the file it names."""
    problems = [
        *_unknown_names(tree),
        *_unknown_variants(tree, own),
        *_without_packet_counters(tree, own),
        *_repeated_levels(tree),
        *misused(tree),
        *_rekeys(tree),
        *_slow(tree),
    ]
    problems += noise_floor.problems(tree)
    factors, rules = _factors(tree), _rules(tree)
    if factors is None:
        return problems
    problems += [*_levels_of_traffic(tree, factors), *unfit_links(tree, factors)]
    count = len(factors.variant) * len(factors.cores) * len(factors.tunnels) * len(factors.packet_size or (None,))
    count *= math.prod(map(len, factors.more.values()))
    repetitions = tree.entries.get("repetitions")
    given = repetitions.entries if isinstance(repetitions, Mapping) else {"max": repetitions}
    for node in (given.get("max"), given.get("boots")):
        if isinstance(node, Scalar) and isinstance(node.value, int):
            count *= max(node.value, 1)
    if count > MOST_TRIALS:
        message = f"These levels make {count:,} trials; the most is {MOST_TRIALS:,}. Ask for fewer."
        problems.append(Problem(message, tree.keys["factors"]))
    elif (
        rules
        and not _items(tree.entries.get("include"))
        and all(
            any(excluded(rule, cell, most) for _, rule in rules)
            for most in deciding_maxima(factors, [rule for _, rule in rules])
            for cell in cells(factors)
        )
    ):
        message = "The rules of exclude leave out every cell, so that there is nothing to measure. Leave one in."
        problems.append(Problem(message, tree.keys["exclude"]))
    if count <= MOST_TRIALS:
        extras = [build(ExtraCell, node)[0] for node in _items(tree.entries.get("include"))]
        known = [extra for extra in extras if extra is not None]
        problems += unfit_devices(tree, factors, [rule for _, rule in rules], known, own)
    return problems


def _levels_of_traffic(tree: Mapping, factors: Factors) -> Iterator[Problem]:
    """Keys that the spec's traffic has and that are factors too, and levels that do not go together."""
    node = tree.entries.get("traffic")
    given = node.keys if isinstance(node, Mapping) else {}
    varied = tree.entries["factors"]
    for path in filter(OF_TRAFFIC.__contains__, factors.more):
        _, _, key = path.partition(".")
        if key in given and isinstance(varied, Mapping) and given[key] != varied.keys[path]:
            message = f"{path} has its levels under factors, and one value here. Leave one of them out."
            yield Problem(message, given[key])
    yield from unfit_levels(tree, factors)


def rules_and_effect(tree: Mapping) -> dict[Span, bool]:
    """Where each valid rule of ``exclude`` is written, and whether it may mean a cell (on some testbed)."""
    factors = _factors(tree)
    if factors is None:
        return {}
    return {
        span: any(excluded(rule, cell, most) for most in deciding_maxima(factors, [rule]) for cell in cells(factors))
        for span, rule in _rules(tree)
    }


def unknown_tier(name: str, tiers: list[str]) -> str:
    """The sentence for a tier that a spec does not have."""
    if not tiers:
        return f"It has no tiers, and {name} was asked for. Leave --tier out."
    near = nearest(name, tiers)
    return f"It has no tier {name}; it has {', '.join(tiers)}.{f' Did you mean {near}?' if near else ''}"


def _factors(tree: Mapping) -> Factors | None:
    node = tree.entries.get("factors")
    return build(Factors, node)[0] if node else None


def _rules(tree: Mapping) -> list[tuple[Span, Rule]]:
    built = [(node.span, build(Rule, node)[0]) for node in _items(tree.entries.get("exclude"))]
    return [(span, rule) for span, rule in built if rule is not None]


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []


def _below(node: Node | None, key: str) -> Node | None:
    return node.entries.get(key) if isinstance(node, Mapping) else None


def _names(nodes: Iterable[Node | None]) -> Iterator[tuple[str, Span]]:
    """The texts in nodes, each of which is a text, a list of them, or neither."""
    for node in nodes:
        for item in node.items if isinstance(node, Items) else [node]:
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item.value, item.span


def _unknown_names(tree: Mapping) -> Iterator[Problem]:
    entries = tree.entries
    testbeds = (*catalog.known_testbeds(), catalog.AUTO)
    for name, span in _names([entries.get("testbed")]):
        if name and not catalog.is_file_name(name) and name not in testbeds:
            hint = f"{did_you_mean(name, testbeds)} A file is named with its .yaml."
            yield Problem(f"There is no testbed {name} in experiments/testbeds.{hint}", span)
    notebooks = catalog.known_notebooks()
    for name, span in _names(_items(entries.get("notebooks"))):
        if notebooks and name not in notebooks:
            yield Problem(f"There is no notebooks/{name}.ipynb.{did_you_mean(name, notebooks)}", span)
    tiers = entries.get("tiers")
    known = list(tiers.entries) if isinstance(tiers, Mapping) else []
    for name, span in _names([entries.get("default_tier")]):
        if name not in known:
            yield Problem(f"There is no tier {name}.{did_you_mean(name, known)}", span)


def _unknown_variants(tree: Mapping, own: Variants) -> Iterator[Problem]:
    entries = tree.entries
    shipped = catalog.known_variants()
    if twice := sorted(set(own.names) & set(shipped)):
        message = f"{own.file} has a variant {twice[0]}, and so has kernel/variants.yaml. Give yours another name."
        yield Problem(message, entries["variants"].span)
    if "variants" in entries and not own.names:
        return  # there is something wrong with that file, which is told
    known = (*own.names, *shipped)
    where = f"{own.file} or kernel/variants.yaml" if own.names else "kernel/variants.yaml"
    cells_named = [entries.get("factors"), *_items(entries.get("exclude")), *_items(entries.get("include"))]
    named = [*(_below(node, "variant") for node in cells_named), entries.get("noise_floor")]
    for name, span in _names(named):
        if name and name not in known:
            yield Problem(f"There is no variant {name} in {where}.{did_you_mean(name, known)}", span)


def _without_packet_counters(tree: Mapping, own: Variants) -> Iterator[Problem]:
    """Variants of IPsec with pktgen, whose losses are told apart by what WireGuard counts."""
    tool = _below(tree.entries.get("traffic"), "tool")
    if not isinstance(tool, Scalar) or tool.value != "pktgen":
        return
    theirs = catalog.variants_of_system(IPSEC) | {one.name for one in own.described if one.entry.system == IPSEC}
    for name, span in _names([_below(tree.entries.get("factors"), "variant")]):
        if name in theirs:
            message = f"{name} is IPsec, and pktgen measures WireGuard only so far. Use iperf3, or leave {name} out."
            yield Problem(message, span)


def _rekeys(tree: Mapping) -> Iterator[Problem]:
    """Traffic that lasts until new keys are made is refused by the limit on rekeys, unless that only marks."""
    traffic, limits = tree.entries.get("traffic"), tree.entries.get("limits")
    found = build(Traffic, traffic)[0] if traffic else None
    allowed = build(Limits, limits)[0] if limits else Limits()
    if found is None or allowed is None or "rekey" in allowed.report_only:
        return
    seconds = found.warm_up_s + found.duration_s
    if seconds + REKEY_MARGIN_S >= REKEY_AFTER_S:
        node = _below(traffic, "duration")
        yield Problem(
            f"traffic.duration: WireGuard makes new keys {REKEY_AFTER_S:g} s after a handshake, and traffic that takes "
            f"{seconds:g} s has that inside. Ask for less than {REKEY_AFTER_S - REKEY_MARGIN_S:g} s with the warm-up, "
            "or allow it: limits: {report_only: [rekey]}.",
            node.span if node else tree.keys["traffic"],
        )


def _slow(tree: Mapping) -> Iterator[Problem]:
    """TCP that is slower than the blocks of iperf3 allow."""
    node = tree.entries.get("traffic")
    found = build(Traffic, node)[0] if node else None
    if found is not None and found.too_slow:
        place = _below(node, "bitrate")
        yield Problem(f"traffic.bitrate: {found.too_slow}.", place.span if place else tree.keys["traffic"])


def _repeated_levels(tree: Mapping) -> Iterator[Problem]:
    for factor in Factors.model_fields:
        seen: set[object] = set()
        for node in _items(_below(tree.entries.get("factors"), factor)):
            if not isinstance(node, Scalar) or node.value is None:
                continue
            if node.value in seen:
                message = f"{factor}: {node.value} is listed twice. Keep one; repetitions repeats cells."
                yield Problem(message, node.span)
            seen.add(node.value)
