# SPDX-License-Identifier: Apache-2.0
"""`orch run`: run an experiment end to end, from its spec to its figures."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli import options
from orchestrator.errors import UserError, refusal
from orchestrator.paths import RESULTS, as_argument
from orchestrator.running import RunRequest

if TYPE_CHECKING:
    from orchestrator.cli.display import LineDisplay
    from orchestrator.cli.live import LiveDisplay
    from orchestrator.run.campaign import CampaignSummary
    from orchestrator.spec import RoleCpus


def run(
    spec: Annotated[Path, typer.Argument(help="The experiment's spec, for instance exp/scaling.yaml.")],
    tier: options.Tier = None,
    overrides: options.Overrides = None,
    busy: options.Busy = None,
    testbed: options.Testbed = None,
    results: options.Results = RESULTS,
    order: options.Order = None,
    resume: options.Resume = None,
    on_change: options.OnChange = None,
    dask: options.Dask = None,
    wait: options.Wait = True,
    report: Annotated[
        bool, typer.Option(help="Draw the figures and the report at the end; `orch report` draws them later.")
    ] = True,
    json_output: options.Json = False,
    yes: options.Yes = False,
) -> int:
    """Run an experiment: validate, plan, bring up the testbed, provision, measure, store, draw.

    The exit status is 0 when all trials are ok, 1 when some are failed, invalid or missing, 2 for bad input, 3 when the
    testbed cannot be used, 130 when interrupted.
    """
    request = RunRequest(spec, results, tier, overrides, testbed, order, resume, on_change, wait, yes, dask, busy)
    return conclude(measure(request), f"orch run {as_argument(spec)}", json_output, draws=report)


def measure(request: RunRequest) -> "CampaignSummary":
    """Carry out a request up to the run's tables, with the progress shown on this terminal."""
    from orchestrator.running import measure

    return measure(request, open_display)


def open_display(
    provider: str, slots: int | None = None, role_cpus: "RoleCpus" = "shared"
) -> "LineDisplay | LiveDisplay":
    """Return the progress display, on standard error: live on a terminal, lines elsewhere. ``slots``,
    ``role_cpus``: of a testbed in virtual time."""
    from orchestrator.cli.consoles import errors
    from orchestrator.cli.display import LineDisplay

    console = errors()
    if sys.stderr.isatty() and not console.is_dumb_terminal:
        from orchestrator.cli.live import LiveDisplay

        return LiveDisplay(provider, console, slots, role_cpus)
    colours = console.color_system is not None  # requested by FORCE_COLOR although it is not a terminal
    return LineDisplay(provider, slots=slots, role_cpus=role_cpus, colours=colours)


def draw(summary: "CampaignSummary") -> None:
    """Execute the notebooks and write the report of a finished run.

    Failures here are only printed to standard error: the measurements are kept, and can be drawn later.
    """
    from orchestrator.analysis import make_report

    if summary.interrupted or summary.stopped:
        return
    with contextlib.suppress(OSError):  # reported when the process ends
        sys.stdout.flush()  # show the outcome before steps that may take minutes or fail
    with open_display("uml") as display:
        display.stage("Executing the notebooks and writing the report", 10)
        try:
            make_report(summary.path, display.detail, own=True)
        except Exception as error:
            again = as_argument(summary.path)
            display.message(f"No report was drawn. {_told(error)} To try again: `orch report {again}`")
            return
        display.stage("")


def _told(error: Exception) -> str:
    """Return what went wrong after the measurements, as a sentence."""
    known = refusal(error) if isinstance(error, OSError) else None
    return str(known or (error if isinstance(error, UserError) else f"{type(error).__name__}: {error}."))


def conclude(summary: "CampaignSummary", command: str, json_output: bool, *, draws: bool = True) -> int:
    """Print how a run ended, then draw it if asked to, and return the exit status, which depends only on the trials.

    ``command``: the command that resumes the run if --resume is added.
    """
    counts = {status: summary.statuses[status] for status in ("ok", "failed", "invalid", "missing")}
    if not json_output:
        if counts["ok"]:
            from orchestrator.cli.summary import print_summary

            try:
                print_summary(summary.path)
            except Exception as error:  # the path follows, whatever is wrong
                print(f"orch: no summary can be shown. {_told(error)}", file=sys.stderr)
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
    path = as_argument(summary.path)
    goes_on = f"`{command} --resume {path}`"
    if summary.interrupted:
        print(
            f"orch: interrupted. What was measured is kept. {goes_on} resumes the run, `orch report {path}` draws it.",
            file=sys.stderr,
        )
        return 130
    if summary.unusable:
        return 3
    if counts["ok"] == sum(counts.values()):
        return 0
    print(f"orch: not all trials are ok. {goes_on} retries the others.", file=sys.stderr)
    if _spoiled_by_load(summary.path):
        from orchestrator.cli.summary import LOAD_ADVICE

        print(f"orch: {LOAD_ADVICE}", file=sys.stderr)
    return 1


def _spoiled_by_load(run: Path) -> bool:
    """Return whether competing load made attempts of a run invalid; False if its tables cannot be read."""
    from orchestrator.analysis.dataset import load
    from orchestrator.cli.summary import beside_load

    try:
        return beside_load(load(run))[1] > 0
    except (OSError, UserError):
        return False
