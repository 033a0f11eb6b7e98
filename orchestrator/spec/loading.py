# SPDX-License-Identifier: Apache-2.0
"""Reading experiments and testbeds from files."""

import typing
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from orchestrator import paths
from orchestrator.errors import UserError
from orchestrator.spec import catalog
from orchestrator.spec.built_in_probes import Placed, placed_in_layer, with_built_in_probes
from orchestrator.spec.claims import load_claim
from orchestrator.spec.contradictions import contradictions, rules_and_effect, unknown_tier
from orchestrator.spec.document import Items, Mapping, Node, Scalar, parse, read_source
from orchestrator.spec.experiment import Experiment
from orchestrator.spec.host_settings import settings_paths, unfit_settings
from orchestrator.spec.models import models_of
from orchestrator.spec.overrides import merged, name_of, read_override, refuse_into_values, with_first_levels, with_tier
from orchestrator.spec.own_claims import is_own_claims_file, read_own_claims
from orchestrator.spec.own_files import own_files_of_spec
from orchestrator.spec.own_tools import files_of_spec
from orchestrator.spec.problems import Problem, SourceText, Span, SpecError, did_you_mean, nearest
from orchestrator.spec.providers import schema_of, summaries
from orchestrator.spec.testbed import Pool, Testbed, clock_of
from orchestrator.spec.tools import tool_chosen
from orchestrator.spec.validation import build
from orchestrator.spec.variants import VariantEntry, read_variants, variants_of_spec

_NO_EFFECT = "This rule of exclude matches no cell. Correct its levels or remove it."


def load_experiment(path: Path | str, tier: str | None = None, overrides: Sequence[str] = ()) -> Experiment:
    """Return the resolved experiment of a spec: the spec, then its tier, then ``overrides`` ('traffic.duration=3s').

    ``path`` is relative to the current folder, or else to the checkout. ``tier`` None selects the spec's default.
    Raises SpecError with all errors of the file (in all tiers), then of the overrides; UserError for an unknown tier.
    """
    file = _find(Path(path), catalog.known_specs())
    source = read_source(file)
    placed, tiers = _checked(source)
    base, spelled = placed.tree, [placed]
    chosen = tier
    if tier is None:
        default = base.entries.get("default_tier")
        chosen = default.value if isinstance(default, Scalar) else None
    elif tier not in tiers:
        raise UserError(f"{file}: {unknown_tier(tier, tiers)}")
    tree, changes = _resolved(base, chosen), []
    for text in overrides:
        change, problems = read_override(text)
        refuse_into_values(tree, change, text)
        spelled.append(placed_in_layer(change, tree))
        tree = merged(tree, spelled[-1].tree)
        changes += [*problems, *spelled[-1].problems]
    tool = tool_chosen(tree, file.resolve().parent)
    models = models_of(tool.schema, settings_paths(tree))
    tree = with_first_levels(tree, models.traffic)
    own, of_variants = variants_of_spec(tree, file.parent)
    files, of_files = files_of_spec(tree, file.parent)
    own_files, of_own = own_files_of_spec(tree, file.parent, own)
    of_files += of_own
    experiment, problems = build(models.experiment, tree)
    problems = _without_echo([*tool.foreign(tree), *unfit_settings(tree)], problems)
    problems = _without_echo(changes, [*problems, *of_variants, *of_files, *contradictions(tree, own, tool)])
    # A rule of the file may be meant for another tier; a rule of --set must have an effect now.
    without = [
        span for span, effect in rules_and_effect(tree, models).items() if not effect and not span.source.is_file
    ]
    problems = _without_echo(problems, [Problem(_NO_EFFECT, span) for span in without])
    for layer in spelled:
        problems = layer.as_written(problems)
    if problems or experiment is None:
        raise SpecError(f"{file} with {' '.join(map(name_of, overrides))}", problems)
    experiment = experiment.with_traffic(tool.applied(experiment.traffic))
    experiment = experiment.with_files(files).with_own_files(own_files)
    return experiment.with_origin(file, source.text, chosen, overrides, own)


def load_testbed(name_or_path: Path | str) -> Testbed | Pool:
    """Return the testbed with a name in experiments/testbeds, or of a file. Raises SpecError with all errors of the
    file and of the files of a pool's testbeds."""
    return _load(str(name_or_path))


