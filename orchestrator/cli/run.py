# SPDX-License-Identifier: Apache-2.0
"""`orch run`: the whole way from a spec to its figures."""

import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli import options
from orchestrator.errors import UserError, refusal
from orchestrator.paths import RESULTS

if TYPE_CHECKING:
    from orchestrator.cli.display import LineDisplay, LiveDisplay
    from orchestrator.run.campaign import Summary
    from orchestrator.spec import Pool, RoleCpus, Testbed
    from orchestrator.store.changes import Change


def run(
    spec: Annotated[Path, typer.Argument(help="The experiment's spec, for instance exp/scaling.yaml.")],
    tier: options.Tier = None,
    overrides: options.Overrides = None,
    busy: options.Busy = None,
    testbed: options.Testbed = None,
    results: options.Results = RESULTS,
    order: Annotated[str | None, typer.Option(help="random (the default), or sequential for debugging.")] = None,
    resume: options.Resume = None,
    on_change: options.OnChange = None,
    dask: options.Dask = None,
    wait: options.Wait = True,
    report: Annotated[
        bool, typer.Option(help="Draw the figures and the report in the end; `orch report` does it later.")
    ] = True,
    json_output: options.Json = False,
    yes: options.Yes = False,
) -> int:
    """Run an experiment: validate, plan, bring up the testbed, provision, measure, store, draw.

    The exit status is 0 when all trials are ok, 1 when some are failed, invalid or missing, 2 for bad input, 3 when the
    testbed cannot be used, 130 when interrupted.
    """
    request = Request(spec, results, tier, overrides, testbed, order, resume, on_change, wait, yes, dask, busy)
    return conclude(measure(request), f"orch run {spec}", json_output, draws=report)


@dataclass(frozen=True)
class Request:
    """What a run is to be: the arguments of `orch run`, None where they are not given."""

    spec: Path
    results: Path
    tier: str | None = None
    overrides: Sequence[str] | None = None
    testbed: str | None = None
    order: str | None = None
    resume: Path | None = None
    on_change: str | None = None
    wait: bool = True
    yes: bool = False
    dask: str | None = None
    busy: str | None = None


def measure(request: Request) -> "Summary":
    """The way from a request to a run with its tables. What it came to is told and drawn afterwards."""
    from orchestrator.cli.spec import boots_sentence, clock_sentence, comparing_sentence
    from orchestrator.kernel.variants import shipped
    from orchestrator.plan import make_plan
    from orchestrator.run.campaign import carry_out
    from orchestrator.run.cluster import Cluster
    from orchestrator.run.home import Home, Place
    from orchestrator.run.opening import DECISIONS
    from orchestrator.run.session import Campaign
    from orchestrator.spec import load_experiment, members_of
    from orchestrator.testbed.pool import pool_capabilities

    if request.on_change is not None and (request.on_change not in DECISIONS or request.resume is None):
        raise UserError(f"--on-change goes with --resume and is {', '.join(DECISIONS[:-1])} or {DECISIONS[-1]}.")
    results = request.results
    found = None if request.resume is None else _run_to_resume(request.resume, results)
    before = _arguments_of(found) if found else {}
    overrides = request.overrides if request.overrides is not None else before.get("overrides", ())
    experiment = load_experiment(
        request.spec,
        tier=request.tier if request.tier is not None else before.get("tier"),
        overrides=[*overrides, *busy_override(request.busy)],
    )
    chosen_order = str(request.order or before.get("order") or "random")
    arguments = {"testbed": request.testbed or before.get("testbed"), "order": chosen_order}
    bed, why = _testbed(arguments["testbed"] or experiment.testbed)
    if why:
        arguments["testbed"] = bed.testbed  # the run goes on with it, whatever would be chosen then
    place: Place = Cluster(request.dask) if request.dask else Home()
    beds = [one.with_code(experiment.own_variants.code) for one in members_of(bed)]
    with place:
        seen = place.look(beds)
        able = pool_capabilities(seen).with_own(experiment.own_variants, shipped())
        plan = make_plan(experiment, able, order=chosen_order, testbed=bed.testbed)
        if found is None:
            _check_results(results)
        with open_display(beds[0].provider, able.slots, able.role_cpus) as display:
            if why:
                display.message(why)
            for sentence in (clock_sentence(plan, able), boots_sentence(plan, able), comparing_sentence(plan)):
                if sentence:
                    display.message(sentence)
            for left in plan.left_out:
                display.message(f"Left out: {left.what}: {left.reason}")

            def decide(changes: "Sequence[Change]") -> str:
                return request.on_change or (
                    "abort"
                    if request.yes
                    else display.ask(
                        ["Since the run was begun, something has changed:", *(f"  {change}" for change in changes)],
                        "What now: keep what was measured, rerun what the change concerns, or abort?",
                        DECISIONS,
                    )
                )

            campaign = Campaign(experiment, plan, results.resolve(), display, arguments, found, decide)
            with place.open(beds, seen, display, wait=request.wait) as executor:
                summary = carry_out(campaign, executor)
            _tabulate(summary, display)
    return summary


def busy_override(busy: str | None) -> list[str]:
    """--busy as an argument of --set. UserError for a word that it does not take."""
    if busy not in (None, "reject", "mark"):
        raise UserError(f"--busy is reject or mark, and not {busy}.")
    return [] if busy is None else [f"busy={busy}"]


