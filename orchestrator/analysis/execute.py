# SPDX-License-Identifier: Apache-2.0
"""Executing a notebook headless, in this interpreter, whatever Jupyter the user has or has not."""

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT, NOTEBOOKS
from orchestrator.store.files import replace_file

_PATIENCE_S = 600


def execute(name: str, run_dir: Path) -> None:
    """Execute notebooks/``name``.ipynb for a run; the run gets it as notebooks/``name``.ipynb, and its figures/.

    What it is given are paths relative to it, so that a run can be moved, and tells nobody where it once was. Raises
    UserError where there is no such notebook, or where one of its cells fails; the outputs up to there are in the run
    all the same.
    """
    source = NOTEBOOKS / f"{name}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))) or "none"
        raise UserError(f"The notebook {name} is not in {NOTEBOOKS}. Known: {known}. Correct `notebooks:` in the spec.")
    output = run_dir / "notebooks" / f"{name}.ipynb"
    for folder in (output.parent, run_dir / "figures"):
        folder.mkdir(exist_ok=True)
    with _private_jupyter():
        import papermill
        from papermill.exceptions import PapermillExecutionError
        from traitlets.config import Config

        try:
            executed = papermill.execute_notebook(
                str(source),
                str(output),
                parameters={"run_dir": "..", "figures_dir": "../figures"},
                kernel_name="python3",
                cwd=str(output.parent),
                progress_bar=False,
                autosave_cell_every=0,
                execution_timeout=_PATIENCE_S,
                # Sockets in the file system, which no other user reaches, instead of ports.
                config=Config({"KernelManager": {"transport": "ipc"}}),
            )
        except PapermillExecutionError as error:
            raise UserError(
                f"The notebook {name} failed in its cell {error.exec_count}: {error.ename}: {error.evalue}. "
                f"{output} has it, up to there."
            ) from error
    executed.metadata.papermill |= {"input_path": source.name, "output_path": output.name}
    replace_file(output, json.dumps(executed, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _private_jupyter() -> Iterator[None]:
    """An environment in which the kernel `python3` is this interpreter and no user's configuration interferes.

    A kernelspec of that name in the home directory may belong to another Python; startup files of IPython could do
    anything. The folders of Jupyter and IPython are temporary, so that a read-only home does no harm either.
    """
    with tempfile.TemporaryDirectory(prefix="orch-jupyter-") as folder:
        kernel = Path(folder, "data", "kernels", "python3")
        kernel.mkdir(parents=True)
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": command, "display_name": "Python 3", "language": "python"}
        (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
        path = os.pathsep.join(filter(None, (str(CHECKOUT), os.environ.get("PYTHONPATH", ""))))
        changes = {
            "JUPYTER_PATH": str(Path(folder, "data")),
            "JUPYTER_DATA_DIR": str(Path(folder, "user")),
            "JUPYTER_CONFIG_DIR": str(Path(folder, "config")),
            "JUPYTER_RUNTIME_DIR": str(Path(folder, "runtime")),
            "IPYTHONDIR": str(Path(folder, "ipython")),
            "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR") or str(_font_cache()),
            "PYTHONPATH": path,
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        before = {name: os.environ.get(name) for name in changes}
        os.environ.update(changes)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value


def _font_cache() -> Path:
    """Where matplotlib keeps its list of fonts, which takes seconds to make."""
    from orchestrator.paths import cache_home

    return cache_home() / "matplotlib"
