# SPDX-License-Identifier: Apache-2.0
"""The run that a command's argument names, and a writable copy of it."""

import secrets
import shutil
import sys
from pathlib import Path

from orchestrator.errors import UserError, refusal
from orchestrator.store import find_run, is_run


def chosen_run(path: Path) -> Path:
    """Return the run that a path names, as `find_run` does; for a folder of runs, print on standard error which one it
    is."""
    found = find_run(path)
    if path.is_dir() and not is_run(path):
        print(f"orch: the newest run in {path} is {found}", file=sys.stderr)
    return found


def writable_run(path: Path, output: Path | None) -> Path:
    """Return the run that a path names, in a writable folder that is kept.

    A run in an archive is unpacked beside it, or to ``output``; any other run is copied if ``output`` is given. An
    existing copy is used again. Raises UserError if the copy cannot be made, or is a different run.
    """
    found = chosen_run(path)
    if path.is_file() or output is not None:
        return _copy(found, output or path.resolve().with_suffix(""))
    return found


def _copy(run: Path, folder: Path) -> Path:
    if not folder.exists():
        temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
        try:
            shutil.copytree(run, temporary, ignore=shutil.ignore_patterns(".*"))
            temporary.rename(folder)
        except OSError as error:
            why = refusal(error) or f"{error.strerror or error}."
            raise UserError(f"Cannot write {folder}: {why} `--output` names another folder.") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    elif not _same(run, folder):
        raise UserError(f"{folder} already exists, and is not this run. Name another folder with --output.")
    return folder


def _same(run: Path, folder: Path) -> bool:
    try:
        return (folder / "run.json").read_bytes() == (run / "run.json").read_bytes()
    except OSError:
        return False
