# SPDX-License-Identifier: Apache-2.0
"""Logins to a real SSH server on loopback: whatever `ssh HOST` does, this program does too, with the same key."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from orchestrator import private
from orchestrator.errors import TestbedError, UserError
from orchestrator.testbed.login import HostLost, LoginRefused
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.ssh import route
from orchestrator.testbed.ssh.route import known_hosts_file
from tests.unit import ssh_files as ssh_files  # it adds to CASES
from tests.unit import ssh_forms as ssh_forms
from tests.unit import sshd
from tests.unit.ssh_cases import CASES
from tests.unit.ssh_settings import ONLY_HERE
from tests.unit.ssh_site import ME, Site, bed


@pytest.mark.parametrize("name", CASES)
def test_a_login_ends_as_that_of_ssh(site: Site, name: str) -> None:
    works, setup = CASES[name]
    testbed = setup(site) or bed()
    by_ssh = site.by_ssh()
    assert by_ssh[0] is works, "the case is not what its name says"
    assert site.by_us(testbed) == by_ssh


@pytest.mark.parametrize("which", ONLY_HERE)
def test_what_is_meant_for_people_disturbs_no_login_of_this_program(site: Site, which: str) -> None:
    site.key("id_ed25519")
    site.config(ONLY_HERE[which].format(port=site.server.port))
    assert site.by_us(bed()) == (True, [sshd.fingerprint_of(site.good)])


INVENTORY = "[hosts]\nleft ansible_host=there ansible_ssh_common_args='-F project.cfg'\n"


def test_the_file_that_an_inventory_gives_to_ssh_is_used_for_jump_hosts_too(site: Site) -> None:
    site.key("id_ed25519")
    site.config("ProxyJump jumper", at=site.folder / "project.cfg")
    with (site.folder / "project.cfg").open("a") as file:
        file.write(f"Host jumper\n  HostName ::1\n  Port {site.server.port}\n")
    (site.home.ssh / "config").unlink()
    (site.folder / "hosts.ini").write_text(INVENTORY)
    by_ssh = site.by_ssh("-F", "project.cfg", "there")
    assert by_ssh == (True, [sshd.fingerprint_of(site.good)] * 2)
    assert site.by_us(bed(inventory="hosts.ini", address=None)) == by_ssh


# An inventory in INI form, whose lines Ansible splits as a shell does. PORT stands for the server's.
ARGUMENTS = {
    "a file with a space in its name": """ansible_ssh_common_args='-F "of mine/project.cfg"'""",
    "a jump host": "ansible_ssh_common_args='-J jumper' ansible_ssh_extra_args=-q",
    "a proxy": """ansible_ssh_common_args='-o ProxyCommand="ssh -q -W [%h]:%p jumper"'""",
    "a shared connection": "ansible_ssh_args='-o ControlMaster=auto -o ControlPath=~/.ssh/%C -o ControlPersist=60s'",
    "ways of its own to say it": "ansible_ssh_common_args='-oPort=PORT -oProxyJump=jumper -oIdentitiesOnly=no'",
}


@pytest.mark.parametrize("which", ARGUMENTS)
def test_the_arguments_that_an_inventory_gives_to_ssh_are_used(site: Site, which: str) -> None:
    site.key("id_ed25519")
    site.config()
    with (site.home.ssh / "config").open("a") as file:
        file.write(f"Host jumper\n  HostName ::1\n  Port {site.server.port}\n")
    (site.folder / "of mine").mkdir()
    site.config("IdentitiesOnly yes", at=site.folder / "of mine" / "project.cfg")
    said = ARGUMENTS[which].replace("PORT", str(site.server.port))
    (site.folder / "hosts.ini").write_text(f"[hosts]\nleft ansible_host=there {said}\n")
    if "project.cfg" in said:
        (site.home.ssh / "config").unlink()
    hops = 2 if "jumper" in said else 1
    expected = (True, [sshd.fingerprint_of(site.good)] * hops)
    assert site.by_us(bed(inventory="hosts.ini", address=None)) == expected


# The path of a key in an inventory, and the file in ~/.ssh: the key, or the public half of one that the agent has.
KEYS = {
    "tokens and a space": ("%d/.ssh/of mine/%n", "of mine/there"),
    "a variable": ("${MY_KEYS}/mine", "mine"),
    "quotation marks": ('~/.ssh/my "own"', 'my "own"'),
    "the public half": ("~/.ssh/token.pub", "token.pub"),
    "a key of which only the public half is there": ("~/.ssh/token", "token.pub"),
    "no file at all": ("~/.ssh/absent", None),
}


@pytest.mark.parametrize("which", KEYS)
def test_the_key_that_an_inventory_names_is_used_as_ansible_uses_it(site: Site, which: str) -> None:
    path, file = KEYS[which]
    site.config()
    site.monkeypatch.setenv("MY_KEYS", str(site.home.ssh))
    if file is None or file.endswith(".pub"):
        site.use_agent(site.agent(site.other, site.good))
    if file is not None:
        site.key(file, Path(f"{site.good}.pub") if file.endswith(".pub") else None)
    (site.folder / "hosts.yaml").write_text(
        json.dumps({"all": {"hosts": {"left": {"ansible_host": "there", "ansible_ssh_private_key_file": path}}}})
    )
    named = os.path.expanduser(path).replace('"', '\\"')
    by_ssh = site.by_ssh("-o", f'IdentityFile="{named}"', "there")
    assert by_ssh == (True, [sshd.fingerprint_of(site.good)])
    assert site.by_us(bed(inventory="hosts.yaml", address=None)) == by_ssh
    if file is not None:
        assert site.by_us(bed(key=path)) == by_ssh
    else:
        with pytest.raises(UserError, match=r"The private key .*/\.ssh/absent of the host left does not exist"):
            site.login(bed(key=path))


def test_what_an_inventory_gives_for_a_login_and_is_not_used_is_told_when_the_login_fails(site: Site) -> None:
    site.config()
    text = "left ansible_host=there ansible_private_key_file=~/.ssh/absent ansible_password=secret\n"
    (site.folder / "hosts.ini").write_text(text)
    with pytest.raises(LoginRefused) as refusal:
        site.login(bed(inventory="hosts.ini", address=None)).run("true")
    said = str(refusal.value)
    assert f"inventory: Its private key {site.home.ssh}/absent does not exist. Its ansible_password is not used" in said
    assert "secret" not in said


def test_a_login_that_an_inventory_has_in_a_vault_is_that_of_ansible(site: Site) -> None:
    site.key("id_ed25519")
    site.config()
    (site.folder / "ansible.cfg").write_text("[defaults]\nvault_password_file = of mine\n")
    (site.folder / "of mine").write_text("open sesame\n")
    hidden = {"ansible_user": ME, "ansible_host": "there", "ansible_password": "secret"}
    words = [*(word for name in hidden for word in ("--name", name)), *hidden.values()]
    vault = Path(sys.executable).with_name("ansible-vault")
    done = subprocess.run([vault, "encrypt_string", *words], capture_output=True, text=True, check=True)
    inventory = "all:\n  hosts:\n    left:\n" + textwrap.indent(done.stdout, " " * 6)
    assert inventory.count("!vault") == len(hidden)
    (site.folder / "hosts.yaml").write_text(inventory)
    (site.home.ssh / "config").write_text((site.home.ssh / "config").read_text().replace(f"User {ME}", ""))
    expected = site.by_ssh(f"{ME}@there")
    assert expected == (True, [sshd.fingerprint_of(site.good)])
    assert site.by_us(bed(inventory="hosts.yaml", address=None)) == expected
    site.key("id_ed25519", site.other)
    with pytest.raises(LoginRefused, match=f"the login as {ME} was refused .* ansible_password is not used") as refusal:
        site.login(bed(inventory="hosts.yaml", address=None)).run("true")
    assert "secret" not in str(refusal.value)


WEAKER = "StrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nNoHostAuthenticationForLocalhost yes\nHostKeyAlias x"


@pytest.mark.parametrize("where", ["config", "inventory"])
def test_nothing_of_the_users_weakens_the_check_of_the_host_key(site: Site, where: str) -> None:
    site.key("id_ed25519")
    changed = Path(f"{sshd.make_key(site.folder / 'changed')}.pub").read_text()
    known_hosts_file().write_text(f"bed.left {changed}")
    testbed = bed()
    if where == "config":
        site.config(f"{WEAKER}\nKnownHostsCommand /bin/echo %H %t %K")
    else:
        options = " ".join(f"-o {line.replace(' ', '=')}" for line in WEAKER.splitlines())
        text = f"left ansible_host=there ansible_ssh_common_args='{options} -S {site.folder}/s -M -tt -v'\n"
        (site.folder / "hosts.ini").write_text(text)
        testbed = bed(inventory="hosts.ini", address=None)
    assert site.by_ssh("-o", "StrictHostKeyChecking=no", "there")[0]
    with pytest.raises(LoginRefused) as refusal:
        site.login(testbed).run("true")
    said = str(refusal.value)
    assert f"its host key has changed: ssh-ed25519 {sshd.fingerprint_of(site.folder / 'changed')} is pinned" in said
    assert f"it shows ssh-ed25519 {sshd.fingerprint_of(site.server.host_key)}" in said
    assert "`orch testbed enroll bed.yaml --replace left`" in said


FAILURES: dict[str, tuple[type[TestbedError], str]] = {
    "a_key_that_the_server_does_not_have": (LoginRefused, f"the login as {ME} was refused ({ME}@127.0.0.1: Permission"),
    "a_cipher_that_the_server_does_not_have": (LoginRefused, "no matching cipher found. Their offer: "),
    "a_port_on_which_nobody_listens": (HostLost, "(ssh: connect to host 127.0.0.1 port 1: Connection refused)"),
    "a_jump_host_whose_key_is_not_known": (LoginRefused, "a host on the way to it has a key that your known_hosts"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_login_that_fails_is_told_with_the_words_of_ssh(site: Site, name: str) -> None:
    kind, says = FAILURES[name]
    CASES[name][1](site)
    with pytest.raises(kind) as failure:
        site.login(bed()).run("true")
    assert says in str(failure.value)


def test_a_conversation_goes_over_a_shared_connection_whatever_the_path_for_temporary_files(site: Site) -> None:
    site.key("id_ed25519")
    long = site.folder / ("t" * 90)
    long.mkdir()
    site.monkeypatch.setattr("tempfile.tempdir", str(long))
    private._socket_folder_of.cache_clear()
    since = site.server.log_size()
    login = site.login(bed())
    agent = Agent(login)
    assert agent.answers()
    shared = [*login.route.shared("auto"), "--", "there", "echo", "second"]
    assert subprocess.run(["ssh", *shared], capture_output=True, text=True).stdout == "second\n"
    assert len(site.server.accepted(since)) == 1
    agent.close()
    assert not agent.in_step


def test_what_a_shell_prints_when_it_starts_is_not_the_agents(site: Site) -> None:
    site.key("id_ed25519")
    text = Path(f"{site.good}.pub").read_text()
    noisy = sshd.make_key(site.folder / "noisy")
    forced = 'command="echo Welcome; echo Have fun >&2; eval \\"$SSH_ORIGINAL_COMMAND\\""'
    site.server.authorized.write_text(f"{text}{forced} {Path(f'{noisy}.pub').read_text()}")
    site.ends.callback(site.server.authorized.write_text, text)
    site.key("id_ed25519", noisy)
    agent = Agent(site.login(bed()))
    assert agent.answers()
    agent.close()


def test_a_host_that_falls_silent_is_noticed(site: Site) -> None:
    site.key("id_ed25519")
    for name in ("ServerAliveInterval", "ServerAliveCountMax"):
        site.monkeypatch.setitem(route._CONVERSATION, name, "1")
    session = site.login(bed()).run("echo $PPID; sleep 60")
    session.settimeout(30)
    server = int(session.recv(20))
    os.kill(server, signal.SIGSTOP)
    site.ends.callback(os.kill, server, signal.SIGKILL)
    assert session.recv(1) == b""
    assert session.said() == "the host fell silent"
    assert session.closed


def test_an_account_that_runs_no_commands_is_told(site: Site) -> None:
    kept = site.server.authorized.read_text()
    site.server.authorized.write_text(f'command="echo This account is closed.; exit 1" {kept}')
    site.ends.callback(site.server.authorized.write_text, kept)
    site.key("id_ed25519")
    with pytest.raises(LoginRefused, match=rf"the login as {ME} worked, and no command .* \(This account is closed\)"):
        site.login(bed()).run("true")


def test_a_connection_that_breaks_is_told(site: Site) -> None:
    site.key("id_ed25519")
    session = site.login(bed()).run("read word; kill -9 $PPID; sleep 5")
    session.sendall(b"now\n")
    session.settimeout(20)
    assert session.recv(1) == b""
    assert "closed" in session.said()
