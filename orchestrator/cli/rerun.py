# SPDX-License-Identifier: Apache-2.0
"""`orch rerun`: repeat a run on this testbed, and compare the results."""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from orchestrator.cli import options
from orchestrator.errors import UserError
from orchestrator.listing import walk
from orchestrator.paths import RESULTS, as_argument

_MOST_NAMED = 10  # files


def rerun(
    run: Annotated[Path, typer.Argument(help="The run to repeat: its folder, a folder of runs, or an archive.")],
    testbed: Annotated[
        str | None, typer.Option(help="The testbed to use. Default: the testbed of the same name as the run's.")
    ] = None,
    results: options.Results = RESULTS,
    resume: options.Resume = None,
    on_change: options.OnChange = None,
    wait: options.Wait = True,
    json_output: options.Json = False,
    yes: options.Yes = False,
) -> int:
    """Repeat a run with its stored spec, tier, overrides and seed, and compare the two runs.

    If the run stores programs of its own, such as notebooks and patches, the command names them and asks first: they
    can do anything on this computer.

    The exit status is that of `orch compare` (0 when no cell differs by more than noise, 1 when one does, 4 when no
    cell can be compared; if only one run is in virtual time, speed-ups instead of cells), and that of `orch run` when
    the run did not finish (2, 3, 130).
    """
    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.stored import inputs_folder
    from orchestrator.cli.compare import show, status_of
    from orchestrator.cli.run import conclude, draw, measure
    from orchestrator.cli.runs import chosen_run
    from orchestrator.running import RunRequest
    from orchestrator.spec import SpecError

    before = load(chosen_run(run))
    meta = before.meta
    if not meta.get("spec_text"):
        raise UserError(f"{before.path / 'run.json'} does not have the text of the run's spec. Restore it from a copy.")
    arguments = meta.get("arguments") or {}
    overrides = [str(text) for text in meta.get("overrides") or ()]
    inputs = inputs_folder(before)
    if inputs is not None and not yes:
        _ask_about(inputs, f"inputs/ of {run}" if run.is_file() else str(inputs))
    with tempfile.TemporaryDirectory(prefix="orch-rerun-") as folder:
        spec = Path(folder, f"{meta['experiment']}.yaml")
        spec.write_text(str(meta["spec_text"]), encoding="utf-8")
        if inputs is not None:
            shutil.copytree(inputs, folder, dirs_exist_ok=True)
        order = str(arguments.get("order") or "random")
        request = RunRequest(
            *(spec, results, meta.get("tier"), overrides, testbed or _testbed_of(meta), order),
            *(resume, on_change, wait, yes),
        )
        try:
            summary = measure(request)
        except SpecError as error:
            raise UserError(f"This version of orch cannot run the spec that {run} stored. {error}") from error
    if summary.interrupted or summary.stopped or summary.unusable or not summary.statuses["ok"]:
        return conclude(summary, f"orch rerun {as_argument(run)}", json_output)
    found = before.compare(summary.path)
    if json_output:
        print(json.dumps({"run": str(summary.path), "comparison": found.to_json()}))
    else:
        print(summary.path)
        show(found)
    draw(summary)
    return status_of(found)


def _programs(folder: Path) -> list[str]:
    """Return the files of a spec that are executed or built on this computer: all but those in YAML, which are data."""
    found = (Path(entry.path) for entry in walk(folder) if not entry.is_dir(follow_symlinks=False))
    return [str(path.relative_to(folder)) for path in found if path.suffix not in (".yaml", ".yml")]


def _ask_about(inputs: Path, where: str) -> None:
    """Ask whether to use the programs that a run stores. ``where``: the place of ``inputs`` in words, since an archive
    is read from a temporary copy. Raises UserError if the answer is no, or nobody can answer."""
    programs = _programs(inputs)
    if not programs:
        return
    shown = ", ".join(programs[:_MOST_NAMED]) + (", ..." if len(programs) > _MOST_NAMED else "")
    print(f"orch: this run brings its own programs, which can do anything on this computer: {shown}", file=sys.stderr)
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"Nothing was run. Read these files in {where}, then use --yes.")
    print("orch: Use them? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("Nothing was run.")


def _testbed_of(meta: Any) -> str:
    """Return the name of a run's testbed if it exists here. Raises UserError if not, or if its file was beside the
    spec: a run has no copy of it."""
    from orchestrator.spec import AUTO, load_testbed
    from orchestrator.spec.catalog import is_file_name

    chosen, of_spec = (str((meta.get(key) or {}).get("testbed") or "") for key in ("arguments", "spec"))
    if not chosen and is_file_name(of_spec):
        raise UserError(
            f"The run was measured on {meta['testbed']['name']}, whose file {of_spec} was beside the spec and is not "
            "part of the run. Name a testbed with --testbed: this file, or lab."
        )
    name = chosen or of_spec or AUTO
    if name != AUTO:
        try:
            load_testbed(name)
        except UserError as error:
            raise UserError(f"{error} The run was measured on it; name your testbed with --testbed.") from error
    return name
