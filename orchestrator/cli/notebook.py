# SPDX-License-Identifier: Apache-2.0
"""`orch notebook`: JupyterLab in the project's environment, with a run at hand."""

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
    "orch: there is no browser here. Open the address below in one on this computer; from another computer, first: "
    "ssh -L {port}:localhost:{port} THIS-COMPUTER"
)


def notebook(
    run: Annotated[
        Path | None, typer.Argument(help="A run's folder, a folder of runs, or an archive. Without it, the newest run.")
    ] = None,
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Where JupyterLab listens, on this computer only.")
    ] = 8888,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            help="Work in a copy of the run, in this folder. An archive is unpacked beside it, unless this says where.",
        ),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser, where there is one.")] = True,
) -> None:
    """Open JupyterLab on a run: a notebook in its folder that has it loaded, and is yours to change."""
    from orchestrator.analysis.dataset import load
    from orchestrator.analysis.exploring import notebook_of
    from orchestrator.cli.runs import writable_run

    if importlib.util.find_spec("jupyterlab") is None:
        raise UserError("JupyterLab is not in this environment. Install it: pip install jupyterlab")
    found = load(latest(RESULTS) if run is None else writable_run(run, output))
    try:
        path = notebook_of(found.path, found.title)
    except OSError as error:
        raise UserError(
            f"The notebook cannot be written to {found.path}: {error.strerror or error}. Copy the run to a folder that "
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
    """The run in results/EXPERIMENT/RUN that began last, else the example. Raises UserError where there is none."""
    from orchestrator.store.reading import newest_first, runs_below

    runs = [run for run in runs_below(results) if run.parent != results] if results.is_dir() else []
    example = results / "example"
    if not runs and not (example / "run.json").is_file():
        raise UserError(f"There is no run in {results}. Name one, or make one: orch run exp/scaling.yaml --tier smoke")
    return newest_first(runs)[0] if runs else example


def has_browser() -> bool:
    """Whether a browser with a window can be opened here."""
    windows = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return windows


def command(run_dir: Path, path: Path, port: int, opens: bool) -> list[str]:
    """The command line of JupyterLab: in the run's folder, with its notebook open."""
    arguments = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={run_dir}"]
    arguments += [f"--ServerApp.port={port}", "--ServerApp.ip=localhost"]
    arguments.append(f"--LabApp.default_url=/lab/tree/{path.relative_to(run_dir)}")
    # Nothing asks the network for news, versions or packages.
    arguments += ["--LabApp.news_url=None", "--LabApp.extension_manager=readonly"]
    arguments.append("--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate")
    arguments += [] if opens else ["--no-browser"]
    return [*arguments, "--allow-root"] if os.geteuid() == 0 else arguments
