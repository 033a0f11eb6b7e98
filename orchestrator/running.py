# SPDX-License-Identifier: Apache-2.0
"""Running an experiment, from its spec to a run with its tables, for the command line, scripts and notebooks."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from orchestrator.dependencies import refuse_without_packages
from orchestrator.errors import TestbedError, UserError, refusal
from orchestrator.paths import RESULTS, as_argument, is_utf_8
from orchestrator.sentences import boots_sentence, clock_sentence, comparing_sentence

if TYPE_CHECKING:
    from orchestrator.analysis.dataset import Run
    from orchestrator.run.campaign import CampaignSummary
    from orchestrator.run.progress import CampaignProgress
    from orchestrator.spec import Pool, RoleCpus, Testbed
    from orchestrator.store.changes import Change

    class Display(CampaignProgress, Protocol):
        """A display of a run that can also ask the user."""

        def ask(self, lines: Sequence[str], question: str, choices: Sequence[str]) -> str:
            """Return one of the choices; the last if nobody can be asked."""


# Returns a display, given the provider and, for a testbed in virtual time, its slots and how roles share CPUs.
Displays = Callable[[str, "int | None", "RoleCpus"], "AbstractContextManager[Display]"]


@dataclass(frozen=True)
class RunRequest:
    """A request for a run: the arguments of `orch run`, None if not given."""

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


def measure(request: RunRequest, displays: Displays) -> "CampaignSummary":
    """Carry out a request up to the run's tables, without reporting the outcome or drawing figures.

    Raises UserError and TestbedError, each with a sentence for the user.
    """
    from orchestrator.kernel.variants import shipped
    from orchestrator.plan import NO_VARIANT, make_plan
    from orchestrator.run.campaign import carry_out
    from orchestrator.run.cluster import Cluster
    from orchestrator.run.home import Backend, LocalBackend
    from orchestrator.run.opening import DECISIONS
    from orchestrator.run.session import Campaign
    from orchestrator.spec import load_experiment, members_of
    from orchestrator.spec.systems import needs_of
    from orchestrator.testbed.pool import pool_capabilities

    if request.on_change is not None and (request.on_change not in DECISIONS or request.resume is None):
        raise UserError(f"--on-change needs --resume and is {', '.join(DECISIONS[:-1])} or {DECISIONS[-1]}.")
    results = request.results
    found = None if request.resume is None else _run_to_resume(request.resume, results)
    before = _arguments_of(found) if found else {}
    overrides = request.overrides if request.overrides is not None else before.get("overrides", ())
    experiment = load_experiment(
        request.spec,
        tier=request.tier if request.tier is not None else before.get("tier"),
        overrides=[*overrides, *busy_override(request.busy)],
    )
    if not request.dask:  # then its workers measure
        refuse_without_packages()
    chosen_order = str(request.order or before.get("order") or "random")
    arguments = {"testbed": request.testbed or before.get("testbed"), "order": chosen_order}
    if arguments["testbed"] and not is_utf_8(arguments["testbed"]):
        raise UserError(f"The path {arguments['testbed']!r} is not UTF-8, so that no run can record it. Rename it.")
    bed, why = _testbed(arguments["testbed"] or experiment.testbed_name_or_path, displays)
    if why:
        arguments["testbed"] = bed.testbed  # resumed on this one, whatever would be chosen then
    backend: Backend = Cluster(request.dask) if request.dask else LocalBackend()
    beds = [one.with_code(experiment.own_variants.code) for one in members_of(bed)]
    with backend:
        seen = backend.look(beds)
        able = pool_capabilities(seen).with_own(experiment.own_variants, shipped())
        plan = make_plan(experiment, able, order=chosen_order, testbed=bed.testbed)
        variants = dict.fromkeys(trial.levels.variant for trial in plan.iterate())
        variants.pop(NO_VARIANT, None)
        needs = needs_of(variants, experiment.own_variants, experiment.traffic)
        beds = [one.with_needs(needs) for one in beds]
        if found is None:
            _check_results(results)
        with displays(beds[0].provider, able.slots, able.role_cpus) as display:
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
                        ["Something has changed since the run began:", *(f"  {change}" for change in changes)],
                        "Keep the results, rerun the affected trials, or abort?",
                        DECISIONS,
                    )
                )

            used = [*(one.extension for one in beds), experiment.traffic.extension]
            used += experiment.own_variants.extensions
            foreign = [one for one in used if one is not None and one.foreign]
            campaign = Campaign(experiment, plan, results.resolve(), display, arguments, found, decide, foreign)
            with backend.open(beds, seen, display, wait=request.wait) as executor:
                summary = carry_out(campaign, executor)
            _tabulate(summary, display)
    return summary


def busy_override(busy: str | None) -> list[str]:
    """Return --busy as arguments of --set. Raises UserError for an invalid word."""
    if busy not in (None, "reject", "mark"):
        raise UserError(f"--busy is reject or mark, not {busy}.")
    return [] if busy is None else [f"busy={busy}"]


def _testbed(name: str, displays: Displays) -> "tuple[Testbed | Pool, str]":
    """Return the testbed and, for ``auto``, a sentence on why it was chosen; choosing may take some time."""
    from orchestrator.spec import AUTO
    from orchestrator.testbed.choice import choose_testbed

    if name != AUTO:
        return choose_testbed(name, None)
    with displays("qemu", None, "shared") as display:
        return choose_testbed(name, display)


def _run_to_resume(given: Path, results: Path) -> Path:
    """Return the directory of the run that --resume names: a folder, or the id of a run below the results."""
    from orchestrator.store import find_run, runs_below

    if not given.exists() and len(given.parts) == 1:
        below = [run for run in runs_below(results) if run.name == given.name] if results.is_dir() else []
        if not below:
            raise UserError(f"There is no run {given} in {results}. Give its directory: results/EXPERIMENT/RUN-ID.")
        given = below[0]
    if given.is_file():
        raise UserError(f"{given} is a file: an archive of a run is read-only. Unpack it, and resume the folder.")
    return find_run(given)


def _arguments_of(run: Path) -> dict[str, Any]:
    """Return the arguments that a run was started with, for resuming it."""
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


def _tabulate(summary: "CampaignSummary", display: "Display") -> None:
    from orchestrator.store import write_tables

    try:
        write_tables(summary.path)
    except Exception as error:  # what was measured is stored, whatever is wrong with what is derived from it
        known = refusal(error) if isinstance(error, OSError) else None
        why = str(known or (error if isinstance(error, UserError) else f"{type(error).__name__}: {error}")).rstrip(".")
        again = f"`orch report {as_argument(summary.path)}`"
        display.message(f"The tables cannot be written: {why}. {again} makes them.")


def run_experiment(
    spec: Path | str,
    *,
    tier: str | None = None,
    set: Mapping[str, object] | None = None,
    testbed: str | None = None,
    results: Path | str = RESULTS,
    resume: Path | str | None = None,
    on_change: str | None = None,
    report: bool = False,
) -> "Run":
    """Run an experiment and load the run: `orch run` for scripts and notebooks, with a progress bar in notebooks.

    ``spec``: its file; ``tier``, ``testbed``, ``results``, ``resume``, ``on_change``: as the options of `orch run`;
    ``set``: values of the spec by path, as in {"traffic.duration": "3s", "factors.cores": [1, 2]}; ``report``: draw the
    figures and the report too. The user is never asked. Raises UserError (including SpecError), and TestbedError if the
    testbed cannot be used or the run was interrupted or stopped; that error names the run's path.
    """
    from orchestrator.analysis.dataset import load
    from orchestrator.bar import Bar

    overrides = None if set is None else [f"{key}={_written(value)}" for key, value in set.items()]
    to_resume = None if resume is None else Path(resume)
    request = RunRequest(Path(spec), Path(results), tier, overrides, testbed, None, to_resume, on_change, yes=True)
    summary = measure(request, lambda provider, slots, role_cpus: Bar())
    if summary.interrupted or summary.stopped or summary.unusable:
        why = summary.stopped or "; ".join(str(gap["reason"]) for gap in summary.given_up) or "it was interrupted"
        raise TestbedError(f"The run did not finish: {why}. Resume it with resume={str(summary.path)!r}.")
    if report:
        from orchestrator.analysis import make_report

        make_report(summary.path, own=True)
    return load(summary.path)


def _written(value: object) -> str:
    """Return a value in the form that --set takes."""
    if isinstance(value, str):
        return value
    return json.dumps(value)
