# SPDX-License-Identifier: Apache-2.0
"""Everything derived from a run: its tables, executed notebooks, figures and report.html."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator import paths
from orchestrator.analysis.execute import execute, import_papermill
from orchestrator.analysis.notebook_host import kernels
from orchestrator.analysis.notebooks import WITH_PDF, notebook_sources
from orchestrator.analysis.stored import own_notebooks, stored_file
from orchestrator.errors import UserError, refusal
from orchestrator.spec.own_files import is_own_notebook
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
    own: bool = False,
) -> Path:
    """See `orchestrator.analysis.make_report`."""
    tell = progress or (lambda text: None)
    if not is_run(run_dir):
        raise UserError(
            f"{run_dir} is not a run directory: there is no run.json in it. Runs are in results/EXPERIMENT/RUN-ID."
        )
    run_dir = run_dir.resolve()
    files = {name: Path(name).resolve() for name in notebooks if is_own_notebook(name)}
    named = tuple(str(files[name]) if name in files and files[name].is_file() else name for name in notebooks)
    failed: UserError | None = None
    try:
        with kernels({WITH_PDF: "1"} if pdf else {}) as place:
            import_papermill()  # meanwhile the fork server imports its own modules; it answers only afterwards
            deriving = place.server.call(_derive, run_dir, named, own)
            try:
                tell("tables")
                sources = deriving.receive()
                tell(f"notebook{'s' * (len(sources) != 1)} {', '.join(source.stem for source in sources)}")
                try:
                    execute(sources, run_dir, place)
                except UserError as error:
                    if all(source.parent == paths.NOTEBOOKS for source in sources):
                        raise
                    failed = error  # an error in a notebook of the user's does not cost the page
                tell("page")
                deriving.send("the figures are drawn")
                deriving.receive()
            finally:
                deriving.end()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        why = str(refusal(error) or f"{where}{error.strerror or error}.")
        raise UserError(
            f"The report of {run_dir} cannot be written: {why} `orch report RUN --output FOLDER` draws in a copy of "
            "the run in another folder."
        ) from error
    if failed is not None:
        raise failed
    return run_dir / NAME


def _derive(client: Any, run_dir: Path, notebooks: Sequence[str], own: bool) -> None:
    """Derive everything that needs no notebook, in a separate process: tables, verdicts and profiles.

    It runs while notebooks are executed, and sends the client their files. The page follows when the client reports
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
    client.send(notebook_sources([*notebooks_of(run, own=own), *(_named(run, name) for name in notebooks)]))
    verdicts = verify(run)
    write_profiles(run, run_dir / FOLDER)
    facts = prepare(run, verdicts)
    client.recv()
    write_verdicts(run, verdicts)
    replace_file(run_dir / NAME, render(run, run_dir / "figures", verdicts, facts))


def notebooks_of(run: "Run", *, own: bool = False) -> list[str | Path]:
    """Return the notebooks that draw a run: those of orch named in its spec, and the speed-ups if it has several
    variants. ``own``: also the run's copies of the spec's own notebooks, which may do anything on this computer."""
    usual = ["packet-rate" if run.counts_packets else "scaling"]
    brought = own_notebooks(run.meta)
    named = (run.meta.get("spec") or {}).get("notebooks") or usual
    compared = len(run.variants) > 1 and not run.counts_packets
    drawn: list[str | Path] = [*(name for name in named if name not in brought), *(["speedups"] if compared else [])]
    return [*dict.fromkeys(drawn), *(stored_file(run, name) for name in brought if own)]


def _named(run: "Run", name: str) -> str | Path:
    """Return a notebook that a user names: one of orch's, a file, or else one that the run's spec names."""
    if not is_own_notebook(name) or Path(name).is_file() or name not in own_notebooks(run.meta):
        return name
    return stored_file(run, name)
