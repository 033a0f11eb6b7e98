# SPDX-License-Identifier: Apache-2.0
"""`orch validate`, `orch plan` and `orch schema`: check and explain specs without running anything."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import options
from orchestrator.errors import UserError
from orchestrator.sentences import (
    boots_sentence,
    clock_sentence,
    comparing_sentence,
    probes_sentence,
    told_by_comparing,
)

if TYPE_CHECKING:
    from orchestrator.plan import Capabilities, Lessons, Plan, Trial
    from orchestrator.spec import Level


def validate(
    files: Annotated[list[Path], typer.Argument(help="Specs, testbed or variants files, claims.", metavar="FILE...")],
) -> int:
    """Check specs, testbed files, variants files and claims, and report every error with its location. The exit status
    is 2 if there are any.
    """
    from orchestrator.spec import check_file

    status = 0
    for file in files:
        try:
            print(check_file(file), flush=True)
        except UserError as error:
            print(error, file=sys.stderr, flush=True)
            status = error.exit_status
    return status


def plan(
    spec: Annotated[Path, typer.Argument(help="The experiment's spec, for instance exp/scaling.yaml.")],
    tier: options.Tier = None,
    overrides: options.Overrides = None,
    testbed: options.Testbed = None,
    order: options.Order = None,
    trials: Annotated[bool, typer.Option("--trials", help="Also list every trial, in the order of the run.")] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print one line of JSON, which has every trial.")] = False,
) -> None:
    """Show what a run would measure: blocks, rounds, trials, restarts, the expected time, and the cells left out."""
    from orchestrator.cli.lessons import lessons
    from orchestrator.kernel.variants import shipped
    from orchestrator.plan import make_plan
    from orchestrator.spec import load_experiment, members_of
    from orchestrator.spec.selection import Selection
    from orchestrator.testbed.choice import choose_testbed
    from orchestrator.testbed.pool import look, pool_capabilities

    experiment = load_experiment(spec, tier=tier, overrides=overrides or ())
    bed, why = choose_testbed(testbed or experiment.testbed_name_or_path, None)
    if why:
        print(f"orch: {why}", file=sys.stderr)
    beds = members_of(bed)
    able = pool_capabilities({one.testbed: look(one) for one in beds}).with_own(experiment.own_variants, shipped())
    planned = make_plan(experiment, able, order=order or "random", testbed=bed.testbed)
    own_boots = able.own_boots(planned.repetitions.boots)
    learned = lessons(beds[0].provider, able.slots, able.role_cpus, own_boots=own_boots)
    if json_output:
        for part in _json_parts(planned, learned, able):
            sys.stdout.write(part)
    else:
        variants = Selection(experiment.factors, extras=experiment.include).variants
        _show(planned, learned, able, variants, probes_sentence(experiment))
        if trials:
            _list_trials(planned)


def _list_trials(planned: "Plan") -> None:
    """Print a line for each trial: its order, block and round, what it measures, and its id."""
    from orchestrator.cli.tracking import cell

    widths = [len(str(number)) for number in (planned.blocks[-1].trials[-1].order, len(planned.blocks))]
    print("Trials, with block and round:")
    for trial in planned.iterate():
        place = f"{trial.order:{widths[0]}}  block {trial.block:{widths[1]}}, round {trial.round:2}"
        print(f"  {place}  {trial.trial_id}  {cell(trial)}")


def _shared_fields(trial: "Trial") -> str:
    """Return the fields that all repetitions of a cell share, as the end of a JSON object."""
    levels, traffic = trial.levels, trial.traffic
    fields = {
        "kind": trial.kind,
        **levels.to_json(),
        "warm_up_s": traffic.warm_up_s,
        "duration_s": traffic.duration_s,
        "topology": trial.topology,
    }
    return json.dumps(fields)[1:]


def _json_parts(planned: "Plan", lessons: "Lessons", able: "Capabilities") -> Iterator[str]:
    """Yield one JSON object in pieces, so that 100,000 trials need not be in memory as text."""
    from orchestrator.plan import block_estimate, combined_estimate, estimate

    names = ("experiment", "tier", "seed", "testbed", "topology", "order")
    head = {name: getattr(planned, name) for name in names} | {"clock": able.clock, "slots": able.slots}
    head["role_cpus"] = able.role_cpus
    parts = [block_estimate(block, lessons) for block in planned.blocks]
    head["expected"] = asdict(combined_estimate(planned, parts, able.testbeds))
    head["repetitions"] = asdict(planned.repetitions)
    if planned.repetitions.width is not None:
        head["expected_at_least"] = asdict(estimate(planned, lessons, planned.repetitions.min, able.testbeds))
    head["comparing"] = asdict(told_by_comparing(planned))
    head["blocks"] = [
        {
            "index": block.index,
            "cores": block.cores,
            "settings": block.settings,
            "boot": block.boot,
            **asdict(part),
        }
        for block, part in zip(planned.blocks, parts, strict=True)
    ]
    head["left_out"] = [asdict(left) for left in planned.left_out]
    yield json.dumps(head)[:-1] + ', "trials": ['
    shared: dict[int, str] = {}  # by the identity of a cell's levels, which its trials share
    for trial in planned.iterate():
        rest = shared.get(id(trial.levels)) or shared.setdefault(id(trial.levels), _shared_fields(trial))
        comma = ", " if trial.order > 1 else ""
        yield (
            f'{comma}{{"trial_id": "{trial.trial_id}", "block": {trial.block}, "round": {trial.round}, '
            f'"order": {trial.order}, "repetition": {trial.repetition}, {rest}'
        )
    yield "]}\n"


def size(count: float) -> str:
    """Return a number of bytes as text with a unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def duration(seconds: float) -> str:
    """Return a duration in seconds as text, such as '40 s', '12 min' or '3 h 05 min'."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _show(planned: "Plan", lessons: "Lessons", able: "Capabilities", variants: Sequence[str], probes: str) -> None:
    """Print a plan. ``variants``: those of the spec, in its order; ``probes``: the sentence on its probes."""
    from rich.box import SIMPLE
    from rich.markup import escape
    from rich.table import Table

    from orchestrator.cli.consoles import WIDE, output
    from orchestrator.plan import block_estimate, estimate
    from orchestrator.plan.noise_floor import NOISE_FLOOR

    rule = planned.repetitions
    total, least = (estimate(planned, lessons, rounds, able.testbeds) for rounds in (None, rule.min))

    def span(least: str, most: str) -> str:
        return most if least == most else f"{least} - {most}"

    console = output()
    tier = f", tier {planned.tier}" if planned.tier else ""
    console.print(
        f"[bold]{escape(planned.experiment)}[/bold]{escape(tier)} on {escape(planned.testbed)}, {planned.topology}",
        markup=True,
    )
    if clock := clock_sentence(planned, able):
        console.print(f"{clock} Expected times are wall-clock times.")
    order = f"seed {planned.seed}" if planned.order == "random" else "in the order of the spec"
    console.print(
        "Every block starts with baselines without a tunnel, one for each number of tunnels. Order of cells within a "
        f"round: {order}.",
    )
    if further := _further(planned):
        console.print(f"Also varied within each round: {further}.")
    prepared = any(block.settings_text for block in planned.blocks)
    if prepared:
        console.print(
            "Each combination of cores and settings has blocks of its own, because the hosts are prepared for it, "
            f"which takes about {duration(lessons.prepare_s)} each time.",
        )
    if again := {trial.levels.variant for trial in planned.iterate() if trial.kind == NOISE_FLOOR}:
        console.print(f"Each round measures {', '.join(again)} twice at each place, for the noise floor.")
    if probes:
        console.print(probes)
    if boots := boots_sentence(planned, able):
        console.print(boots)
    if rule.width is not None:
        what = "median" if rule.reference is None else f"ratio to {rule.reference}"
        console.print(
            f"Each block has at least {rule.min} rounds, and at most {rule.max}. It ends when the interval of every "
            f"cell's {what} is at most {rule.width:.1%} of the median wide.".replace("%", " %"),
        )

    def drawn(roomy: bool) -> Table:
        table = Table(show_footer=True, box=SIMPLE, padding=(0, int(roomy), 0, 0), show_edge=roomy)
        table.add_column("block", "", justify="right", no_wrap=True)
        table.add_column("cores", "", justify="right", no_wrap=True)
        if prepared:
            table.add_column("settings", "")
        if rule.boots > 1 and roomy:
            table.add_column("boot", "", justify="right", no_wrap=True)
        table.add_column("variants", "", min_width=9)  # wraps on a narrow terminal
        table.add_column("tunnels", "", min_width=7)
        table.add_column("rounds", "", justify="right", no_wrap=True)
        table.add_column("trials", span(str(least.trials), str(total.trials)), justify="right", no_wrap=True)
        if roomy:
            table.add_column("loads", span(str(least.loads), str(total.loads)), justify="right", no_wrap=True)
        expected = span(duration(least.seconds), duration(total.seconds))
        table.add_column("expected", expected, justify="right", no_wrap=roomy, min_width=8)
        for block in planned.blocks:
            measured = [trial for trial in block.trials if trial.kind == "measure"]
            part, first = block_estimate(block, lessons), block_estimate(block, lessons, rule.min)
            table.add_row(
                str(block.index),
                str(block.cores),
                *([block.settings_text] if prepared else []),
                *([str(block.boot)] if rule.boots > 1 and roomy else []),
                ", ".join(sorted({trial.levels.variant for trial in measured}, key=variants.index)),
                ", ".join(map(str, sorted({trial.levels.tunnels for trial in measured}))),
                span(str(rule.min), str(measured[-1].round)),
                span(str(first.trials), str(part.trials)),
                *([span(str(first.loads), str(part.loads))] if roomy else []),
                span(duration(first.seconds), duration(part.seconds)),
            )
        for column in table.columns:
            if column.no_wrap:  # rich counts these as if they could be broken
                column.min_width = max(len(str(text)) for text in (column.header, column.footer, *column.cells))
        return table

    table = drawn(roomy=True)
    roomy = console.measure(table, options=console.options.update(width=WIDE)).minimum <= console.width
    if not roomy:
        table = drawn(roomy=False)
    console.print(table)
    boots = f"{total.boots} boot{'s' * (total.boots != 1)}"
    disk = span(size(least.disk_bytes), size(total.disk_bytes))
    legend = "loads: WireGuard module reloads. " if roomy else ""
    console.print(
        f"{legend}{boots}, about {disk} of results. Retries and the first build of the lab are not included.",
    )
    console.print(comparing_sentence(planned))
    if planned.left_out:
        console.print("Left out:")
    for left in planned.left_out:
        console.print(f"  {left.what}: {left.reason}")


def _further(planned: "Plan") -> str:
    """Return the factors that are keys of the spec, with their levels, in words."""
    from orchestrator.spec import factor_of
    from orchestrator.spec.factors import ordered

    found: dict[str, dict[Level, None]] = {}
    for trial in planned.iterate():
        for path, level in trial.levels.more.items():
            if factor_of(path).needs_preparation:
                continue
            found.setdefault(path, {})[level] = None
    return "; ".join(
        f"{factor_of(path).label} {', '.join(factor_of(path).show(level) for level in sorted(levels, key=ordered))}"
        for path, levels in found.items()
    )


def schema(
    what: Annotated[
        str,
        typer.Argument(help="Which schema: experiment, testbed or claim; data: the columns of results, as Markdown."),
    ] = "experiment",
) -> None:
    """Print the JSON Schema of specs, of testbed files, or of claims; or the data dictionary of results."""
    from orchestrator.spec import claim_schema, experiment_schema, testbed_schema

    schemas = {"experiment": experiment_schema, "testbed": testbed_schema, "claim": claim_schema}
    if what == "data":
        from orchestrator.analysis.dictionary import markdown

        sys.stdout.write(markdown())
        return
    if what not in schemas:
        raise UserError(f"There is no schema named {what}. The schemas are: {', '.join([*schemas, 'data'])}.")
    print(json.dumps(schemas[what](), indent=2))
