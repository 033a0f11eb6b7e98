# SPDX-License-Identifier: Apache-2.0
"""A fork server: a process that imports pandas, matplotlib and IPython once, and forks the processes that need them.

It has one thread, so that forking is safe whatever threads its client has. Its imports take some seconds, during which
the client can do other work. The fork server of multiprocessing would import the client's main module again in each
process, so that a script that calls `orchestrator.run` would run a second time.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import os
import pickle
import select
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.garbage import collect_rarely

# Modules that both a notebook's kernel and the derivation of a report need.
_IMPORTED = (
    "orchestrator.analysis.figures",
    "orchestrator.analysis.claims",
    "orchestrator.analysis.quality",
    "orchestrator.analysis.readable",
    "orchestrator.analysis.rendering",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
)
_OF_A_KERNEL = ("ipykernel.kernelapp", "ipykernel.ipkernel", "matplotlib_inline.backend_inline")
# A kernel would import this for its debugger, which is not needed in headless execution.
_UNUSED = "debugpy"
# ipykernel would set this too, but too late for a matplotlib that is already imported.
_BACKEND = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


class Forked:
    """A process forked by the server, with the part of `subprocess.Popen` that Jupyter uses.

    The server does not collect the exit statuses of its children, so that their process ids are not reused while it
    runs.
    """

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._handle: int | None = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return None while the process runs, then -1: its exit status is unknown here."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until the process has ended. Raises subprocess.TimeoutExpired after ``timeout`` seconds."""
        ended = self._ended(None if timeout is None else timeout * 1000)
        if ended is None:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return ended

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout_ms: float | None) -> int | None:
        if self._handle is not None:
            poll = select.poll()
            poll.register(self._handle, select.POLLIN)
            if not poll.poll(timeout_ms):
                return None
            os.close(self._handle)
            self._handle = None
        return -1


class Call:
    """A function that runs in a process of the server, and the connection to it."""

    def __init__(self, process: Forked, connection: Connection) -> None:
        self.process = process
        self._connection = connection

    def send(self, value: object) -> None:
        """Send a value to the function; it is discarded if the function has ended."""
        with contextlib.suppress(BrokenPipeError):
            self._connection.send(value)

    def receive(self) -> Any:
        """Return the next value that the function sends or, at its end, returns.

        Raises the function's exceptions, and UserError if its process ended early.
        """
        try:
            failed, value = self._connection.recv()
        except (EOFError, ConnectionResetError):
            raise UserError(
                "The process that derives the report ended before its work was done. Where memory runs out, the "
                "system ends it: close other programs, and try again."
            ) from None
        if failed:
            raise value
        return value

    def end(self) -> None:
        """End the process if it is still running."""
        self.process.kill()
        self._connection.close()


