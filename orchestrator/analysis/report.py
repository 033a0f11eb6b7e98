# SPDX-License-Identifier: Apache-2.0
"""Everything that is derived from a run: its tables, executed notebooks, figures and report.html."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from orchestrator.analysis.execute import execute
from orchestrator.errors import UserError
from orchestrator.store.files import replace_file
from orchestrator.store.reading import is_run, read_run
from orchestrator.store.tables import write_tables

NAME = "report.html"
_DEFAULT_NOTEBOOKS = ("scaling",)


def make_report(run_dir: Path, progress: Callable[[str], None] | None = None) -> Path:
    """See `orchestrator.analysis.make_report`."""
    tell = progress or (lambda text: None)
    if not is_run(run_dir):
        raise UserError(f"{run_dir} is no run's directory: it has no run.json. Runs are in results/EXPERIMENT/RUN-ID.")
    run_dir = run_dir.resolve()
    try:
        tell("tables")
        write_tables(run_dir)
        for name in _notebooks_of(read_run(run_dir)):
            tell(f"notebook {name}")
            execute(name, run_dir)
        tell("page")
        from orchestrator.analysis.dataset import load
        from orchestrator.analysis.page import render

        replace_file(run_dir / NAME, render(load(run_dir), run_dir / "figures"))
    except OSError as error:
        raise UserError(
            f"The report of {run_dir} cannot be written: {error.strerror or error}. Name a folder that you can write "
            "to: `orch report RUN --output FOLDER` draws in a copy of the run there."
        ) from error
    return run_dir / NAME


def _notebooks_of(meta: Mapping[str, Any]) -> Iterable[str]:
    return (meta.get("spec") or {}).get("notebooks") or _DEFAULT_NOTEBOOKS
