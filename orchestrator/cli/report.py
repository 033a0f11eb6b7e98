# SPDX-License-Identifier: Apache-2.0
"""`orch report`: a run's tables, notebooks, figures and report, made again."""

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a folder of runs: the latest is taken.")],
) -> None:
    """Draw a run's figures and report again, from what was stored; no testbed is needed."""
    from rich.console import Console

    from orchestrator.analysis import make_report
    from orchestrator.store import find_run

    found = find_run(run)
    console = Console(stderr=True)
    with console.status("") as status:
        page = make_report(found, lambda what: status.update(f"Making the {what}"))
    print(page)
