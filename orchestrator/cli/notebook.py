# SPDX-License-Identifier: Apache-2.0
"""`orch notebook`: JupyterLab in the project's environment, with a run loaded."""

import importlib.util
import os
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.errors import UserError
from orchestrator.paths import RESULTS

_NO_BROWSER = (
    "orch: no browser was found. Open the address below in a browser on this computer; from another computer, first "
    "run: "
    "ssh -L {port}:localhost:{port} THIS-COMPUTER"
)


def notebook(
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder, a folder of runs, or an archive. Default: the newest run.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="The port on which JupyterLab listens, on this computer only.")
    ] = 8888,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Work on a copy of the run in this folder. Default for an archive: a folder beside it.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser, if there is one.")] = True,
) -> None:
    """Open JupyterLab with a notebook that has the run loaded. The notebook is in the run's folder and is yours to
    edit.
    """
    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.exploring import notebook_of
    from orchestrator.cli.runs import writable_run

    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not installed in this environment. Install it: pip install jupyterlab")
    found = load(latest(RESULTS) if run is None else writable_run(run, output))
    try:
        path = notebook_of(found.path, found.title)
    except OSError as error:
        raise UserError(
            f"Cannot write the notebook to {found.path}: {error.strerror or error}. Copy the run to a folder that "
            "you can write to."
        ) from error
    print(f"orch: {path}", file=sys.stderr)
    opens = browser and has_browser()
    if browser and not opens:
        print(_NO_BROWSER.format(port=port), file=sys.stderr, flush=True)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"  # the kernel is this environment's, whatever the home folder has
    for name in ("JUPYTER_PATH", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP"):
        os.environ.pop(name, None)
    os.execv(sys.executable, command(found.path, path, port, opens))


def latest(results: Path) -> Path:
    """Return the newest run in results/EXPERIMENT/RUN, or else the example. Raises UserError if there is none."""
    from orchestrator.store.reading import newest_first, runs_below

    runs = [run for run in runs_below(results) if run.parent != results] if results.is_dir() else []
    example = results / "example"
    if not runs and not (example / "run.json").is_file():
        raise UserError(f"There is no run in {results}. Name one, or start one: orch run exp/scaling.yaml --tier smoke")
    return newest_first(runs)[0] if runs else example


def has_browser() -> bool:
    """Return whether a graphical browser can be opened on this computer."""
    windows = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return windows


def command(run_dir: Path, path: Path, port: int, opens: bool) -> list[str]:
    """Return the command line that starts JupyterLab in the run's folder with its notebook open."""
    arguments = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={run_dir}"]
    arguments += [f"--ServerApp.port={port}", "--ServerApp.ip=localhost"]
    arguments.append(f"--LabApp.default_url=/lab/tree/{path.relative_to(run_dir)}")
    # Nothing asks the network for news, versions or packages.
    arguments += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    arguments.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    arguments += [] if opens else ["--no-browser"]
    return [*arguments, "--allow-root"] if os.geteuid() == 0 else arguments
