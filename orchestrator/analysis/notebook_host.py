# SPDX-License-Identifier: Apache-2.0
"""Where the kernels of notebooks run: the fork server that starts them, a private folder for their sockets, and an
environment without the user's own Jupyter, IPython and matplotlib."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from orchestrator.analysis.forks import Forked, ForkServer
from orchestrator.errors import UserError
from orchestrator.paths import CHECKOUT, cache_home
from orchestrator.private import Private, private_folder

# The program that Jupyter would start as a kernel. The fork server needs only the arguments after it.
_PROGRAM = (sys.executable, "-m", "ipykernel_launcher")
# Variables of the caller that change which code an interpreter runs.
_NOT_OURS = ("PYTHONHOME", "PYTHONSTARTUP", "PYTHONINSPECT", "PYTHONWARNINGS", "JUPYTER_CONFIG_PATH")
_FIGURE_SETTINGS = "matplotlibrc"


@dataclass(frozen=True)
class NotebookHost:
    """A place for executing notebooks. ``private``: a folder that only this process reads; ``server``: the fork server
    of their kernels; ``variables``: the environment of the kernels, in addition to this process's own."""

    private: Private
    server: ForkServer
    variables: Mapping[str, str]

    def start(self, command: Sequence[str], environment: Mapping[str, str], folder: str) -> Forked:
        """Fork the kernel that Jupyter would start by ``command``, with ``folder`` as its working directory."""
        return self.server.kernel(command[len(_PROGRAM) :], {**environment, **self.variables}, folder)

    def connection(self, notebook: str) -> dict[str, str]:
        """Return the settings of Jupyter's KernelManager for the connection to the kernel of a notebook."""
        # The file contains the key that signs messages. Jupyter would leave it in the user's temporary files if this
        # process were killed.
        file = {"connection_file": str(self.private.path / f"{notebook}.connection.json")}
        if not self.private.has_sockets:
            return file  # ports, which other users can reach too: the key keeps them out
        return {**file, "transport": "ipc", "ip": str(self.private.path / f"kernel-{notebook}")}


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


@contextlib.contextmanager
def _private_jupyter(folder: Path) -> Iterator[None]:
    """Yield an environment in which the kernel `python3` is this interpreter and no user's configuration interferes.

    A kernelspec of that name in the home directory may belong to another Python, and startup files of IPython could do
    anything. The folders of Jupyter and IPython are in ``folder``, so that a read-only home is no obstacle either.
    """
    kernel = folder / "data" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    spec = {
        "argv": [*_PROGRAM, "-f", "{connection_file}", "--log-level=CRITICAL"],
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
        "MPLCONFIGDIR": str(_font_cache(folder)),
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
    """Return the folder of matplotlib's list of fonts, which takes seconds to make: the user's or one in the cache, or
    one in ``folder`` if that cannot be written."""
    with contextlib.suppress(UserError, OSError):
        chosen = os.environ.get("MPLCONFIGDIR")
        kept = Path(chosen) if chosen else cache_home() / "matplotlib"
        kept.mkdir(parents=True, exist_ok=True)
        if os.access(kept, os.W_OK):
            return kept
    return folder / "matplotlib"
