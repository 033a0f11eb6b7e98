# SPDX-License-Identifier: Apache-2.0
"""Ansible uses the same route as the agent: the agent's connection, or a login of the same kind."""

import tempfile
from pathlib import Path

import pytest

from orchestrator import private
from orchestrator.errors import TestbedError
from orchestrator.progress import Silent
from orchestrator.provision import playbook
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.ssh.route import known_hosts_file, routes
from tests.unit.ssh_site import Site, bed

PLAYBOOK = """\
- hosts: testbed
  gather_facts: false
  vars: {ansible_ssh_use_tty: false}
  tasks:
    - name: Say something
      ansible.builtin.raw: echo said
      changed_when: true
"""


def test_ansible_uses_the_connection_that_is_open_or_logs_in_alike(site: Site) -> None:
    site.key("keys/mine")
    site.monkeypatch.setenv("MY_KEYS", str(site.home.ssh / "keys"))
    site.config("IdentityFile ${MY_KEYS}/mine")
    site.config("IdentityFile ${MY_KEYS}/mine\nProxyJump [::1]", at=site.folder / "project.cfg")
    with (site.folder / "project.cfg").open("a") as file:
        file.write(f"Host *\n  Port {site.server.port}\n  IdentityFile ${{MY_KEYS}}/mine\n")
    (site.folder / "hosts.ini").write_text("Right_2 ansible_host=there ansible_ssh_common_args='-F project.cfg'\n")
    known_hosts_file().write_text(site.server.host_line("bed.left", "bed.right_2"))
    (site.folder / "books").mkdir()
    (site.folder / "books" / "say.yml").write_text(PLAYBOOK)
    long = site.folder / ("t" * 90)
    long.mkdir()
    site.monkeypatch.setattr(tempfile, "tempdir", str(long))
    site.monkeypatch.setenv("TMPDIR", str(long))
    private._socket_folder_of.cache_clear()
    # What the user has set for playbooks of their own.
    for name, value in (
        ("STRATEGY", "elsewhere"),
        ("STDOUT_CALLBACK", "theirs"),
        ("CALLBACK_PLUGINS", "/theirs"),
        ("NOCOLOR", "so"),
    ):
        site.monkeypatch.setenv(f"ANSIBLE_{name}", value)
    site.monkeypatch.setenv("PYTHONHOME", str(site.folder))
    site.monkeypatch.setattr(playbook, "PLAYBOOKS", Path(site.folder / "books"))
    agent = Agent(site.login(bed()))
    assert agent.answers()
    left = routes(bed())["left"]
    right = routes(bed(name="Right_2", inventory="hosts.ini", address=None))["Right_2"]
    assert site.by_ssh("-F", "project.cfg", "there")[0]
    since = site.server.log_size()
    outcome = playbook.run_playbook("say", [left.target(), right.target()], {}, Silent())
    assert sorted(outcome.changed_tasks) == ["Right_2: Say something", "left: Say something"]
    assert len(site.server.accepted(since)) == 2  # the jump host and the host behind it
    assert agent.answers()
    agent.close()
    known_hosts_file().write_text("")
    private._socket_folder_of.cache_clear()
    with pytest.raises(TestbedError, match=r"(?s)left, task 'Say something': .*Host key verification failed"):
        playbook.run_playbook("say", [routes(bed())["left"].target()], {}, Silent())
