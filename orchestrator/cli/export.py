# SPDX-License-Identifier: Apache-2.0
"""`orch export`: a run as one file for an archive."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def export(
    run: Annotated[Path, typer.Argument(help="A run's folder, or a folder of runs (the newest is taken).")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The archive to write: NAME.zip.")],
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="dirty|paths",
            help="Export despite a source that is not a commit (dirty), or paths that identify a person (paths); "
            "repeatable.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the archive if it exists.")] = False,
) -> None:
    """Export a run as one RO-Crate zip for an archive: raw data, spec, environment, source, figures, report.

    The export is refused if the measuring source is not a commit, or if a file contains a key, a token or a path in a
    home folder. `report`, `verify`, `compare` and `rerun` read the archive as it is.
    """
    from orchestrator.analysis import make_report
    from orchestrator.analysis.report import NAME
    from orchestrator.cli.runs import chosen_run
    from orchestrator.errors import UserError
    from orchestrator.publish import ALLOWABLE, export_run

    allowed = set(allow or ())
    if unknown := sorted(allowed - set(ALLOWABLE)):
        raise UserError(f"--allow {unknown[0]} is unknown. Use {' or '.join(ALLOWABLE)}.")
    if output.is_file() and not force:
        raise UserError(f"{output} already exists. Name another file, or use --force to replace it.")
    found = chosen_run(run)
    if not (found / NAME).is_file():
        print(f"orch: {found} has no report yet. Drawing it first.", file=sys.stderr)
        make_report(found)
    written = export_run(found, output, allowed)
    for doubt in written.doubts:
        print(f"orch: {doubt} The archive says so.", file=sys.stderr)
    print(f"orch: {written.files} files, {written.size_bytes / 1e6:.1f} MB.", file=sys.stderr)
    print(written.path)
