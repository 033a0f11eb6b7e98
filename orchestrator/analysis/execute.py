# SPDX-License-Identifier: Apache-2.0
"""Headless execution of notebooks, and what is stored of them in a run."""

import contextlib
import functools
import json
import logging
import os
import sys
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from orchestrator import paths
from orchestrator.analysis.background import Drawings, with_pictures
from orchestrator.analysis.notebook_host import NotebookHost, kernels
from orchestrator.analysis.notebooks import executable, notebook_sources
from orchestrator.errors import UserError
from orchestrator.store.files import replace_file

_PATIENCE_S = 600
_LOOK_AGAIN_S = 0.1
# Modules that papermill and jsonschema import if they are installed, although no notebook here needs them: for IRIs,
# durations, and Hadoop's files. They take most of the time of importing papermill.
_UNUSED = ("rfc3987_syntax", "isoduration", "pyarrow.fs")
_ENGINE = "orch"  # the name of an engine of papermill


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
    at_a_time = min(len(sources), len(os.sched_getaffinity(0)))
    with (
        kernels() if place is None else contextlib.nullcontext(place) as place,
        # In threads: in the main thread nbclient would handle signals, and Ctrl-C would look like a dead kernel.
        ThreadPoolExecutor(at_a_time, "notebook") as threads,
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
    """Import papermill without optional modules that it does not need, but with those that its first notebook would
    import."""
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
    drawings = Drawings(place.private.path / f"{source.stem}.drawings")

    class Provisioner(LocalProvisioner):
        """Lets the server fork a kernel; its parent would start a program."""

        async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
            self.process: Any = place.start(cmd, {**kwargs["env"], **drawings.variables}, kwargs["cwd"])
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
            config=Config({"KernelManager": place.connection(source.stem)}),
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
