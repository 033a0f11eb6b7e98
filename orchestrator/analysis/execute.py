# SPDX-License-Identifier: Apache-2.0
"""Executing notebooks headless, in this interpreter, whatever Jupyter the user has or has not."""

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

from orchestrator.analysis.beside import Drawings, with_pictures
from orchestrator.analysis.forks import ForkServer
from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT, NOTEBOOKS
from orchestrator.private import Private, private_folder
from orchestrator.store.files import replace_file

_PATIENCE_S = 600
_LOOK_AGAIN_S = 0.1
# Of the caller's environment: what changes which code an interpreter runs.
_NOT_OURS = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "JUPYTER_CONFIG_PATH")
_FIGURE_SETTINGS = "matplotlibrc"
# What papermill and jsonschema take along where it is installed, though no notebook here has anything for it: the
# grammar of IRIs, durations, and Hadoop's files. It takes most of papermill's time to import.
_UNUSED = ("rfc3987_syntax", "isoduration", "pyarrow.fs")
_COMMAND = (sys.executable, "-m", "ipykernel_launcher")
_LAUNCHER = len(_COMMAND)
_ENGINE = "orch"  # of papermill, which has engines by name


@dataclass(frozen=True)
class Place:
    """Where notebooks are executed. ``private``: a folder for what only this process reads; ``server``: what forks
    their kernels; ``variables``: what they have in their environment besides this process's own."""

    private: Private
    server: ForkServer
    variables: Mapping[str, str]


@contextlib.contextmanager
def kernels(variables: Mapping[str, str] = MappingProxyType({})) -> Iterator[Place]:
    """Context manager that yields a place for notebooks. Its fork server starts at once."""
    with private_folder("notebook", sockets=True) as private, _private_jupyter(private.path):
        # The first settings that matplotlib finds count: none, whatever is in the user's folders.
        (private.path / _FIGURE_SETTINGS).touch()
        server = ForkServer(os.environ, private.path)
        try:
            yield Place(private, server, variables)
        finally:
            server.close()


def execute(names: Sequence[str], run_dir: Path, place: Place | None = None) -> None:
    """Execute notebooks for a run and wait for them; see `executing`."""
    with executing(names, run_dir, place):
        pass


@contextlib.contextmanager
def executing(names: Sequence[str], run_dir: Path, place: Place | None = None) -> Iterator[None]:
    """Execute notebooks/NAME.ipynb for a run while the context's body runs; leaving the context waits for all of them.
    ``place``: of `kernels`, if the caller has one.

    As many run at a time as this process may use cores. The run gets each as notebooks/NAME.ipynb, and its figures in
    figures/. A notebook is given paths relative to it, so that a run can be moved, and tells nobody where it once was.
    Raises UserError where there is no such notebook, where one of its cells fails, or where its kernel ends: the first
    such error in the order of ``names``, after the others have ended. The outputs up to there are in the run all the
    same. Nothing of the kernels themselves lies in the run.
    """
    for name in names:
        if not (NOTEBOOKS / f"{name}.ipynb").is_file():
            known = ", ".join(sorted(path.stem for path in NOTEBOOKS.glob("*.ipynb"))) or "none"
            raise UserError(
                f"The notebook {name} is not in {NOTEBOOKS}. Known: {known}. Correct `notebooks:` in the spec, or "
                "--notebook."
            )
    for folder in ("notebooks", "figures"):
        (run_dir / folder).mkdir(exist_ok=True)
    if not names:
        yield
        return
    managers: list[Any] = []
    at_a_time = min(len(names), len(os.sched_getaffinity(0)))
    with (
        kernels() if place is None else contextlib.nullcontext(place) as place,
        # In threads: in the main one nbclient would take over the signals, and Ctrl-C would look like a dead kernel.
        ThreadPoolExecutor(at_a_time, "notebook") as threads,
    ):
        import_papermill()  # once, not in several threads
        begun = [threads.submit(_execute_and_keep, name, run_dir, place, managers) for name in names]
        try:
            yield
            errors = [error for one in begun if (error := one.exception())]
        except BaseException:
            for one in begun:
                one.cancel()
            while wait(begun, _LOOK_AGAIN_S).not_done:  # a kernel may only be starting
                for manager in managers:
                    _end(manager)
            raise
    if errors:
        raise errors[0]


