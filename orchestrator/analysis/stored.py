# SPDX-License-Identifier: Apache-2.0
"""Files of its spec that a run stores: your own notebooks and claims, which are read from the run alone."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError
from orchestrator.spec.claims import Claim
from orchestrator.spec.document import read_source
from orchestrator.spec.own_claims import read_own_claims
from orchestrator.spec.own_files import is_own_claims, is_own_notebook
from orchestrator.spec.problems import SpecError
from orchestrator.spec.variants import is_outside

if TYPE_CHECKING:
    from orchestrator.analysis.dataset import Run

_FOLDER = re.compile(r"inputs(-\d+)?")  # see `RunDirectory.keep_inputs`


def inputs_folder(run: "Run") -> Path | None:
    """Return the folder with the run's copies of the files that its spec names; None if it names none. Raises UserError
    if the run has no such folder."""
    named = run.meta.get("inputs")
    if not named:
        return None
    folder = run.path / str(named)
    if not _FOLDER.fullmatch(str(named)) or not folder.is_dir():
        raise UserError(
            f"{run.path} has no folder {named} with the files that its spec names. Restore it from a copy of the run."
        )
    return folder


def stored_file(run: "Run", name: str) -> Path:
    """Return the run's copy of a file that its spec names. Raises UserError if the run has none."""
    folder = str(run.meta.get("inputs") or "inputs")
    file = run.path / folder / name
    if is_outside(name) or not _FOLDER.fullmatch(folder) or not file.is_file():
        raise UserError(f"{run.path} has no {folder}/{name}, which its spec names. Restore it from a copy of the run.")
    return file


def own_notebooks(meta: Mapping[str, Any]) -> list[str]:
    """Return the notebooks that the spec of a run names by path, relative to the spec. ``meta``: the content of
    run.json."""
    named = (meta.get("spec") or {}).get("notebooks") or ()
    return [name for name in named if is_own_notebook(name)]


def own_claims(run: "Run") -> tuple[Claim, ...]:
    """Return the claims of the file that the spec of a run names; empty if it names none. Raises UserError if the run's
    copy of the file cannot be read."""
    named = (run.meta.get("spec") or {}).get("claims")
    if not isinstance(named, str) or not is_own_claims(named):
        return ()
    try:
        return read_own_claims(read_source(stored_file(run, named)))
    except SpecError as error:  # a plain UserError also passes between processes
        raise UserError(f"The claims that {run.path} stores cannot be judged. {error}") from error
