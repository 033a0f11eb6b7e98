# SPDX-License-Identifier: Apache-2.0
"""`orch report`: redraw a run's tables, notebooks, figures and report."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder, a folder of runs (the newest is taken), or an archive.")],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Draw in a copy of the run in this folder. Default for an archive: a folder beside it.",
        ),
    ] = None,
    notebook: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Execute this notebook as well, such as quality: every trial against time, round and order. Or one of "
            "your own: the path of an .ipynb or .py file, here or in the run's spec. Can be given several times.",
        ),
    ] = None,
    pdf: Annotated[
        bool, typer.Option("--pdf", help="Write the figures as PDF as well, for a paper. This takes longer.")
    ] = False,
) -> None:
    """Redraw a run's figures and report from its stored data. No testbed is needed."""
    from rich.console import Console

    from orchestrator.analysis import make_report
    from orchestrator.analysis.stored import own_notebooks
    from orchestrator.cli.runs import writable_run
    from orchestrator.store import read_run

    found = writable_run(run, output)
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    with console.status("") as status:
        page = make_report(found, lambda what: status.update(f"Making the {what}"), notebook or (), pdf=pdf)
    again = [name for name in own_notebooks(read_run(found)) if name not in (notebook or ())]
    if again:
        print(
            f"orch: not executed again, because it may do anything on this computer: {', '.join(again)} of the run's "
            f"spec. To execute it: --notebook {again[0]}",
            file=sys.stderr,
        )
    print(page)
