# SPDX-License-Identifier: Apache-2.0
"""`orch run`: the whole way from a spec to its figures."""

import contextlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.errors import UserError
from orchestrator.paths import RESULTS

if TYPE_CHECKING:
    from orchestrator.cli.display import LineDisplay, LiveDisplay
    from orchestrator.run.campaign import Summary


def run(
    spec: Annotated[Path, typer.Argument(help="The experiment's spec, for instance exp/scaling.yaml.")],
    tier: Annotated[str | None, typer.Option(help="How much of it: smoke, quick or full.")] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Override a value of the spec; repeatable."),
    ] = None,
    testbed: Annotated[str | None, typer.Option(help="Another testbed than the spec names.")] = None,
    results: Annotated[Path, typer.Option(help="Where runs are stored.")] = RESULTS,
    order: Annotated[str, typer.Option(help="random, or sequential for debugging.")] = "random",
    json_output: Annotated[bool, typer.Option("--json", help="End with a line of JSON.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Ask nothing; also lets the launcher install packages.")] = False,
) -> int:
    """Run an experiment: validate, plan, bring up the testbed, provision, measure, store, draw."""
    del yes  # a run never asks; the launcher reads this option
    from orchestrator.plan import make_plan
    from orchestrator.run import campaign as c
    from orchestrator.spec import load_experiment, load_testbed
    from orchestrator.testbed import capabilities, open_testbed

    experiment = load_experiment(spec, tier=tier, overrides=overrides or ())
    bed = load_testbed(testbed or experiment.testbed)
    plan = make_plan(experiment, capabilities(bed), order=order)
    _check_results(results)
    with open_display(bed.provider) as display, _terminated_as_interrupted():
        for left in plan.left_out:
            display.message(f"Left out: {left.what}: {left.reason}")
        campaign = c.Campaign(experiment, plan, results.resolve(), display)
        builds = c.needed_builds(list(campaign.variants().values()))
        with open_testbed(bed, builds, display) as opened:
            summary = c.carry_out(campaign, opened)
        _finish(summary, display)
    return _conclude(summary, json_output)


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


def open_display(provider: str) -> "LineDisplay | LiveDisplay":
    """The display of long operations: live on a terminal, lines elsewhere; on standard error."""
    from rich.console import Console

    from orchestrator.cli.display import LineDisplay, LiveDisplay

    console = Console(stderr=True)
    return LiveDisplay(provider, console) if console.is_terminal else LineDisplay(provider)


@contextlib.contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """Treat SIGTERM and SIGHUP as Ctrl-C: the lab goes down and what was measured is kept."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _finish(summary: "Summary", display: "LineDisplay | LiveDisplay") -> None:
    """Tables always; the notebooks and the report when the campaign came to its end."""
    if summary.interrupted:
        from orchestrator.store import write_tables

        write_tables(summary.path)
        return
    from orchestrator.analysis import make_report

    display.stage("Executing the notebooks and writing the report", 10)
    make_report(summary.path, display.detail)
    display.stage("")


def _conclude(summary: "Summary", json_output: bool) -> int:
    counts = {status: summary.statuses[status] for status in ("ok", "failed", "invalid", "missing")}
    if not json_output:
        from orchestrator.cli.summary import print_summary

        print_summary(summary.path)
    else:
        print(json.dumps({"run": str(summary.path), **counts, "interrupted": summary.interrupted}))
    if summary.interrupted:
        print(
            f"orch: interrupted; what was measured is kept. `orch report {summary.path}` draws it.",
            file=sys.stderr,
        )
        if not json_output:
            print(summary.path)
        return 130
    if not json_output:
        print(summary.path)
    return 0 if counts["ok"] == sum(counts.values()) else 1