def _execute_and_keep(name: str, run_dir: Path, place: Place, managers: list[Any]) -> None:
    """Execute a notebook, and put it into the run however that ends."""
    source, output = NOTEBOOKS / f"{name}.ipynb", run_dir / "notebooks" / f"{name}.ipynb"
    made = place.private.path / f"{name}.executed.ipynb"
    try:
        _execute(source, made, output.parent, place, managers)
    except UserError as error:
        raise UserError(f"The notebook {name} {error}. {output} has it, up to there.") from error
    finally:
        if made.is_file():
            _keep(made, source, output)


@functools.cache
def import_papermill() -> None:
    """Import papermill without what it takes along and does not need, and what it would import only with its first
    notebook."""
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

    nbformat.validate(nbformat.v4.new_notebook())  # which compiles the schema
    PythonTranslator.codify({})  # which imports a formatter, where there is one

    class Engine(papermill.engines.NBClientEngine):  # type: ignore[misc]  # papermill has no types
        """Writes a notebook once, at its end, where papermill's own writes all of it twice for each cell."""

        @classmethod
        def execute_notebook(cls, nb: Any, kernel_name: str, output_path: str | None = None, **options: Any) -> Any:
            try:
                return super().execute_notebook(nb, kernel_name, **options)
            except BaseException:
                write_ipynb(nb, output_path)
                raise

    papermill.engines.papermill_engines.register(_ENGINE, Engine)


def _execute(source: Path, made: Path, folder: Path, place: Place, managers: list[Any]) -> None:
    """Execute a notebook with ``folder`` as its working directory, into the file ``made``.

    The manager of its kernel is added to ``managers``. Raises UserError, with the end of a sentence that begins with
    the notebook's name.
    """
    import papermill
    from jupyter_client.connect import KernelConnectionInfo
    from jupyter_client.manager import AsyncKernelManager
    from jupyter_client.provisioning.local_provisioner import LocalProvisioner
    from nbclient.exceptions import CellTimeoutError
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    logging.getLogger("papermill").addHandler(logging.NullHandler())  # what went wrong is in the error
    # Sockets in the file system, which no other user reaches; where there are none, ports, with a key for messages.
    ipc = {"transport": "ipc", "ip": str(place.private.path / f"kernel-{source.stem}")}
    # With its key; Jupyter would leave it among the user's temporary files if this process is ended.
    connection = {"connection_file": str(place.private.path / f"{source.stem}.connection.json")}
    drawings = Drawings(place.private.path / f"{source.stem}.drawings")

    class Provisioner(LocalProvisioner):
        """Has the server fork a kernel, where its parent starts a program."""

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

        async def shutdown_kernel(  # type: ignore[override]  # of the class for kernels without asyncio
            self, now: bool = False, restart: bool = False
        ) -> None:
            drawings.wait()  # with a kernel, Jupyter ends what it has forked
            await super().shutdown_kernel(now, restart)

    try:
        papermill.execute_notebook(
            _literal(source),
            _literal(made),
            parameters={"run_dir": "..", "figures_dir": "../figures"},
            kernel_name="python3",
            engine_name=_ENGINE,
            # Not papermill's own `cwd`: it changes that of this whole process, and other threads execute notebooks too.
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
    except (RuntimeError, TimeoutError) as error:  # DeadKernelError is one
        raise UserError(
            f"could not be executed to its end: its kernel ended or does not answer ({error}); where memory runs "
            "out, the system ends it"
        ) from error


def _end(manager: Any) -> None:
    """End a kernel at once, from whatever thread."""
    process = getattr(manager.provisioner, "process", None)
    if process is not None:
        with contextlib.suppress(OSError):
            process.kill()


def _literal(path: Path) -> str:
    """A path for papermill, which formats what it is given as a path with its parameters."""
    return str(path).replace("{", "{{").replace("}", "}}")


def _keep(made: Path, source: Path, output: Path) -> None:
    """Put an executed notebook into the run, with nothing in it that tells where it was made."""
    notebook = json.loads(made.read_bytes())
    notebook["metadata"].setdefault("papermill", {}).update(input_path=source.name, output_path=output.name)
    replace_file(output, with_pictures(json.dumps(notebook, indent=1, ensure_ascii=False)) + "\n")


@contextlib.contextmanager
def _private_jupyter(folder: Path) -> Iterator[None]:
    """An environment in which the kernel `python3` is this interpreter and no user's configuration interferes.

    A kernelspec of that name in the home directory may belong to another Python; startup files of IPython could do
    anything. The folders of Jupyter and IPython are in ``folder``, so that a read-only home does no harm either.
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
