# SPDX-License-Identifier: Apache-2.0
"""Errors of well-formed specs: unknown names, repeated levels, rules without effect, no cells left.

The checks use the tree, and those parts of the spec that are valid: so an error elsewhere hides none of these.
"""

import math
from collections.abc import Iterable, Iterator

from orchestrator.spec import catalog, noise_floor
from orchestrator.spec.combinations import foreign_levels, unfit_devices, unfit_links, unfit_roaming, unfit_traffic
from orchestrator.spec.document import Items, Mapping, Node, Scalar, key_at, plain
from orchestrator.spec.experiment import Factors, Rule
from orchestrator.spec.host_settings import settings_paths
from orchestrator.spec.limits import REKEY_AFTER_S, REKEY_MARGIN_S, Limits
from orchestrator.spec.models import Models, models_of
from orchestrator.spec.own_files import is_own_notebook
from orchestrator.spec.own_probes import unfit_probes
from orchestrator.spec.problems import Problem, Span, did_you_mean, nearest
from orchestrator.spec.selection import Selection, cells, deciding_maxima, excluded
from orchestrator.spec.systems import systems_by_variant
from orchestrator.spec.tool_checks import tool_named_in
from orchestrator.spec.tools import Choice
from orchestrator.spec.traffic import TIMES
from orchestrator.spec.validation import build
from orchestrator.spec.variants import Variants
from orchestrator.spec.varied import traffic_paths

MOST_TRIALS = 1_000_000


def contradictions(tree: Mapping, own: Variants, tool: Choice) -> list[Problem]:
    """Return the problems of one resolved spec, except rules without effect and paths of settings.

    ``own``: the variants of the file that the spec names; ``tool``: its tool.
    """
    models = models_of(tool.schema, settings_paths(tree))
    problems = [
        *_unknown_names(tree),
        *_unknown_variants(tree, own),
        *_without_packet_counters(tree, own, tool),
        *_repeated_levels(tree, models),
        *([tool.trouble] if tool.trouble else tool.problems(tree)),
        *unfit_probes(tree),
        *([] if tool.trouble else foreign_levels(tree, tool_named_in(tree), tool.schema)),
    ]
    problems += noise_floor.problems(tree)
    factors, rules = _factors(tree, models), _rules(tree, models)
    extras = [build(models.extra, node)[0] for node in _items(tree.entries.get("include"))]
    known = [extra for extra in extras if extra is not None]
    selection = Selection(factors, [rule for _, rule in rules], known) if factors is not None else None
    problems += _rekeys(tree, models, selection)
    if factors is None or selection is None:
        return problems
    problems += _two_values(tree, factors, tool)
    count = len(factors.variant) * len(factors.cores) * len(factors.tunnels) * len(factors.packet_size or (None,))
    count *= math.prod(map(len, factors.more.values()))
    repetitions = tree.entries.get("repetitions")
    given = repetitions.entries if isinstance(repetitions, Mapping) else {"max": repetitions}
    for node in (given.get("max"), given.get("boots")):
        if isinstance(node, Scalar) and isinstance(node.value, int):
            count *= max(node.value, 1)
    if count > MOST_TRIALS:
        message = (
            f"These levels make {count:,} trials; the maximum is {MOST_TRIALS:,}. Reduce the levels or the repetitions."
        )
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
        message = "The rules of exclude leave out every cell, so nothing would be measured. Remove a rule."
        problems.append(Problem(message, tree.keys["exclude"]))
    if count <= MOST_TRIALS:
        if not tool.trouble:
            problems += unfit_traffic(tree, selection, tool_named_in(tree), tool.schema)
        problems += unfit_links(tree, selection)
        problems += unfit_devices(tree, selection, own)
        problems += unfit_roaming(tree, selection, own, tool.tool)
    return problems


def _two_values(tree: Mapping, factors: Factors, tool: Choice) -> Iterator[Problem]:
    """Yield problems with keys that have both a value in the spec's traffic and levels as factors."""
    varied = tree.entries["factors"]
    for path in filter(traffic_paths(tool.schema).__contains__, factors.more):
        given = key_at(tree.entries.get("traffic"), path.partition(".")[2])
        if given is not None and isinstance(varied, Mapping) and given != varied.keys[path]:
            yield Problem(f"{path} has levels under factors and a value here. Remove one of them.", given)


def rules_and_effect(tree: Mapping, models: Models) -> dict[Span, bool]:
    """Return, for each valid rule of ``exclude``, its location and whether it can match a cell on any testbed."""
    factors = _factors(tree, models)
    if factors is None:
        return {}
    return {
        span: any(excluded(rule, cell, most) for most in deciding_maxima(factors, [rule]) for cell in cells(factors))
        for span, rule in _rules(tree, models)
    }


def unknown_tier(name: str, tiers: list[str]) -> str:
    """Return the message for a tier that a spec does not have."""
    if not tiers:
        return f"The spec has no tiers. Remove --tier {name}."
    near = nearest(name, tiers)
    return f"The spec has no tier {name}; its tiers are {', '.join(tiers)}.{f' Did you mean {near}?' if near else ''}"


def _factors(tree: Mapping, models: Models) -> Factors | None:
    node = tree.entries.get("factors")
    return build(models.factors, node)[0] if node else None


def _rules(tree: Mapping, models: Models) -> list[tuple[Span, Rule]]:
    built = [(node.span, build(models.rule, node)[0]) for node in _items(tree.entries.get("exclude"))]
    return [(span, rule) for span, rule in built if rule is not None]


