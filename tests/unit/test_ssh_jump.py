# SPDX-License-Identifier: Apache-2.0
"""Jump hosts as a testbed file writes them, and as ssh takes them."""

import subprocess

import pytest

from orchestrator.testbed.ssh.route import jumps

JUMPS = [
    ("gate.example.org", "gate.example.org"),
    ("me@gate.example.org:2222", "me@gate.example.org:2222"),
    ("192.0.2.7:22", "192.0.2.7:22"),
    ("2001:db8::7", "[2001:db8::7]"),
    ("me@2001:db8::7", "me@[2001:db8::7]"),
    ("fe80::7%eth9", "[fe80::7%eth9]"),
    ("me@[2001:db8::7]:2222", "me@[2001:db8::7]:2222"),
    ("gate.example.org,you@2001:db8::7", "gate.example.org,you@[2001:db8::7]"),
]


@pytest.mark.parametrize(("written", "taken"), JUMPS)
def test_an_address_of_ipv6_gets_the_brackets_that_ssh_wants(written: str, taken: str) -> None:
    assert jumps(written) == taken
    done = subprocess.run(
        ["ssh", "-F", "none", "-G", "-J", taken, "there"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