def _load(name: str, *, in_pool: bool = False) -> Testbed | Pool:
    """Return the testbed as `load_testbed` does. ``in_pool``: the name is listed in a pool, which must not contain a
    pool."""
    known = catalog.known_testbeds()
    if catalog.is_file_name(name):
        file = _find(Path(name), ())
    elif name in known:
        file = paths.TESTBEDS / f"{name}.yaml"
    elif name == catalog.AUTO:
        raise UserError(
            "auto is only for `orch run`, which chooses a testbed. Name a testbed from experiments/testbeds."
        )
    else:
        hint = f"{did_you_mean(name, known)} To name a file, include its .yaml ending."
        raise UserError(f"There is no testbed {name} in experiments/testbeds.{hint}")
    source = read_source(file)
    root, problems = parse(source, lambda place: tuple(place[:-1]) == ("hosts", "*", "tuning"))
    provider = root.entries.get("provider") if isinstance(root, Mapping) else None
    kind = provider.value if isinstance(provider, Scalar) else "uml"
    folder = file.resolve().parent  # because the current folder may be another one
    try:
        found = schema_of(str(kind), folder)
        message = "" if found else _no_provider(str(kind))
    except UserError as error:
        found, message = None, str(error)
    if found is None:
        span = provider.span if provider is not None else root.span
        raise SpecError(source.name, _without_echo(problems, [Problem(message, span)]))
    schema, extension = found
    testbed, refused = build(schema, root)
    problems = _without_echo(problems, refused)
    if problems or testbed is None:
        raise SpecError(source.name, problems)
    if isinstance(testbed, Testbed):
        assert extension is not None
        testbed = testbed.relative_to(folder).of_provider(extension)
    else:
        assert isinstance(root, Mapping)
        if in_pool:
            raise UserError(f"{name} is itself a pool. List its testbeds here instead.")
        members, problems = _members(root.entries.get("testbeds"), file)
        if problems:
            raise SpecError(source.name, problems)
        testbed = testbed.with_members(members)
    return testbed.with_file(name)


def _no_provider(name: str) -> str:
    known = summaries()
    near = nearest(name, known)
    hint = f" Did you mean {near}?" if near else ""
    listed = ", ".join(f"{one} ({what})" for one, what in known.items())
    return f"There is no provider {name}. The providers are: {listed}.{hint}"


def _members(names: Node | None, file: Path) -> tuple[list[Testbed], list[Problem]]:
    """Return the testbeds that a pool's file names, and all errors."""
    members: list[Testbed] = []
    problems: list[Problem] = []
    for node in names.items if isinstance(names, Items) else []:
        assert isinstance(node, Scalar)
        name = str(node.value)
        try:
            place = str(file.resolve().parent / name) if catalog.is_file_name(name) else name
            found = _load(place, in_pool=True)
        except SpecError as error:
            problems += error.problems
            continue
        except UserError as error:
            problems.append(Problem(str(error), node.span))
            continue
        assert not isinstance(found, Pool)
        problems += [Problem(clash, node.span) for clash in _clashes(found, members)]
        members.append(found)
    return members, problems


def _clashes(testbed: Testbed, others: Iterable[Testbed]) -> Iterator[str]:
    """Yield reasons why a testbed cannot share a pool with others: a repeated name, a different clock, or a reason that
    its provider gives."""
    others = list(others)
    if others and clock_of(testbed) != clock_of(others[0]):
        yield (
            f"{testbed.testbed} has a {clock_of(testbed)} clock, and {others[0].testbed} has a {clock_of(others[0])} "
            "one. Results in virtual time cannot be compared with results in real time, so all "
            "testbeds of a pool must have the same clock."
        )
    for other in others:
        if other.testbed == testbed.testbed:
            yield f"The testbed {testbed.testbed} is already in this pool. Name each testbed once."
    yield from testbed.clashes(others)


def check_file(path: Path | str) -> str:
    """Check a spec, a testbed file, a variants file or a claim, and return a sentence that says which it is. Raises
    SpecError with all errors, or UserError."""
    file = _find(Path(path), catalog.known_specs())
    source = read_source(file)
    root, _ = parse(source)
    keys = root.entries if isinstance(root, Mapping) else {}
    if is_own_claims_file(root):
        own = read_own_claims(source)
        return f"{file} is a valid file of your own claims: {', '.join(one.claim for one in own)}."
    if "claim" in keys and "experiment" in keys:
        claim = load_claim(file)
        return f"{file} is a valid claim: {claim.claim}, {claim.title}."
    if "experiment" not in keys and ("provider" in keys or "hosts" in keys or "testbeds" in keys):
        testbed = load_testbed(file if catalog.is_file_name(str(file)) else file.absolute())
        of = f", a pool of {', '.join(testbed.testbeds)}" if isinstance(testbed, Pool) else ""
        return f"{file} is a valid testbed file: {testbed.testbed}{of}."
    if _describes_variants(keys):
        return f"{file} is a valid variants file: {', '.join(read_variants(file).names)}."
    placed, tiers = _checked(source)
    if problems := list(_problems_of_testbeds(placed.tree, file)):
        raise SpecError(source.name, problems)
    return f"{file} is a valid spec" + (f" with the tiers {', '.join(tiers)}." if tiers else ".")


