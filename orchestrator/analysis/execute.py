# SPDX-License-Identifier: Apache-2.0
"""Headless execution of notebooks in this interpreter, independent of the user's own Jupyter."""

import contextlib
import functools
import json
import logging
import os
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from orchestrator import paths
from orchestrator.analysis.background import Drawings, with_pictures
from orchestrator.analysis.forks import ForkServer
from orchestrator.analysis.notebooks import executable, notebook_sources
from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT, cache_home
from orchestrator.private import Private, private_folder
from orchestrator.store.files import replace_file

_PATIENCE_S, _LOOK_AGAIN_S = 600, 0.1
# Variables of the caller that change which code an interpreter runs.
_NOT_OURS = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "JUPYTER_CONFIG_PATH")
_FIGURE_SETTINGS = "matplotlibrc"
# Optional modules of papermill and jsonschema that no notebook here needs; they take most of the time of the import.
_UNUSED = ("rfc3987_syntax", "isoduration", "pyarrow.fs")
_COMMAND = (sys.executable, "-m", "ipykernel_launcher")
_LAUNCHER = len(_COMMAND)
_ENGINE = "orch"  # the name of an engine of papermill


@dataclass(frozen=True)
class NotebookHost:
    """A place for executing notebooks. ``private``: a folder that only this process reads; ``server``: the fork server
    of their kernels; ``variables``: the environment of the kernels, in addition to this process's own."""

    private: Private
    server: ForkServer
    variables: Mapping[str, str]


@contextlib.contextmanager
def kernels(variables: Mapping[str, str] = MappingProxyType({})) -> Iterator[NotebookHost]:
    """Context manager that yields a place for notebooks. Its fork server starts at once."""
    with private_folder("notebook", sockets=True) as private, _private_jupyter(private.path):
        # Matplotlib uses the first settings that it finds: these, which are empty, and not those in the user's folders.
        (private.path / _FIGURE_SETTINGS).touch()
        server = ForkServer(os.environ, private.path)
        try:
            yield NotebookHost(private, server, variables)
        finally:
            server.close()


def execute(names: Sequence[str | Path], run_dir: Path, place: NotebookHost | None = None) -> None:
    """Execute notebooks for a run and wait for them; see `executing`."""
    with executing(names, run_dir, place):
        pass


@contextlib.contextmanager
def executing(names: Sequence[str | Path], run_dir: Path, place: NotebookHost | None = None) -> Iterator[None]:
    """Execute notebooks for a run while the context's body runs; leaving the context waits for all of them. ``names``:
    names of orch's (notebooks/NAME.ipynb), and paths of your own.

    ``place``: from `kernels`, if the caller has one. As many notebooks run at a time as this process may use cores.
    Each is stored in the run as notebooks/NAME.ipynb, and its figures in figures/. A notebook is given relative paths,
    so that a run can be moved and does not reveal its former location. Raises UserError if a notebook does not exist,
    if one of its cells fails, or if its kernel ends: the first such error in the order of ``names``, after the others
    have ended. The outputs up to then are in the run nevertheless. The kernels leave no files in the run.
    """
    sources = notebook_sources(names)
    for folder in ("notebooks", "figures"):
        (run_dir / folder).mkdir(exist_ok=True)
    if not sources:
        yield
        return
    managers: list[Any] = []
    with (
        kernels() if place is None else contextlib.nullcontext(place) as place,
        # In threads: in the main thread nbclient would handle signals, and Ctrl-C would look like a dead kernel.
        ThreadPoolExecutor(min(len(sources), len(os.sched_getaffinity(0))), "notebook") as threads,
    ):
        import_papermill()  # once, not in several threads
        begun = [threads.submit(_execute_and_keep, source, run_dir, place, managers) for source in sources]
        try:
            yield
            errors = [error for one in begun if (error := one.exception())]
        except BaseException:
            for one in begun:
                one.cancel()
            while wait(begun, _LOOK_AGAIN_S).not_done:  # a kernel may still be starting
                for manager in managers:
                    _end(manager)
            raise
    if errors:
        raise errors[0]


def _execute_and_keep(source: Path, run_dir: Path, place: NotebookHost, managers: list[Any]) -> None:
    """Execute a notebook, and store it in the run whether it succeeds or not."""
    name, ready, output = source.stem, source, run_dir / "notebooks" / f"{source.stem}.ipynb"
    made = place.private.path / f"{name}.executed.ipynb"
    try:
        if source.parent != paths.NOTEBOOKS:
            ready = place.private.path / f"{name}.ipynb"
            ready.write_text(executable(source), encoding="utf-8")
        _execute(ready, made, output.parent, place, managers)
    except UserError as error:
        there = f" {output} has it, up to there." if made.is_file() else ""
        raise UserError(f"The notebook {name} {error}.{there}") from error
    except OSError as error:
        error.filename = error.filename or str(made)
        made.unlink(missing_ok=True)  # a full disk may have cut it off
        raise
    finally:
        if made.is_file():
            _keep(made, source, output)


