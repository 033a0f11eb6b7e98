# SPDX-License-Identifier: Apache-2.0
"""What a well-formed spec can still get wrong: unknown names, repeated levels, rules without effect, nothing left."""

from collections.abc import Iterator

from orchestrator.spec import catalog
from orchestrator.spec.cells import cells, excluded, extra_cells
from orchestrator.spec.document import Mapping, place_of
from orchestrator.spec.experiment import Experiment
from orchestrator.spec.problems import Problem, Span, did_you_mean, nearest

MOST_TRIALS = 1_000_000


def contradictions(experiment: Experiment, tree: Mapping) -> list[Problem]:
    """The problems of one resolved experiment; ``tree`` tells where its values are written."""
    problems = [*_unknown_names(experiment, tree), *_repeated_levels(experiment, tree)]
    factors = experiment.factors
    count = len(factors.variant) * len(factors.cores) * len(factors.tunnels) * experiment.repetitions
    if count > MOST_TRIALS:
        message = f"These levels make {count:,} trials; the most is {MOST_TRIALS:,}. Name fewer levels or repetitions."
        return [*problems, Problem(message, place_of(tree, ["factors"], True))]
    if not experiment.include and all(
        any(excluded(rule, cell, None) for rule in experiment.exclude) for cell in cells(experiment)
    ):
        message = (
            "The rules of exclude leave out every cell, so that there is nothing to measure. Leave one in."
        )
        problems.append(Problem(message, place_of(tree, ["exclude"], True)))
    return problems


def rules_without_effect(experiment: Experiment, tree: Mapping) -> dict[Span, bool]:
    """Where each rule of ``exclude`` is written, and whether it can mean no cell at all."""
    return {
        place_of(tree, ["exclude", index]): not any(
            excluded(rule, cell, None, unknown=True) for cell in cells(experiment)
        )
        for index, rule in enumerate(experiment.exclude)
    }


def _unknown_names(experiment: Experiment, tree: Mapping) -> Iterator[Problem]:
    known = catalog.known_variants()
    used: list[tuple[str, list[str | int]]] = [
        (name, ["factors", "variant", index]) for index, name in enumerate(experiment.factors.variant)
    ]
    for index, rule in enumerate(experiment.exclude):
        used += [(name, ["exclude", index, "variant", at]) for at, name in enumerate(rule.variant or ())]
    used += [(extra.variant, ["include", index, "variant"]) for index, extra in enumerate(experiment.include)]
    for name, location in used:
        if name not in known:
            message = f"There is no variant {name} in kernel/variants.yaml.{did_you_mean(name, known)}"
            yield Problem(message, place_of(tree, location))
    testbeds = catalog.known_testbeds()
    if not catalog.is_file_name(experiment.testbed) and experiment.testbed not in testbeds:
        message = (
            f"There is no testbed {experiment.testbed} in experiments/testbeds."
            f"{did_you_mean(experiment.testbed, testbeds)} A file is named with its .yaml."
        )
        yield Problem(message, place_of(tree, ["testbed"]))
    notebooks = catalog.known_notebooks()
    for index, name in enumerate(experiment.notebooks):
        if notebooks and name not in notebooks:
            message = f"There is no notebooks/{name}.ipynb.{did_you_mean(name, notebooks)}"
            yield Problem(message, place_of(tree, ["notebooks", index]))
    if experiment.default_tier is not None and experiment.default_tier not in experiment.tiers:
        message = f"There is no tier {experiment.default_tier}.{did_you_mean(experiment.default_tier, experiment.tiers)}"
        yield Problem(message, place_of(tree, ["default_tier"]))


def _repeated_levels(experiment: Experiment, tree: Mapping) -> Iterator[Problem]:
    for factor in ("variant", "cores", "tunnels"):
        seen: set[object] = set()
        for index, level in enumerate(getattr(experiment.factors, factor)):
            if level in seen:
                message = f"{factor}: {level} is listed twice. Keep one; repetitions says how often a cell is measured."
                yield Problem(message, place_of(tree, ["factors", factor, index]))
            seen.add(level)


def unknown_tier(name: str, experiment_tiers: list[str]) -> str:
    """The sentence for a tier that a spec does not have."""
    if not experiment_tiers:
        return f"It has no tiers, and {name} was asked for. Leave --tier out."
    near = nearest(name, experiment_tiers)
    hint = f" Did you mean {near}?" if near else ""
    return f"It has no tier {name}; it has {', '.join(experiment_tiers)}.{hint}"
