# SPDX-License-Identifier: Apache-2.0
"""Executing a notebook headless, in this interpreter, whatever Jupyter the user has or has not."""

import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT, NOTEBOOKS
from orchestrator.private import Private, private_folder
from orchestrator.store.files import replace_file

_PATIENCE_S = 600
# Of the caller's environment: what changes which code an interpreter runs.
_NOT_OURS = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "JUPYTER_CONFIG_PATH")


def execute(name: str, run_dir: Path) -> None:
    """Execute notebooks/``name``.ipynb for a run; the run gets it as notebooks/``name``.ipynb, and its figures/.

    What it is given are paths relative to it, so that a run can be moved, and tells nobody where it once was. Raises
    UserError where there is no such notebook, where one of its cells fails, or where its kernel ends; the outputs up to
    there are in the run all the same. Nothing of the kernel itself lies in the run.
    """
    source = NOTEBOOKS / f"{name}.ipynb"
    if not source.is_file():
        known = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))) or "none"
        raise UserError(f"The notebook {name} is not in {NOTEBOOKS}. Known: {known}. Correct `notebooks:` in the spec.")
    output = run_dir / "notebooks" / f"{name}.ipynb"
    for folder in (output.parent, run_dir / "figures"):
        folder.mkdir(exist_ok=True)
    with private_folder("notebook", sockets=True) as private, _private_jupyter(private.path):
        made = private.path / "executed.ipynb"
        try:
            _execute(source, made, output.parent, private)
        except UserError as error:
            raise UserError(f"The notebook {name} {error}. {output} has it, up to there.") from error
        finally:
            if made.is_file():
                _keep(made, source, output)


def _execute(source: Path, made: Path, folder: Path, private: Private) -> None:
    """Execute a notebook with ``folder`` as its working directory, into the file ``made``.

    It is done in a thread: in the main one nbclient would take over the signals, and Ctrl-C would look like a dead
    kernel. Raises UserError, with the end of a sentence that begins with the notebook's name.
    """
    import papermill
    from jupyter_client.manager import AsyncKernelManager
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what went wrong is in the error
    # Sockets in the file system, which no other user reaches; where there are none, ports, with a key for messages.
    ipc = {"transport": "ipc", "ip": str(private.path / "kernel")}
    managers: list[Any] = []

    class Manager(AsyncKernelManager):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            managers.append(self)

    with ThreadPoolExecutor(1, "notebook") as thread:
        done = thread.submit(
            papermill.execute_notebook,
            _literal(source),
            _literal(made),
            parameters={"run_dir": "..", "figures_dir": "../figures"},
            kernel_name="python3",
            cwd=str(folder),
            progress_bar=False,
            autosave_cell_every=0,
            execution_timeout=_PATIENCE_S,
            kernel_manager_class=Manager,
            config=Config({"KernelManager": ipc if private.has_sockets else {}}),
        )
        try:
            done.result()
        except PapermillExecutionError as error:
            raise UserError(f"failed in its cell {error.exec_count}: {error.ename}: {error.evalue}") from error
        except CellTimeoutError as error:
            raise UserError(f"has a cell that did not end within {_PATIENCE_S} s") from error
        except (RuntimeError, TimeoutError) as error:  # DeadKernelError is one
            raise UserError(
                f"could not be executed to its end: its kernel ended or does not answer ({error}); where memory runs "
                "out, the system ends it"
            ) from error
        except BaseException:
            for manager in managers:
                _end(manager)  # so that the thread ends, which is waited for
            raise


def _end(manager: Any) -> None:
    """End a kernel at once, from whatever thread."""
    process = getattr(manager.provisioner, "process", None)
    if process is not None:
        with contextlib.suppress(OSError):
            os.kill(process.pid, signal.SIGKILL)


def _literal(path: Path) -> str:
    """A path for papermill, which formats what it is given as a path with its parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _keep(made: Path, source: Path, output: Path) -> None:
    """Put an executed notebook into the run, with nothing in it that tells where it was made."""
    notebook = json.loads(made.read_bytes())
    notebook["metadata"].setdefault("papermill", {}).update(input_path=source.name, output_path=output.name)
    replace_file(output, json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _private_jupyter(folder: Path) -> Iterator[None]:
    """An environment in which the kernel `python3` is this interpreter and no user's configuration interferes.

    A kernelspec of that name in the home directory may belong to another Python; startup files of IPython could do
    anything. The folders of Jupyter and IPython are in ``folder``, so that a read-only home does no harm either.
    """
    kernel = folder / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "Python 3", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    changes: dict[str, str | None] = {
        **dict.fromkeys(_NOT_OURS),
        "JUPYTER_PATH": str(folder / "data"),
        "JUPYTER_DATA_DIR": str(folder / "user"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "IPYTHONDIR": str(folder / "ipython"),
        "MPLCONFIGDIR": os.environ.get("MPLCONFIGDIR") or str(_font_cache(folder)),
        "PYTHONPATH": str(CHECKOUT),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(variables: dict[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _font_cache(folder: Path) -> Path:
    """Where matplotlib keeps its list of fonts, which takes seconds to make; ``folder`` where there is no home."""
    from orchestrator.paths import cache_home

    try:
        return cache_home() / "matplotlib"
    except UserError:
        return folder / "matplotlib"