@functools.cache
def import_papermill() -> None:
    """Import papermill without modules that it does not need, but with those that its first notebook would import."""
    blocked = [name for name in _UNUSED if name not in sys.modules]
    sys.modules.update(dict.fromkeys(blocked))  # type: ignore[arg-type]  # importing them fails, which is expected
    try:
        import papermill.engines
    finally:
        for name in blocked:
            del sys.modules[name]
    import jupyter_client.provisioning.local_provisioner  # noqa: F401
    import nbformat.v4
    from papermill.iorw import write_ipynb
    from papermill.translators import PythonTranslator

    nbformat.validate(nbformat.v4.new_notebook())  # compiles the schema
    PythonTranslator.codify({})  # imports a formatter, if there is one

    class Engine(papermill.engines.NBClientEngine):  # type: ignore[misc]  # papermill has no types
        """Writes a notebook once, at its end; papermill's own engine writes all of it twice per cell."""

        @classmethod
        def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any) -> Any:
            try:
                return super().execute_notebook(nb, kernel_name, **options)
            except BaseException:
                write_ipynb(nb, output_path)
                raise

    papermill.engines.papermill_engines.register(_ENGINE, Engine)


def _execute(source: Path, made: Path, folder: Path, place: NotebookHost, managers: list[Any]) -> None:
    """Execute a notebook with ``folder`` as its working directory, and write it to the file ``made``.

    The manager of its kernel is added to ``managers``. Raises UserError; its message continues a sentence that begins
    with the notebook's name.
    """
    import papermill
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # the error has the cause
    # Sockets in the file system, which no other user can reach; without them, ports, with a key for messages.
    ipc = {"transport": "ipc", "ip": str(place.private.path / f"kernel-{source.stem}")}
    # It contains the key. Jupyter would leave it in the user's temporary files if this process were killed.
    connection = {"connection_file": str(place.private.path / f"{source.stem}.connection.json")}
    drawings = Drawings(place.private.path / f"{source.stem}.drawings")

    class Provisioner(LocalProvisioner):
        """Lets the server fork a kernel; its parent would start a program."""

        async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
            self.process: Any = place.server.kernel(
                cmd[_LAUNCHER:], {**kwargs["env"], **place.variables, **drawings.variables}, kwargs["cwd"]
            )
            self.pid = self.pgid = self.process.pid
            self.cwd = kwargs["cwd"]
            return self.connection_info

    class Manager(AsyncKernelManager):
        def __init__(self, **arguments: Any) -> None:
            super().__init__(**arguments)
            self.provisioner = Provisioner(kernel_id=str(uuid.uuid4()), kernel_spec=self.kernel_spec, parent=self)
            managers.append(self)

        async def shutdown_kernel(self, *_: Any, **__: Any) -> None:  # type: ignore[override]
            drawings.wait()  # Jupyter ends a kernel together with its forks
            await super().shutdown_kernel(now=True)  # no cell is left to run, so there is nothing to wait for

    try:
        papermill.execute_notebook(
            _literal(source),
            _literal(made),
            parameters={"run_dir": "..", "figures_dir": "../figures"},
            kernel_name="python3",
            engine_name=_ENGINE,
            # Not papermill's own `cwd`, which changes that of the whole process: other threads execute notebooks too.
            resources={"metadata": {"path": str(folder)}},
            progress_bar=False,
            autosave_cell_every=0,
            start_timeout=_PATIENCE_S,
            execution_timeout=_PATIENCE_S,
            kernel_manager_class=Manager,
            config=Config({"KernelManager": {**connection, **(ipc if place.private.has_sockets else {})}}),
        )
        drawings.check()
    except PapermillExecutionError as error:
        raise UserError(f"failed in its cell {error.exec_count}: {error.ename}: {error.evalue}") from error
    except CellTimeoutError as error:
        raise UserError(f"has a cell that did not end within {_PATIENCE_S} s") from error
    except (RuntimeError, TimeoutError) as error:  # includes DeadKernelError
        raise UserError(
            f"could not be executed to its end: its kernel ended or does not answer ({error}); where memory runs "
            "out, the system ends it"
        ) from error
    finally:
        drawings.wait()


def _end(manager: Any) -> None:
    """End a kernel at once, from any thread."""
    process = getattr(manager.provisioner, "process", None)
    if process is not None:
        with contextlib.suppress(OSError):
            process.kill()


def _literal(path: Path) -> str:
    """Return a path escaped for papermill, which treats paths as templates of its parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _keep(made: Path, source: Path, output: Path) -> None:
    """Store an executed notebook in the run, without anything that reveals where it was executed."""
    notebook = json.loads(made.read_bytes())
    notebook["metadata"].setdefault("papermill", {}).update(input_path=source.name, output_path=output.name)
    replace_file(output, with_pictures(json.dumps(notebook, indent=1, ensure_ascii=False)) + "\n")


@contextlib.contextmanager
def _private_jupyter(folder: Path) -> Iterator[None]:
    """Yield an environment in which the kernel `python3` is this interpreter and no user's configuration interferes.

    A kernelspec of that name in the home directory may belong to another Python, and startup files of IPython could do
    anything. The folders of Jupyter and IPython are in ``folder``, so that a read-only home is no obstacle either.
    """
    kernel = folder / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [*_COMMAND, "-f", "{connection_file}", "--log-level=CRITICAL"],
        "display_name": "Python 3",
        "language": "python",
    }
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
        **({"HOME": str(folder)} if os.path.expanduser("~") == "~" else {}),  # some packages cannot be imported without
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
    """Return the folder of the list of fonts, which takes seconds to make: in the cache, or else in ``folder``."""
    with contextlib.suppress(UserError, OSError):
        (found := cache_home() / "matplotlib").mkdir(parents=True, exist_ok=True)
        if os.access(found, os.W_OK):
            return found
    return folder / "matplotlib"
