# SPDX-License-Identifier: Apache-2.0
"""Logins to lab machines, which are made over a socket that is handed over; with a real SSH server on loopback."""

import socket
import subprocess
from dataclasses import replace

import pytest

from orchestrator.agent.host_messages import ClockRequest
from orchestrator.cli.app import _refuse_empty
from orchestrator.cli.lab import remote_command
from orchestrator.errors import UserError
from orchestrator.testbed.lab.login import LabLogin, quoted
from orchestrator.testbed.login import HostLost, LoginRefused
from orchestrator.testbed.remote import Agent
from tests.unit import sshd
from tests.unit.ssh_site import ME, Site


@pytest.fixture
def login(site: Site) -> LabLogin:
    known = site.folder / "known_hosts"
    known.write_text(site.server.host_line("lab"))
    address = ("127.0.0.1", site.server.port)
    return LabLogin("lab1", "lab", ME, known, lambda: socket.create_connection(address), site.good)


def test_a_conversation_with_a_lab_machine(login: LabLogin) -> None:
    agent = Agent(login)
    assert agent.answers()
    agent.close()
    assert not agent.in_step
    ended = login.run("echo the reason >&2; exit 1")
    assert (ended.recv(1), ended.said()) == (b"", "the reason")
    ended.close()


def test_a_lost_agent_s_reason_is_what_the_console_has_shown_since(login: LabLogin) -> None:
    console = ["[    0.1] WARNING: of the boot\n"]
    login = replace(login, console=lambda: "".join(console))
    agent = Agent(login)
    assert agent.answers()
    console.append("[   12.345678] Kernel panic - not syncing: a test\r\nUML re-execs\n")
    agent._channel.close()
    with pytest.raises(HostLost, match=r"during 'clock' \(its console: Kernel panic - not syncing: a test\)"):
        agent.request(ClockRequest())


@pytest.mark.parametrize(
    ("console", "exit_status", "said"),
    [
        ("", None, ""),
        ("\n  \n", None, ""),
        ("starting\n", -9, "its console: The machine ended by signal 9"),
        ("Received disconnect from 192.0.2.1\nAccepted publickey for root\n", None, ""),
        (
            "x\n[ 1.5] Out of memory: Killed process 7 (python3) total-vm:35024kB\n[ 1.6] later\n"
            "[ 1.7] Out of memory: Killed process 8 (iperf3) total-vm:4kB\n"
            "[ 1.7] Out of memory: Killed process 9 (iperf3) total-vm:4kB\n",
            None,
            "the machine ran out of memory, and its kernel killed python3, iperf3: give it more `memory` in the "
            "testbed file",
        ),
        (
            "WARNING: 1\nWARNING: 2\nWARNING: 3\nWARNING: 4\n",
            -6,
            "its console: WARNING: 1 | WARNING: 2 | WARNING: 3 | The machine ended by signal 6",
        ),
    ],
)
def test_a_console_s_faults_and_the_machine_s_end_are_quoted(console: str, exit_status: int | None, said: str) -> None:
    assert quoted(console, exit_status) == said


def test_other_keys_are_refused_and_silence_is_a_loss(site: Site, login: LabLogin) -> None:
    with pytest.raises(LoginRefused, match="lab1: the login to the lab machine was refused"):
        replace(login, key=site.other).run("true")
    changed = sshd.make_key(site.folder / "changed").with_suffix(".pub").read_text()
    login.known_hosts.write_text(f"lab {changed}")
    with pytest.raises(LoginRefused, match=r"refused .*[Hh]ost key"):
        login.run("true")
    with pytest.raises(HostLost, match="lab1: no SSH connection"):
        replace(login, open_socket=lambda: socket.create_connection(("127.0.0.1", 1))).run("true")


def test_a_command_of_several_words_reaches_the_machine_as_these_words() -> None:
    words = ["printf", "<%s>", "two words", "a$HOME", "it's", "", "*"]
    line = " ".join(remote_command(words))  # ssh joins its arguments, and a shell there reads the line
    assert subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout == (
        "<two words><a$HOME><it's><><*>"
    )


def test_a_single_word_is_a_line_for_the_machine_s_shell() -> None:
    assert remote_command(["echo a; echo b"]) == ["echo a; echo b"]
    assert remote_command([]) == []


def test_an_empty_word_of_the_command_after_two_hyphens_is_no_mistake() -> None:
    _refuse_empty(["lab", "shell", "lab1", "--", "printf", "<%s>", "", "--sep="])
    with pytest.raises(UserError, match="An argument is empty"):
        _refuse_empty(["lab", "shell", "", "--", "true"])
