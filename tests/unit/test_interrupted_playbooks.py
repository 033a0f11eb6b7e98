# SPDX-License-Identifier: Apache-2.0
"""Signals that arrive while Ansible works, and afterwards: they end the program, and Ansible too."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestrator.errors import TestbedError
from orchestrator.progress import Silent
from orchestrator.provision import playbook

BOOK = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars: {ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - name: Say how it is
      ansible.builtin.raw: {command}
"""
BEGUN_S, ENDED_S = 120, 60  # on a busy computer, Ansible is slow


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Make a playbook from a command on this computer, and return its name."""

    def make(command: str) -> str:
        (tmp_path / "work.yml").write_text(BOOK.replace("{command}", command))
        return "work"

    monkeypatch.setattr(playbook, "PLAYBOOKS", tmp_path)
    return make


@pytest.fixture
def handlers() -> Iterator[list[int]]:
    """Return the signals that were handled, by handlers such as the program's."""
    handled: list[int] = []

    def handle(number: int, frame: object) -> None:
        handled.append(number)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    yield handled
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_playbook_leaves_the_signals_as_they_were(book: Callable[[str], str], handlers: list[int]) -> None:
    assert playbook.run_playbook(book("echo well"), [], {}, Silent()).tasks == 1
    for number in (signal.SIGINT, signal.SIGTERM):
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
    assert handlers == [signal.SIGINT, signal.SIGTERM]


def sleeper(tmp_path: Path) -> str:
    """Return a command that reports its start, and then runs for an hour."""
    return f"echo $$ >{tmp_path}/begun; exec sleep 3600"


def begun(tmp_path: Path) -> int:
    """Return the process of the command, once it has started."""
    deadline = time.monotonic() + BEGUN_S
    while not (tmp_path / "begun").exists() or not (tmp_path / "begun").read_text().strip():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return int((tmp_path / "begun").read_text())


def wait_for_the_end(pid: int) -> None:
    deadline = time.monotonic() + ENDED_S
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


PROGRAM = """\
import pathlib, sys
from orchestrator.cli import streams
from orchestrator.progress import Silent
from orchestrator.provision import playbook
streams.prepare()
playbook.PLAYBOOKS = pathlib.Path(sys.argv[1])
try:
    playbook.run_playbook("work", [], {}, Silent())
except KeyboardInterrupt:
    print("interrupted")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_playbook_and_then_the_program(
    tmp_path: Path, book: Callable[[str], str], number: signal.Signals
) -> None:
    book(sleeper(tmp_path))
    with subprocess.Popen([sys.executable, "-c", PROGRAM, tmp_path], stdout=subprocess.PIPE, text=True) as program:
        try:
            pid = begun(tmp_path)
            program.send_signal(number)
            said, _ = program.communicate(timeout=ENDED_S)
        finally:
            program.kill()
    assert (said, program.returncode) == ("interrupted\n", 0)
    wait_for_the_end(pid)


def test_a_playbook_of_a_thread_ends_when_its_testbed_is_interrupted(
    tmp_path: Path, book: Callable[[str], str]
) -> None:
    name, interrupted = book(sleeper(tmp_path)), False
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(
            lambda: playbook.run_playbook(name, [], {}, Silent(), is_interrupted=lambda: interrupted)
        )
        pid = begun(tmp_path)
        interrupted = True
        with pytest.raises(TestbedError, match=r"^Provisioning \(work\) was interrupted\.$"):
            future.result(ENDED_S)
    wait_for_the_end(pid)
