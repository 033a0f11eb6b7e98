# SPDX-License-Identifier: Apache-2.0
"""The processes of a trial: servers, clients and the spec's own probes, with their files."""

import base64
import collections
import contextlib
import errno
import glob
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time

from orchestrator.agent.cpus import acting_as, processes
from orchestrator.agent.host import RUNTIME, AgentError, read_bytes, read_text

FILES = "\0files\0"  # in an argument: the folder of the files that a trial brings
HELD = 'read -r _ && exec "$@" </dev/null'  # waits for a line, then becomes its arguments; ends if there is none
PRELOAD = "LD_PRELOAD"  # ld.so(8)
ROOM_FOR_OUTPUT = 1 << 20  # bytes; a generator that cannot write its report prints nothing
OF_TRIAL = "ORCH_TRIAL"  # in the environment of whatever a trial starts: its folder
FOLDERS = TRIAL, PROFILE = "trial-", "profile-"  # how the names of folders in RUNTIME begin
NO_PROGRAM = "there is no such program"
WATCHED = 256  # processes whose ends are waited for at a time
ENDING_S, LOOK_S = 2.0, 0.01  # how long killed processes may take to end, and how often to look


def not_started(program, why):
    return AgentError("%s cannot be started: %s. Install it on this host." % (program, why))


def new_folder(kind):
    """Return a new temporary folder. ``kind``: `TRIAL` or `PROFILE`."""
    return tempfile.TemporaryDirectory(prefix=kind, dir=RUNTIME)


def remove_left_folders():
    """Remove the folders of trials and profiles whose agent was killed. There must be no trial now."""
    for kind in FOLDERS:
        for folder in glob.glob(RUNTIME + "/" + kind + "*"):
            shutil.rmtree(folder, ignore_errors=True)


def environment_of(folder):
    """Return the environment of a process that uses a temporary folder. `end_left_processes` knows it by that."""
    return {**os.environ, OF_TRIAL: folder}


def left_processes():
    """Return the processes of trials and profiles, with what these started: {pid: name of the program}."""
    marks = tuple(("%s=%s/%s" % (OF_TRIAL, RUNTIME, kind)).encode() for kind in FOLDERS)
    found = {}
    for pid in processes():
        if any(entry.startswith(marks) for entry in read_bytes("/proc/%d/environ" % pid).split(b"\0")):
            found[pid] = read_bytes("/proc/%d/comm" % pid).decode(errors="replace").strip()
    return found


def end_left_processes():
    """Kill what an agent that was killed had started. There must be no trial now.

    Return how many of each program there were: {name: number}.
    """
    ended = {}  # type: dict[int, str]
    deadline = time.monotonic() + ENDING_S
    while left := left_processes():  # more than once, for what they start meanwhile
        ended = {**left, **ended}
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            break
        time.sleep(LOOK_S)
    return dict(collections.Counter(ended.values()))