class ForkServer:
    """A client's handle of the fork server, which ends with its client or when it is closed. It is thread-safe."""

    def __init__(self, environment: Mapping[str, str], folder: Path | None = None) -> None:
        """Start the server with an environment, and return while it is still importing.

        ``folder``: its working directory, where matplotlib looks first for its settings; default: the current folder.
        """
        self._lock = threading.Lock()
        self._connection, theirs = Pipe()
        # -P: nothing is imported from the current folder. In its own session, it receives no Ctrl-C:
        # its client decides.
        self._server = subprocess.Popen(
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve({theirs.fileno()})"],
            stdin=subprocess.DEVNULL,
            cwd=folder,
            env={**environment, **_BACKEND},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()

    def kernel(self, arguments: Sequence[str], environment: Mapping[str, str], folder: str) -> Forked:
        """Start an IPython kernel with the arguments that `ipykernel_launcher` takes."""
        with self._lock:
            self._ask(("kernel", list(arguments), dict(environment), folder))
            return Forked(self._answer())

    def call(self, function: Callable[..., Any], *arguments: object) -> Call:
        """Start ``function(connection, *arguments)``, a function of a module, in a separate process.

        ``connection`` has ``send`` and ``recv``. The function, its arguments and the values sent are pickled.
        """
        ours, theirs = Pipe()
        with self._lock, theirs:
            self._ask(("call", function, arguments))
            with contextlib.suppress(BrokenPipeError):
                send_handle(self._connection, theirs.fileno(), self._server.pid)
            return Call(Forked(self._answer()), ours)

    def close(self) -> None:
        """End the server. Its children are not ended, but kernels soon end by themselves."""
        self._connection.close()
        self._server.kill()
        self._server.wait()

    def _ask(self, request: object) -> None:
        with contextlib.suppress(BrokenPipeError):  # shown by the missing answer
            self._connection.send(request)

    def _answer(self) -> int:
        try:
            return int(self._connection.recv())
        except (EOFError, ConnectionResetError):
            raise UserError(
                "The process that imports pandas and matplotlib ended. Where memory runs out, the system ends it: "
                "close other programs, and try again."
            ) from None


def serve(number: int) -> None:
    """Run the server: import the modules, then fork a process for each request until the connection is closed.

    ``number``: the file descriptor of the connection.
    """
    connection = Connection(number)
    _import(_IMPORTED)
    while True:
        try:
            if not connection.poll():  # no request is waiting
                _import_for_kernels()
            what, *request = connection.recv()
        except (EOFError, ConnectionResetError):
            return
        if what == "kernel":
            _import_for_kernels()
        theirs = recv_handle(connection) if what == "call" else None
        pid = os.fork()
        if pid == 0:
            connection.close()
            if theirs is None:
                _be_kernel(*request)
            else:
                _be_called(Connection(theirs), *request)
            return
        if theirs is not None:
            os.close(theirs)
        connection.send(pid)


def _import(names: Sequence[str]) -> None:
    """Import modules. The garbage collector ignores their objects."""
    gc.disable()
    for name in names:
        importlib.import_module(name)
    gc.freeze()
    gc.enable()
    collect_rarely()


@functools.cache
def _import_for_kernels() -> None:
    """Import what only kernels need."""
    sys.modules[_UNUSED] = None  # type: ignore[assignment]  # makes its import fail, which ipykernel handles
    _import(_OF_A_KERNEL)


def _be_kernel(arguments: list[str], environment: dict[str, str], folder: str) -> None:
    os.setsid()  # Jupyter interrupts a kernel by a signal to its process group
    os.environ.clear()
    os.environ.update({**environment, **_BACKEND, "JPY_PARENT_PID": str(os.getppid())})  # it ends with this parent
    os.chdir(folder)
    sys.argv = ["ipykernel_launcher", *arguments]
    _show_as(["python", "-m", *sys.argv])
    from ipykernel.kernelapp import launch_new_instance

    launch_new_instance()


def _show_as(command: Sequence[str]) -> None:
    """Replace the process's command line by ``command``, as far as there is room, so that process lists do not show the
    server's."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        after_name = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        start, end = int(after_name[45]), int(after_name[46])  # arg_start and arg_end: see proc_pid_stat(5)
        room = end - start
        title = "\0".join(command).encode()[: room - 1]
        if start and room > 0:
            ctypes.memmove(start, title.ljust(room, b"\0"), room)


def _be_called(connection: Connection, function: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    answers = _Answers(connection)
    try:
        answers.send(function(answers, *arguments))
    except BrokenPipeError:
        pass  # the client has ended
    except Exception as error:
        error.add_note("".join(traceback.format_exception(error)))
        connection.send((True, _portable(error)))


class _Answers:
    """The connection, as the called function sees it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, value: object) -> None:
        self._connection.send((False, value))

    def recv(self) -> Any:
        return self._connection.recv()


def _portable(error: Exception) -> Exception:
    """Return an error that can be pickled and unpickled: the same one, or a RuntimeError with the same text."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        other = RuntimeError(f"{type(error).__name__}: {error}")
        other.__notes__ = error.__notes__
        return other
    return error
