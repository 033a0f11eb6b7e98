# SPDX-License-Identifier: Apache-2.0
"""`orch doctor`: what the lab needs on this computer, or what the hosts of a testbed provide."""

import dataclasses
import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.doctor import IDLE, Checked, Need, examine, requirements
from orchestrator.errors import TestbedError

if TYPE_CHECKING:
    from orchestrator.spec import Testbed

Json = Annotated[bool, typer.Option("--json", help="Print the table as JSON.")]


def doctor(
    testbed: Annotated[
        str | None, typer.Option(metavar="FILE", help="Examine the hosts of a testbed instead of this computer.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show what the lab needs on this computer, what is missing, and how to fix it. Nothing is changed.

    With --testbed, do the same for the hosts of a testbed with the provider ssh, or for a testbed in virtual time. The
    exit status is 3 if something required is missing.
    """
    if testbed is not None and _examine_hosts(testbed, as_json):
        return
    virtual = [] if testbed is None else _in_virtual_time(testbed)
    findings = examine(requirements(virtual)) if virtual else examine()
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


def _in_virtual_time(name: str) -> "list[Testbed]":
    """Return the testbeds in virtual time among a testbed or the testbeds of a pool."""
    from orchestrator.spec import VIRTUAL_CLOCK, load_testbed, members_of

    return [bed for bed in members_of(load_testbed(name)) if bed.timed_by == VIRTUAL_CLOCK]


def _examine_hosts(name: str, as_json: bool) -> bool:
    """Examine the hosts of a testbed or of a pool's testbeds. Return False if there are no hosts to ask."""
    from orchestrator.spec import load_testbed, members_of
    from orchestrator.testbed.provider import provider_of
    from orchestrator.testbed.ssh.preflight import sentences

    examined = {bed.testbed: provider_of(bed).examine(bed) for bed in members_of(load_testbed(name))}
    tables = {bed: table for bed, table in examined.items() if table is not None}
    if not tables:
        return False
    findings = {
        host if len(tables) == 1 else f"{bed}: {host}": table
        for bed, told in tables.items()
        for host, table in told.items()
    }
    blocking = sentences(findings)
    if as_json:
        rows = [{"host": host, **dataclasses.asdict(found)} for host, table in findings.items() for found in table]
        print(json.dumps({"can_be_used": not blocking, "requirements": rows}, indent=2))
    else:
        for host, table in findings.items():
            _print_table(table, title=host)
        if not blocking:
            print("These hosts can be used.")
    for sentence in blocking:
        print(f"orch: {sentence}", file=sys.stderr)
    if blocking:
        raise typer.Exit(TestbedError.exit_status)
    return True


def _mark(finding: Checked) -> tuple[str, str]:
    """Return a word on a finding, and its colour."""
    if finding.need is Need.INFORMATION:
        return "·", ""
    if finding.found:
        return "✓", "green"
    return ("missing", "red") if finding.blocks else ("advice", "yellow")


def _show(findings: Sequence[Checked]) -> None:
    _print_table(findings)
    if not any(finding.blocks for finding in findings):
        print(f"\n{_conclusion(findings)}")


def _conclusion(findings: Sequence[Checked]) -> str:
    """Return the conclusion if nothing required is missing."""
    busy = next((finding.what for finding in findings if finding.name == IDLE and not finding.found), None)
    if busy is None:
        return "This computer can run the lab."
    return (
        f"This computer can run the lab, but it is busy: {busy}. Trials in real time would be invalid. Stop other "
        "programs first, or use --tier smoke or --busy mark, which keep such trials and mark them. In virtual time "
        "(--testbed virtual-lab), load only makes a run longer."
    )


def _print_table(findings: Sequence[Checked], title: str = "") -> None:
    from rich.table import Table
    from rich.text import Text

    from orchestrator.cli.consoles import output

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("" if title else "Requirement", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for finding in findings:
        remedy: list[str | tuple[str, str]] = ["\n", (finding.remedy, "bold")] if finding.remedy else []
        table.add_row(finding.name, Text(*_mark(finding)), Text.assemble(finding.what, *remedy))
    console = output()
    if title:
        console.print(title, style="bold")
    console.print(table)
    if title:
        console.print()
