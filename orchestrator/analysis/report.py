# SPDX-License-Identifier: Apache-2.0
"""Everything that is derived from a run: its tables, executed notebooks, figures and report.html."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.analysis.execute import executing
from orchestrator.errors import UserError
from orchestrator.store.files import replace_file
from orchestrator.store.reading import is_run
from orchestrator.store.tables import write_tables

if TYPE_CHECKING:
    from orchestrator.analysis.dataset import Run

NAME = "report.html"


def make_report(run_dir: Path, progress: Callable[[str], None] | None = None, notebooks: Sequence[str] = ()) -> Path:
    """See `orchestrator.analysis.make_report`."""
    tell = progress or (lambda text: None)
    if not is_run(run_dir):
        raise UserError(
            f"{run_dir} is not a run directory: there is no run.json in it. Runs are in results/EXPERIMENT/RUN-ID."
        )
    run_dir = run_dir.resolve()
    try:
        tell("tables")
        write_tables(run_dir)
        from orchestrator.analysis.claims import verify, write_verdicts
        from orchestrator.analysis.dataset import load
        from orchestrator.analysis.page import render
        from orchestrator.analysis.profiles.files import FOLDER, write_profiles

        run = load(run_dir)
        names = list(dict.fromkeys([*notebooks_of(run), *notebooks]))
        tell(f"notebook{'s' * (len(names) != 1)} {', '.join(names)}")
        with executing(names, run_dir):
            verdicts = verify(run)
        write_profiles(run, run_dir / FOLDER)
        tell("page")
        write_verdicts(run, verdicts)
        replace_file(run_dir / NAME, render(run, run_dir / "figures", verdicts))
    except OSError as error:
        raise UserError(
            f"The report of {run_dir} cannot be written: {error.strerror or error}. Name a folder that you can write "
            "to: `orch report RUN --output FOLDER` draws in a copy of the run there."
        ) from error
    return run_dir / NAME


def notebooks_of(run: "Run") -> list[str]:
    """The notebooks that draw a run: those that its spec names, and the speed-ups of a run of several variants."""
    usual = ["packet-rate" if run.counts_packets else "scaling"]
    named = (run.meta.get("spec") or {}).get("notebooks") or usual
    compared = len(run.variants) > 1 and not run.counts_packets
    return list(dict.fromkeys([*map(str, named), *(["speedups"] if compared else [])]))