def _testbed(name: str) -> "tuple[Testbed | Pool, str]":
    """The testbed, and why, if it was chosen for ``auto``, which may take some time."""
    from orchestrator.spec import AUTO
    from orchestrator.testbed.choice import choose_testbed

    if name != AUTO:
        return choose_testbed(name, None)
    with open_display("qemu") as display:
        return choose_testbed(name, display)


def _run_to_resume(given: Path, results: Path) -> Path:
    """The directory of the run that --resume names: a folder, or a run's id below the results."""
    from orchestrator.store import find_run, runs_below

    if not given.exists() and len(given.parts) == 1:
        below = [run for run in runs_below(results) if run.name == given.name] if results.is_dir() else []
        if not below:
            raise UserError(f"There is no run {given} in {results}. Give its directory: results/EXPERIMENT/RUN-ID.")
        given = below[0]
    if given.is_file():
        raise UserError(f"{given} is a file: an archive of a run is only read. Unpack it, and go on with the folder.")
    return find_run(given)


def _arguments_of(run: Path) -> dict[str, Any]:
    """What a run was started with, for when it goes on."""
    from orchestrator.store import read_run

    meta = read_run(run)
    return {**(meta.get("arguments") or {}), "tier": meta.get("tier"), "overrides": meta.get("overrides") or ()}


def _check_results(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".orch-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"Results cannot be written to {folder}: {error.strerror}. Name a folder with --results."
        ) from error


def open_display(
    provider: str, slots: int | None = None, role_cpus: "RoleCpus" = "shared"
) -> "LineDisplay | LiveDisplay":
    """The display of long operations: live on a terminal, lines elsewhere; on standard error. ``slots``,
    ``role_cpus``: of a testbed in virtual time."""
    from orchestrator.cli.consoles import errors
    from orchestrator.cli.display import LineDisplay, LiveDisplay

    console = errors()
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        return LiveDisplay(provider, console, slots, role_cpus)
    colours = console.color_system is not None  # wished for (FORCE_COLOR), though nobody sees it now
    return LineDisplay(provider, slots=slots, role_cpus=role_cpus, colours=colours)


def _tabulate(summary: "Summary", display: "LineDisplay | LiveDisplay") -> None:
    from orchestrator.store import write_tables

    try:
        write_tables(summary.path)
    except (OSError, UserError) as error:
        display.message(f"The tables cannot be written: {error}. `orch report {summary.path}` makes them.")


def draw(summary: "Summary") -> None:
    """Execute the notebooks and write the report of a run that came to its end.

    Whatever goes wrong here is a sentence on standard error: what was measured stands, and can be drawn again.
    """
    from orchestrator.analysis import make_report

    if summary.interrupted or summary.stopped:
        return
    sys.stdout.flush()  # the outcome, before what may take minutes or fail
    with open_display("uml") as display:
        display.stage("Executing the notebooks and writing the report", 10)
        try:
            make_report(summary.path, display.detail)
        except Exception as error:
            known = refusal(error) if isinstance(error, OSError) else None
            told = known or (error if isinstance(error, UserError) else f"{type(error).__name__}: {error}.")
            display.message(f"No report was drawn. {told} `orch report {summary.path}` tries it again.")
            return
        display.stage("")


def conclude(summary: "Summary", command: str, json_output: bool, *, draws: bool = True) -> int:
    """Say how a run ended, and then draw it, if it is to be drawn; returns the exit status, which is that of what was
    measured. ``command``: what goes on with it, if --resume is added."""
    counts = {status: summary.statuses[status] for status in ("ok", "failed", "invalid", "missing")}
    if not json_output:
        if counts["ok"]:
            from orchestrator.cli.summary import print_summary

            print_summary(summary.path)
        print(summary.path)
    else:
        outcome = {"run": str(summary.path), **counts, "interrupted": summary.interrupted, "stopped": summary.stopped}
        print(json.dumps({**outcome, "given_up": summary.given_up}))
    if draws:
        draw(summary)
    for gap in summary.given_up:
        print(f"orch: block {gap['block']} was given up: {gap['reason']}", file=sys.stderr)
    if summary.stopped:
        print(f"orch: {summary.stopped}", file=sys.stderr)
    path = shlex.quote(str(summary.path))
    goes_on = f"`{command} --resume {path}`"
    if summary.interrupted:
        print(
            f"orch: interrupted; what was measured is kept. {goes_on} goes on, `orch report {path}` draws it.",
            file=sys.stderr,
        )
        return 130
    if summary.unusable:
        return 3
    if counts["ok"] == sum(counts.values()):
        return 0
    print(f"orch: not all trials are ok. {goes_on} tries those again.", file=sys.stderr)
    if _spoiled_by_load(summary.path):
        from orchestrator.cli.summary import LOAD_ADVICE

        print(f"orch: {LOAD_ADVICE}", file=sys.stderr)
    return 1


def _spoiled_by_load(run: Path) -> bool:
    """Whether competing load made attempts of a run invalid; False where its tables cannot be read."""
    from orchestrator.analysis.dataset import load
    from orchestrator.cli.summary import beside_load

    try:
        return beside_load(load(run))[1] > 0
    except (OSError, UserError):
        return False
