# SPDX-License-Identifier: Apache-2.0
"""`orch verify`: verdicts on the paper's claims, or on those of its spec, for a run, beside the published values."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orchestrator.analysis.claims import ClaimEvidence, ClaimVerdict
    from orchestrator.analysis.dataset import Run

NOT_TESTABLE_STATUS, REPRODUCED_VIRTUALLY_STATUS, NOT_REPRODUCED_VIRTUALLY_STATUS = 4, 5, 6


def verify(
    run: Annotated[Path, typer.Argument(help="A run: its folder, a folder of runs (the newest), or an archive.")],
    claim: Annotated[list[str] | None, typer.Option(metavar="C4", help="Only this claim; repeatable.")] = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
) -> int:
    """Show which claims a run reproduces, with the reasons, and update its claims.json (unless it is in an archive).
    These are the paper's claims, or those of the file that the run's spec names.

    The exit status is 0 when at least one claim is reproduced and none fails, 1 when one is not reproduced, 4 when
    this run decides none of them, 2 for bad input. A run in virtual time has 5 instead of 0 and 6 instead of 1:
    reproduced in virtual time, and not reproduced in virtual time.
    """
    from orchestrator.analysis.dataset import load
    from orchestrator.cli.runs import chosen_run

    return judge(load(chosen_run(run)), claim, json_output, run)


def judge(run: "Run", names: Sequence[str] | None, json_output: bool, source: Path | None = None) -> int:
    """Verify all or the named claims of a run, print the verdicts, write claims.json, and return the exit status.

    ``source``: the path that the user gave. If it is an archive, the run is in a temporary copy, so the verdicts name
    the archive and claims.json is not written.
    """
    from orchestrator.analysis.claims import claim_named, verify, write_verdicts
    from orchestrator.store.archive import checksums_of

    asked = {claim.claim: claim for claim in (claim_named(name, run) for name in names or ())}
    verdicts = run.verify()
    archive = source.resolve() if source is not None and source.is_file() else None
    try:
        if archive is None:
            write_verdicts(run, verdicts)
    except OSError as error:
        print(f"orch: cannot write claims.json to {run.path}: {error.strerror or error}.", file=sys.stderr)
    shown = verify(run, asked.values()) if asked else verdicts
    if json_output:
        print(
            json.dumps(
                {
                    "run": str(archive or run.path),
                    "run_id": run.run_id,
                    "clock": run.clock,
                    "measured_in": run.measured_in,
                    "checksums": checksums_of(run.path, archive),
                    "verdicts": [verdict.to_json() for verdict in shown],
                }
            )
        )
    else:
        show(run, shown)
    return status_of(shown)


def status_of(verdicts: "Sequence[ClaimVerdict]") -> int:
    """Return the exit status for the verdicts of a run: 0, 1, 4, 5 or 6; see `verify`."""
    from orchestrator.store.clock import VIRTUAL

    agreeing = {verdict.agrees for verdict in verdicts}
    virtual = any(verdict.clock == VIRTUAL for verdict in verdicts)
    if False in agreeing:
        return NOT_REPRODUCED_VIRTUALLY_STATUS if virtual else 1
    if True in agreeing:
        return REPRODUCED_VIRTUALLY_STATUS if virtual else 0
    return NOT_TESTABLE_STATUS


def show(run: "Run", verdicts: "Sequence[ClaimVerdict]") -> None:
    """Print verdicts, each with the measured numbers beside the published ones."""
    from rich.padding import Padding
    from rich.text import Text

    from orchestrator.analysis.claims import asks_for_claims, statuses_of
    from orchestrator.cli.consoles import output

    console = output()
    console.print(Text(run.title, style="bold"))
    for sentence in run.virtual_time.notes if run.virtual_time else ():
        console.print(sentence)
    if not verdicts:
        console.print(
            "No claim is about what this run measured and varied."
            if asks_for_claims(run)
            else "The spec of this run asks for no verdicts (claims: none). To judge a claim anyway, use --claim."
        )
        return
    styles = {True: "green", False: "red", None: "yellow"}
    for verdict in verdicts:
        console.print()
        head = Text.assemble((verdict.claim, "bold"), "  ", (verdict.verdict, f"bold {styles[verdict.agrees]}"))
        console.print(head + Text(f": {verdict.title}"))
        lines = [(4, Text(f"Why: {verdict.reason}."))]
        lines += [(4, Text(verdict.with_invalid))] * bool(verdict.with_invalid)
        for one in verdict.evidence:
            lines += [(4, Text(f"{one.name}:", style="bold")), *((indent, Text(text)) for indent, text in _lines(one))]
        lines += [
            (4, Text(f"Outside the scope, not judged: {one.name}, {one.of}, against {one.to}: {_measured(one)}."))
            for one in verdict.beyond
        ]
        lines += [(4, Text(f"Also published, for the authors' hardware: {text}.")) for text in verdict.also_published]
        lines.append((4, Text(f"Judged at {verdict.scope}: {verdict.scope_because}.", style="dim")))
        origin = "Source" if verdict.is_own else "Published in"
        lines.append((4, Text(f"{origin}: {verdict.source}.", style="dim")))
        if verdict.remarks:
            lines.append((4, Text(verdict.remarks, style="dim")))
        for indent, line in lines:
            console.print(Padding(line, (0, 0, 0, indent), expand=False))
    console.print()
    number = Counter(verdict.verdict for verdict in verdicts)
    counts = ", ".join(f"{number[status]} {status}" for status in statuses_of(run.clock))
    console.print(f"{len(verdicts)} claim{'s' * (len(verdicts) != 1)}: {counts}.")


def _lines(one: "ClaimEvidence") -> list[tuple[int, str]]:
    """Return (indent, text) lines of the published or expected and the measured values."""
    agrees = f" (agrees: {one.accepted})" if one.accepted else ""
    known = f"published  {one.published}{agrees}" if one.published else f"expected   {one.accepted or 'see the claim'}"
    lines = [(6, known)]
    if one.median is None:
        return [*lines, (6, "measured   nothing")]
    lines += [(6, f"measured   {_measured(one)}; invalid attempts: {one.invalid_attempts}")]
    lines.append((17, f"{one.of}, against {one.to}"))
    return [*lines, (6, f"order      {one.order}")] if one.order else lines


def _measured(one: "ClaimEvidence") -> str:
    boots = f", {one.boots} boots" if one.boots > 1 else ""
    span = f"{one.low:.2f} to {one.high:.2f}, {one.interval}, n = {one.n}{boots}" if one.n > 1 else "n = 1"
    return f"{one.median:.2f} {one.unit} ({span})"
