# SPDX-License-Identifier: Apache-2.0
"""Drawing in the background of a notebook that a report executes: its kernel forks a process for each figure that it
saves, and continues.

Writing the files of a figure takes longer than making it, and a notebook has only one process. Until a figure is drawn,
the executed notebook has a placeholder in its place; the report inserts the picture at the end.
"""

import base64
import contextlib
import ctypes
import fcntl
import gc
import io
import json
import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from orchestrator.errors import UserError, refusal

VARIABLE = "ORCH_BACKGROUND_DRAWING"  # in a kernel's environment: the folder of its `Drawings`
_LOCK = "lock"
_PATIENCE_S = 600
_MARK = "drawn-in-background:"
_KILLED = "its process was killed, which the system does where memory runs out"
_PR_SET_PDEATHSIG = 1  # of prctl(2)
_C_LIBRARY = ctypes.CDLL(None, use_errno=True)  # before any thread: a forked process may not load it
_PLACEHOLDER = re.compile(rf"{_MARK}([0-9a-f]*):")


class Drawings:
    """The figures that one kernel draws in the background. ``folder``: for communication between its processes and
    this one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        (folder / _LOCK).touch()
        self.variables = {VARIABLE: str(folder)}

    def wait(self) -> None:
        """Wait until everything is drawn. Each drawing process holds a shared lock until it ends."""
        # Without locks nothing is drawn in processes beside the notebook.
        with contextlib.suppress(OSError), (self._folder / _LOCK).open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)

    def check(self) -> None:
        """Raise UserError if a figure was not drawn, also if its process was killed. The message continues a sentence
        that begins with the notebook's name."""
        if first := min(self._folder.glob("*.json"), default=None):
            try:
                name, error = json.loads(first.read_text(encoding="utf-8"))
            except ValueError:  # a full disk cut it off
                name, error = "a figure", f"{self._folder.parent} has no space left. Free some, and try again"
            raise UserError(f"failed in drawing {name}: {error}")


def placeholder(png: Path) -> str:
    """Return the placeholder for a picture in a notebook, until `with_pictures` inserts it."""
    return f"{_MARK}{os.fsencode(png.absolute()).hex()}:"


def with_pictures(notebook: str) -> str:
    """Return the text of an executed notebook with the pictures that were drawn in the background. Raises OSError if
    one that is there cannot be read."""
    return _PLACEHOLDER.sub(_picture, notebook)


def _picture(found: re.Match[str]) -> str:
    try:
        data = Path(os.fsdecode(bytes.fromhex(found[1]))).read_bytes()
    except FileNotFoundError:
        return ""  # not drawn, which the report states
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


_drawing: dict[str, int] = {}  # processes by the figure that they draw


def draw(name: str, write: Callable[[], None]) -> bool:
    """Call ``write``, which writes the figure ``name``, in a separate process if a report executes this notebook.
    Return whether it does.

    The process is forked from a kernel that has other threads. It calls nothing that waits for these: neither Jupyter,
    whose output it does not use, nor anything with a thread pool.
    """
    place = os.environ.get(VARIABLE)
    if not place:
        return False
    folder = Path(place)
    if earlier := _drawing.pop(name, None):  # the last drawing of a name is kept
        os.waitpid(earlier, 0)
    result = folder / f"{time.monotonic_ns():020}.json"
    with (folder / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH)
            result.write_text(json.dumps([name, _KILLED]), encoding="utf-8")  # it stays if the process is killed
            pid = os.fork()
        except OSError:  # no locks, no room, no more processes, or no memory for one
            result.unlink(missing_ok=True)
            return False
        if pid == 0:
            _be_drawing(result, name, write)
    _drawing[name] = pid
    return True


def _be_drawing(result: Path, name: str, write: Callable[[], None]) -> None:
    """Run as the drawing process; never returns. ``result``: a file that is removed if the figure was drawn, and
    otherwise says why it was not."""
    try:
        os.setsid()  # Jupyter ends a kernel by signals to its process group
        _end_with_parent()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_PATIENCE_S)
        gc.disable()
        sys.stdout = sys.stderr = io.StringIO()
        write()
        result.unlink()
    except BaseException as error:
        with contextlib.suppress(BaseException):
            told = refusal(error) if isinstance(error, OSError) else error if isinstance(error, UserError) else None
            why = str(told).rstrip(".") if told else f"{type(error).__name__}: {error}"
            result.write_text(json.dumps([name, why]), encoding="utf-8")
            if told is None:
                traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(0)


def _end_with_parent() -> None:
    """Have this process killed when the kernel that forked it ends, so that nothing writes into a run after that."""
    if _C_LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL):
        raise OSError(ctypes.get_errno(), "The end of the kernel cannot be awaited")
