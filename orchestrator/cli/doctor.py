# SPDX-License-Identifier: Apache-2.0
"""`orch doctor`: the table of what the lab needs of this computer."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from orchestrator.doctor import Finding, Need, examine
from orchestrator.errors import TestbedError

Json = Annotated[bool, typer.Option("--json", help="Print the table as JSON.")]


def doctor(as_json: Json = False) -> None:
    """Show what the lab needs of this computer, what is missing, and what to do about it.

    Ends with status 3 when something required is missing.
    """
    findings = examine()
    blocking = [finding for finding in findings if finding.blocks]
    if as_json:
        rows = [dataclasses.asdict(finding) for finding in findings]
        print(json.dumps({"can_run_the_lab": not blocking, "requirements": rows}, indent=2))
    else:
        _show(findings)
    for finding in blocking:
        print(f"orch: {finding.sentence()}", file=sys.stderr)
    if blocking:
        raise typer.Exit(TestbedError.exit_status)


def _mark(finding: Finding) -> str:
    if finding.need is Need.INFORMATION:
        return "·"
    if finding.found:
        return "[green]✓[/]"
    return "[red]missing[/]" if finding.blocks else "[yellow]advice[/]"


def _show(findings: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Requirement", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for finding in findings:
        remedy = f"\n[bold]{escape(finding.remedy)}[/]" if finding.remedy else ""
        table.add_row(finding.name, _mark(finding), escape(finding.what) + remedy)
    console = Console(highlight=False)
    console.print(table)
    if not any(finding.blocks for finding in findings):
        console.print("\nThis computer can run the lab.")
