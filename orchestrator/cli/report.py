# SPDX-License-Identifier: Apache-2.0
"""`orch report`: a run's tables, notebooks, figures and report, made again."""

import secrets
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import UserError


def report(
    run: Annotated[
        Path, typer.Argument(help="A run's folder, a folder of runs (the latest is taken), or an archive of a run.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Draw in a copy of the run, in this folder. An archive is unpacked beside it, unless this says where.",
        ),
    ] = None,
) -> None:
    """Draw a run's figures and report again, from what was stored; no testbed is needed."""
    from rich.console import Console

    from orchestrator.analysis import make_report
    from orchestrator.store import find_run

    found = find_run(run)
    if run.is_file() or output is not None:
        found = _copy(found, output or run.resolve().with_suffix(""))
    console = Console(stderr=True, quiet=not sys.stderr.isatty())
    with console.status("") as status:
        page = make_report(found, lambda what: status.update(f"Making the {what}"))
    print(page)


def _copy(run: Path, folder: Path) -> Path:
    """A run in another folder: copied there, or there already from the time before."""
    if not folder.exists():
        temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        try:
            shutil.copytree(run, temporary, ignore=shutil.ignore_patterns(".*"))
            temporary.rename(folder)
        except OSError as error:
            raise UserError(
                f"{folder} cannot be written: {error.strerror or error}. Name another folder with --output."
            ) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    elif not _same(run, folder):
        raise UserError(f"{folder} is there already, and is not this run. Name another folder with --output.")
    return folder


def _same(run: Path, folder: Path) -> bool:
    try:
        return (folder / "run.json").read_bytes() == (run / "run.json").read_bytes()
    except OSError:
        return False