def _items(node: Node | None) -> list[Node]:
    return node.items if isinstance(node, Items) else []


def _below(node: Node | None, key: str) -> Node | None:
    return node.entries.get(key) if isinstance(node, Mapping) else None


def _names(nodes: Iterable[Node | None]) -> Iterator[tuple[str, Span]]:
    """Yield the strings in nodes, each of which is a string, a list of strings, or neither."""
    for node in nodes:
        for item in node.items if isinstance(node, Items) else [node]:
            if isinstance(item, Scalar) and isinstance(item.value, str):
                yield item.value, item.span


def _unknown_names(tree: Mapping) -> Iterator[Problem]:
    entries = tree.entries
    testbeds = (*catalog.known_testbeds(), catalog.AUTO)
    for name, span in _names([entries.get("testbed")]):
        if name and not catalog.is_file_name(name) and name not in testbeds:
            hint = f"{did_you_mean(name, testbeds)} To name a file, include its .yaml ending."
            yield Problem(f"There is no testbed {name} in experiments/testbeds.{hint}", span)
    notebooks = catalog.known_notebooks()
    for name, span in _names(_items(entries.get("notebooks"))):
        if notebooks and name not in notebooks and not is_own_notebook(name):
            hint = f"{did_you_mean(name, notebooks)} A file of your own ends in .ipynb or .py."
            yield Problem(f"There is no notebooks/{name}.ipynb.{hint}", span)
    tiers = entries.get("tiers")
    known = list(tiers.entries) if isinstance(tiers, Mapping) else []
    for name, span in _names([entries.get("default_tier")]):
        if name not in known:
            yield Problem(f"There is no tier {name}.{did_you_mean(name, known)}", span)


def _unknown_variants(tree: Mapping, own: Variants) -> Iterator[Problem]:
    entries = tree.entries
    shipped = catalog.known_variants()
    if twice := sorted(set(own.names) & set(shipped)):
        message = f"{own.file} and kernel/variants.yaml both define the variant {twice[0]}. Rename yours."
        yield Problem(message, entries["variants"].span)
    if "variants" in entries and not own.names:
        return  # the file has errors, which are reported
    known = (*own.names, *shipped)
    where = f"{own.file} or kernel/variants.yaml" if own.names else "kernel/variants.yaml"
    cells_named = [entries.get("factors"), *_items(entries.get("exclude")), *_items(entries.get("include"))]
    named = [*(_below(node, "variant") for node in cells_named), entries.get("noise_floor")]
    for name, span in _names(named):
        if name and name not in known:
            yield Problem(f"There is no variant {name} in {where}.{did_you_mean(name, known)}", span)


def _without_packet_counters(tree: Mapping, own: Variants, tool: Choice) -> Iterator[Problem]:
    """Yield problems with variants of systems that do not count every dropped packet, if the tool needs these
    counters."""
    if tool.tool is None or not tool.tool.places_losses:
        return
    systems = systems_by_variant(own)
    for name, span in _names([_below(tree.entries.get("factors"), "variant")]):
        system = systems.get(name)
        if system is not None and not system.counts_losses:
            said = f"{name} is {system.label}, but {tool_named_in(tree)} supports only WireGuard so far."
            yield Problem(f"{said} Use iperf3, or remove {name}.", span)


def _rekeys(tree: Mapping, models: Models, selection: Selection | None) -> Iterator[Problem]:
    """Yield a problem if the longest traffic lasts until a rekey, which the limit on rekeys forbids, unless that limit
    only marks."""
    traffic, limits = tree.entries.get("traffic"), tree.entries.get("limits")
    found = build(models.traffic, traffic)[0] if traffic else None
    allowed = build(Limits, limits)[0] if limits else Limits()
    if found is None or allowed is None or "rekey" in allowed.report_only:
        return
    varied = selection.levels if selection is not None else lambda path: []
    levels = {key: [float(level) for level in varied(f"traffic.{key}")] for key in TIMES}
    seconds = sum(max(levels[key], default=getattr(found, name)) for key, name in TIMES.items())
    if seconds + REKEY_MARGIN_S >= REKEY_AFTER_S:
        node = _below(traffic, "duration")
        of_levels = key_at(traffic, "duration") if levels["duration"] else None
        yield Problem(
            f"traffic.duration: WireGuard rekeys {REKEY_AFTER_S:g} s after a handshake, which traffic of "
            f"{seconds:g} s would include. Use less than {REKEY_AFTER_S - REKEY_MARGIN_S:g} s including the warm-up, "
            "or allow rekeys: limits: {report_only: [rekey]}.",
            of_levels or (node.span if node else tree.keys["traffic"]),
        )


def _repeated_levels(tree: Mapping, models: Models) -> Iterator[Problem]:
    factors = _factors(tree, models)
    for name, field in models.factors.model_fields.items():
        factor = field.alias or name
        nodes = _items(_below(tree.entries.get("factors"), factor))
        values = getattr(factors, name, None) or [plain(node) for node in nodes]
        seen: set[object] = set()
        for node, value in zip(nodes, values, strict=True):
            if not isinstance(node, Scalar) or node.value is None:
                continue
            level = (isinstance(value, bool), value)  # in Python, True equals 1
            if level in seen:
                message = f"{factor}: {node.value} is listed twice. Remove one. To repeat cells, use repetitions."
                yield Problem(message, node.span)
            seen.add(level)
