# SPDX-License-Identifier: Apache-2.0
"""`orch explain`: what limits the cells of a run, what would lift that, and where CPU time goes."""

from pathlib import Path
from typing import Annotated

import typer


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
        console.print(line, soft_wrap="/" in line)  # a path stays whole
    return 0
