# SPDX-License-Identifier: Apache-2.0
"""Clients are prepared one after the other and begin together."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agent import processes
from orchestrator.agent.host import AgentError
from orchestrator.agent.processes import TrialProcesses
from orchestrator.tools.iperf3.pairs import UNWINDER
from tests.lab.support import wait_until

# Cancels a thread, as iperf3 does at its end, when no file can be opened any more.
CANCEL = """
import ctypes, os, resource, threading, time
thread = threading.Thread(target=time.sleep, args=(60,), daemon=True)
thread.start()
library = ctypes.CDLL(None)
resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
library.pthread_cancel(ctypes.c_ulong(thread.ident))
print("cancelled", flush=True)
os._exit(0)
"""


def finish(traffic: TrialProcesses) -> dict[str, tuple[int | None, str]]:
    for process in traffic.processes.values():
        process.wait(timeout=60)
    return {name: (one["status"], one["out"]) for name, one in traffic.stop().items()}


def test_what_is_held_begins_at_the_release(traffic: TrialProcesses, tmp_path: Path) -> None:
    marks = [tmp_path / f"mark-{number}" for number in range(20)]
    for number, mark in enumerate(marks):
        traffic.hold("client", f"client-{number}", ["sh", "-c", f"echo '{number} $x'; : > {mark}; cat"])
    time.sleep(0.2)
    assert not any(mark.exists() for mark in marks)
    assert traffic.running(traffic.processes) == [f"client-{number}" for number in range(20)]
    traffic.release()
    assert finish(traffic) == {f"client-{number}": (0, f"{number} $x\n") for number in range(20)}
    assert all(mark.exists() for mark in marks)


def test_arguments_and_the_exit_status_are_the_programs_own(traffic: TrialProcesses) -> None:
    traffic.hold("client", "one", ["printf", "%s|", "a b", "", "$HOME", "*", "'"])
    traffic.hold("client", "two", ["sh", "-c", "exit 3"], group=True)
    traffic.release()
    assert finish(traffic) == {"one": (0, "a b||$HOME|*|'|"), "two": (3, "")}


@pytest.fixture
def controller() -> Iterator[int]:
    """A controller at standard input that says nothing. Yields the end that it would write to."""
    (reading, writing), before = os.pipe(), os.dup(0)
    os.dup2(reading, 0)
    yield writing
    os.dup2(before, 0)
    for end in (reading, writing, before):
        os.close(end)


@pytest.mark.usefixtures("controller")
def test_many_processes_are_waited_for_with_few_file_descriptors(
    traffic: TrialProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(pid: int) -> int:
        found = opened(pid)
        most.append(len(os.listdir("/proc/self/fd")))
        return found

    opened, most = os.pidfd_open, [len(os.listdir("/proc/self/fd"))]
    monkeypatch.setattr(processes, "WATCHED", 3)
    monkeypatch.setattr(os, "pidfd_open", counted)
    for number in range(20):
        traffic.start("client", f"client-{number}", ["sleep", str(0.2 + 0.01 * number)])
    traffic.wait(time.monotonic() + 60)
    assert traffic.running(traffic.processes) == []
    assert max(most) <= most[0] + 3
    traffic.start("client", "slow", ["sleep", "60"])
    traffic.wait(time.monotonic() + 0.1)
    assert traffic.running(traffic.processes) == ["slow"]
    assert traffic.stop()["slow"]["status"] is None


def test_what_never_began_is_ended_and_the_next_trial_is_held_again(traffic: TrialProcesses) -> None:
    traffic.hold("client", "first", ["echo", "first"])
    assert traffic.stop() == {"first": {"status": None, "out": "", "err": ""}}
    traffic.hold("client", "second", ["echo", "second"])
    assert traffic.running(["second"])
    traffic.release()
    assert finish(traffic) == {"second": (0, "second\n")}


# An agent that starts something and is killed. Arguments: its folder, and what it does.
KILLED_AGENT = """
import contextlib, os, signal, sys
from orchestrator.agent import processes
processes.RUNTIME, processes.acting_as = sys.argv[1], lambda role: contextlib.nullcontext()
traffic = processes.TrialProcesses()
exec(sys.argv[2])
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_agent(folder: Path, does: str) -> None:
    """Run `KILLED_AGENT`."""
    done = subprocess.run([sys.executable, "-c", KILLED_AGENT, folder, does], check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.usefixtures("traffic")
def test_what_is_held_never_begins_if_the_agent_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    killed_agent(tmp_path, f'for name in ("one", "two"): traffic.hold("client", name, ["touch", {str(mark)!r}])')
    wait_until(lambda: not processes.left_processes(), 10, "what was held has ended")
    assert not mark.exists()


@pytest.mark.usefixtures("traffic")
def test_what_a_killed_agent_started_is_ended_with_its_children(tmp_path: Path) -> None:
    of_another = subprocess.Popen(["sleep", "60"], env=processes.environment_of(f"{tmp_path}/../trial-"))
    one = 'traffic.start("client", "one", ["sh", "-c", "sleep 60 & exec sleep 60"], group=True)'
    killed_agent(tmp_path, one + '; traffic.start("client", "two", ["sleep", "60"])')
    wait_until(lambda: list(processes.left_processes().values()) == ["sleep"] * 3, 10, "three programs")
    assert processes.end_left_processes() == {"sleep": 3}
    assert processes.end_left_processes() == {}
    assert of_another.poll() is None
    of_another.kill()
    of_another.wait()


def test_a_program_that_cannot_be_started_is_named_before_the_traffic(traffic: TrialProcesses, tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no-such-program cannot be started: there is no such program"):
        traffic.hold("client", "one", ["no-such-program"])
    plain = tmp_path / "plain"
    plain.write_text("no program")
    with pytest.raises(AgentError, match="plain cannot be started: Permission denied"):
        traffic.hold("client", "one", [str(plain)])
    assert traffic.processes == {}


def test_a_program_has_what_is_preloaded_when_it_can_load_nothing_more(traffic: TrialProcesses) -> None:
    cancel = [sys.executable, "-c", CANCEL]
    traffic.start("client", "server", cancel, preload=UNWINDER)
    traffic.hold("client", "client", cancel, preload=UNWINDER)
    traffic.start("client", "without", cancel)
    traffic.release()
    for process in traffic.processes.values():
        process.wait(timeout=60)
    found = traffic.stop()
    assert {name: (found[name]["status"], found[name]["out"]) for name in ("server", "client")} == {
        "server": (0, "cancelled\n"),
        "client": (0, "cancelled\n"),
    }
    assert UNWINDER in found["without"]["err"]
