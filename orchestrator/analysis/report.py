# SPDX-License-Identifier: Apache-2.0
"""Everything derived from a run: its tables, executed notebooks, figures and report.html."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.analysis.execute import execute, import_papermill, kernels
from orchestrator.analysis.notebooks import WITH_PDF
from orchestrator.errors import UserError, refusal
from orchestrator.store.files import leave_warnings_to_client, replace_file
from orchestrator.store.reading import is_run

if TYPE_CHECKING:
    from orchestrator.analysis.dataset import Run

NAME = "report.html"


def make_report(
    run_dir: Path,
    progress: Callable[[str], None] | None = None,
    notebooks: Sequence[str] = (),
    *,
    pdf: bool = False,
) -> Path:
    """See `orchestrator.analysis.make_report`."""
    tell = progress or (lambda text: None)
    if not is_run(run_dir):
        raise UserError(
            f"{run_dir} is not a run directory: there is no run.json in it. Runs are in results/EXPERIMENT/RUN-ID."
        )
    run_dir = run_dir.resolve()
    try:
        with kernels({WITH_PDF: "1"} if pdf else {}) as place:
            import_papermill()  # meanwhile the fork server imports its own modules; it answers only afterwards
            deriving = place.server.call(_derive, run_dir, tuple(notebooks))
            try:
                tell("tables")
                names = deriving.receive()
                tell(f"notebook{'s' * (len(names) != 1)} {', '.join(names)}")
                execute(names, run_dir, place)
                tell("page")
                deriving.send("the figures are drawn")
                deriving.receive()
            finally:
                deriving.end()
    except OSError as error:
        why = str(refusal(error) or f"{error.strerror or error}.")
        raise UserError(
            f"The report of {run_dir} cannot be written: {why} `orch report RUN --output FOLDER` draws in a copy of "
            "the run in another folder."
        ) from error
    return run_dir / NAME


def _derive(client: Any, run_dir: Path, notebooks: Sequence[str]) -> None:
    """Derive everything that needs no notebook, in a separate process: tables, verdicts and profiles.

    It runs while notebooks are executed, and sends the client their names. The page follows when the client reports
    that the figures exist.
    """
    from orchestrator.store.tables import write_tables

    leave_warnings_to_client()
    write_tables(run_dir)
    from orchestrator.analysis.claims import verify, write_verdicts
    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.page import prepare, render
    from orchestrator.analysis.profiles.files import FOLDER, write_profiles

    run = load(run_dir)
    client.send(list(dict.fromkeys([*notebooks_of(run), *notebooks])))
    verdicts = verify(run)
    write_profiles(run, run_dir / FOLDER)
    facts = prepare(run, verdicts)
    client.recv()
    write_verdicts(run, verdicts)
    replace_file(run_dir / NAME, render(run, run_dir / "figures", verdicts, facts))


def notebooks_of(run: "Run") -> list[str]:
    """Return the notebooks that draw a run: those named in its spec, and the speed-ups if it has several variants."""
    usual = ["packet-rate" if run.counts_packets else "scaling"]
    named = (run.meta.get("spec") or {}).get("notebooks") or usual
    compared = len(run.variants) > 1 and not run.counts_packets
    return list(dict.fromkeys([*map(str, named), *(["speedups"] if compared else [])]))