def _problems_of_testbeds(spec: Mapping, file: Path) -> Iterator[Problem]:
    """Yield the errors in the testbed files that a spec and its tiers name, and one for each that does not exist.

    Only `check_file` looks for them: a run may be on another testbed, and a run's copy of a spec is without them.
    """
    tiers = spec.entries.get("tiers")
    for part in (spec, *(tiers.entries.values() if isinstance(tiers, Mapping) else ())):
        node = part.entries.get("testbed") if isinstance(part, Mapping) else None
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not catalog.is_file_name(node.value):
            continue
        try:
            load_testbed(catalog.testbed_name_or_path(node.value, file))
        except SpecError as error:
            yield from error.problems
        except UserError as error:
            yield Problem(str(error), node.span)


def _describes_variants(keys: typing.Mapping[str, Node]) -> bool:
    """Return whether the keys of a file are names of variants: none is a spec's, and some have keys of a variant."""
    known = set(VariantEntry.model_fields)
    entries = [set(value.entries) for value in keys.values() if isinstance(value, Mapping)]
    return not set(keys) & set(Experiment.model_fields) and any(known & entry for entry in entries)


def _checked(source: SourceText) -> tuple[Placed, list[str]]:
    """Return the tree of a valid spec, and its tiers. Raises SpecError if the base or a tier has errors."""
    root, problems = parse(source)
    if not isinstance(root, Mapping):
        _, refused = build(Experiment, root)
        raise SpecError(source.name, refused)
    placed = with_built_in_probes(root)
    root, problems = placed.tree, [*problems, *placed.problems]
    tiers = root.entries.get("tiers")
    names = list(tiers.entries) if isinstance(tiers, Mapping) else []
    effective: dict[Span, bool] = {}
    for tier in (None, *names):
        tree = _resolved(root, tier)
        tool = tool_chosen(tree, Path(source.name).resolve().parent)
        models = models_of(tool.schema, settings_paths(tree))
        tree = with_first_levels(tree, models.traffic)
        own, of_variants = variants_of_spec(tree, Path(source.name).parent)
        _, of_files = files_of_spec(tree, Path(source.name).parent)
        of_files += own_files_of_spec(tree, Path(source.name).parent, own)[1]
        _, refused = build(models.experiment, tree)
        refused = _without_echo([*tool.foreign(tree), *unfit_settings(tree)], refused)
        problems = _without_echo(problems, [*refused, *of_variants, *of_files, *contradictions(tree, own, tool)])
        for span, effect in rules_and_effect(tree, models).items():
            effective[span] = effective.get(span, False) or effect
    problems += [Problem(_NO_EFFECT, span) for span, effect in effective.items() if not effect]
    if problems:
        raise SpecError(source.name, placed.as_written(problems))
    return placed, names


def _resolved(base: Mapping, tier: str | None) -> Mapping:
    return base if tier is None else with_tier(base, tier)


def _without_echo(first: Iterable[Problem], then: Iterable[Problem]) -> list[Problem]:
    """Return all of ``first``, and those of ``then`` whose location has no problem yet. Of ``then``, the first of those
    that give the same reason at a location: a level of a factor may be the value of its key too."""
    kept = list(first)
    places = {problem.span.start for problem in kept if problem.span}
    told = set()
    for problem in then:
        start = problem.span.start if problem.span else None
        reason = start, problem.message.rpartition(": ")[2]
        if start is None or (start not in places and reason not in told):
            kept.append(problem)
        told.add(reason)
    return kept


def _find(path: Path, known: Iterable[str]) -> Path:
    """Return the file relative to the current folder, or else one that ships with the program. Raises UserError if
    there is none."""
    brought = paths.EXPERIMENTS.joinpath(*path.parts[1:]) if path.parts[:1] == ("exp",) else paths.HOME / path
    for candidate in (path, brought):
        try:
            if candidate.exists():
                return candidate
        except (OSError, ValueError) as error:
            raise UserError(f"{str(path)!r} is not the name of a file: {error}.") from error
    near = nearest(path.stem, known)
    hint = f" Did you mean exp/{near}.yaml?" if near else " Check the name."
    raise UserError(f"There is no file {path}, in this folder or in the checkout.{hint}")