class TrialProcesses:
    """The servers and clients of one trial. Their output goes to files, so that no process wakes up to read it."""

    def __init__(self):
        self.folder = None
        self.processes = {}
        self.groups = set()
        self.gate = None
        self.held = 0

    def place(self):
        """Return the folder of this trial's files and outputs."""
        if self.folder is None:
            self.folder = new_folder(TRIAL)
        return self.folder.name

    def keep(self, files):
        """Store files for processes: {path: base64}. Each is executable."""
        for name, content in files.items():
            path = os.path.join(self.place(), "files", name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(base64.b64decode(content))
            os.chmod(path, 0o755)

    def start(self, role, name, arguments, group=False, preload=None):
        """Start a process in a role; its output goes to files that are read after the traffic.

        ``group``: it may start children, which are ended with it. ``preload``: a shared library that it has from its
        start.
        """
        more = {PRELOAD: preload} if preload else {}
        self._start(role, name, self._placed(arguments), group, subprocess.DEVNULL, more)

    def hold(self, role, name, arguments, group=False, preload=None):
        """Prepare a process as `start` does, which begins only at `release`.

        Starting hundreds of programs one after the other takes seconds. Held processes begin together. If this agent is
        killed, they end.
        """
        arguments = self._placed(arguments)
        program = arguments[0]
        if shutil.which(program) is None:
            raise not_started(program, os.strerror(errno.EACCES) if os.path.exists(program) else NO_PROGRAM)
        if self.gate is None:
            self.gate = os.pipe()
        script = "export %s=%s; %s" % (PRELOAD, preload, HELD) if preload else HELD  # not for the shell itself
        self._start(role, name, ["/bin/sh", "-c", script, "sh", *arguments], group, self.gate[0], {})
        self.held += 1

    def release(self):
        """Let all held processes begin."""
        if self.gate is not None:
            os.write(self.gate[1], b"\n" * self.held)  # a shell reads a pipe byte by byte, so each has one
            self._close_gate()

    def _close_gate(self):
        if self.gate is not None:
            for end in self.gate:
                os.close(end)
            self.gate = None
            self.held = 0

    def _placed(self, arguments):
        return [argument.replace(FILES, os.path.join(self.place(), "files")) for argument in arguments]

    def _start(self, role, name, arguments, group, stdin, more):
        base = os.path.join(self.place(), name)
        try:
            with open(base + ".out", "wb") as out, open(base + ".err", "wb") as err, acting_as(role):
                process = subprocess.Popen(
                    arguments,
                    stdin=stdin,
                    stdout=out,
                    stderr=err,
                    close_fds=False,
                    start_new_session=group,
                    env={**environment_of(self.place()), **more},
                )
        except (FileNotFoundError, PermissionError, NotADirectoryError) as error:
            why = NO_PROGRAM if isinstance(error, FileNotFoundError) else error.strerror
            raise not_started(arguments[0], why) from error
        self.processes[name] = process
        if group:
            self.groups.add(name)

    def running(self, names):
        """Return those of the named processes that have not ended."""
        return [name for name in names if name in self.processes and self.processes[name].poll() is None]

    def interrupt(self, names):
        """Ask processes that lead a group to end, as Ctrl-C does."""
        for name in self.running(names):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.processes[name].pid, signal.SIGINT)

    def pids(self):
        return {process.pid for process in self.processes.values()}

    def wait(self, deadline):
        """Wait until all processes have ended or the deadline (CLOCK_MONOTONIC) has passed.

        Raises EOFError if the controller is gone.
        """
        # Some at a time: a login may have no more than 1024 file descriptors.
        while running := self.running(self.processes)[:WATCHED]:
            if not self._wait_for(running, deadline):
                return

    def _wait_for(self, names, deadline):
        """Wait for the named processes. Return False if the deadline has passed."""
        with contextlib.ExitStack() as stack:
            poller = select.poll()
            poller.register(0, select.POLLIN)
            running = set()
            for name in names:
                descriptor = os.pidfd_open(self.processes[name].pid)
                stack.callback(os.close, descriptor)
                poller.register(descriptor, select.POLLIN)
                running.add(descriptor)
            while running:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                for descriptor, _ in poller.poll(left * 1000):
                    if descriptor == 0:
                        raise EOFError
                    poller.unregister(descriptor)
                    running.remove(descriptor)
        return True

    def stop(self):
        """Kill what still runs, and return what each process printed: {name: {"status", "out", "err"}}.

        ``status`` is None for a process that had to be killed.
        """
        outcome = {}
        folder = self.folder.name if self.folder else ""
        for name, process in self.processes.items():
            ended = process.poll() is not None
            if not ended:
                process.kill()
            if name in self.groups:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            base = os.path.join(folder, name)
            outcome[name] = {
                "status": process.returncode if ended else None,
                "out": read_text(base + ".out"),
                "err": read_text(base + ".err"),
            }
        self._close_gate()
        self.processes = {}
        self.groups = set()
        if self.folder is not None:
            self.folder.cleanup()
            self.folder = None
        return outcome


PROCESSES = TrialProcesses()
