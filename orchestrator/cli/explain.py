# SPDX-License-Identifier: Apache-2.0
"""`orch explain`: what limits the cells of a run, what would lift that, and where CPU time goes."""

import textwrap
from pathlib import Path
from typing import Annotated

import typer

_INDENT, _NARROWEST_COLUMN = 4, 20  # characters


def explain(
    run: Annotated[Path, typer.Argument(help="A run: its folder, a folder of runs (the newest), or an archive.")],
    cell: Annotated[
        str | None,
        typer.Argument(
            metavar="[CELL]", help="A cell, such as vanilla,cores=2,tunnels=1. Default: a table of all cells."
        ),
    ] = None,
    against: Annotated[str | None, typer.Option(metavar="CELL", help="Explain the difference from this cell.")] = None,
) -> int:
    """Show what limited each cell of a run, with the rule and the evidence, and the CPU time per packet.

    A limit is called probable if more than one part of the path could be the cause. With CELL, show its CPUs by role
    and its CPU time per packet; with --against, show what differs between two cells.
    """
    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.limits.explain import cell_named, explain_cell, explain_run, no_samples
    from orchestrator.cli.consoles import output
    from orchestrator.cli.runs import chosen_run
    from orchestrator.errors import UserError

    found = load(chosen_run(run))
    if cell is None:
        if against is not None:
            raise UserError("--against needs a cell to compare: name one before --against.")
        lines = explain_run(found)
    else:
        known = found.loads
        if not known:
            raise UserError(no_samples(found))
        other = None if against is None else cell_named(found, against, known)
        lines = explain_cell(found, cell_named(found, cell, known), other)
    console = output()
    for line in (found.title, *(found.virtual_time.notes if found.virtual_time else ()), "", *lines):
        whole = line.lstrip().startswith("evidence:")  # a path stays whole
        console.print(line if whole else _wrapped(line, console.width), soft_wrap=whole)
    return 0


def _wrapped(line: str, width: int) -> str:
    """Break a line at ``width`` characters. It continues below its last column, or, without columns, its first word."""
    column = line.rfind("  ") + 2 if "  " in line else 0
    if width - column < _NARROWEST_COLUMN:
        column = _INDENT
    indent = " " * column
    return textwrap.fill(line, width, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
