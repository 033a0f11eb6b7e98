# SPDX-License-Identifier: Apache-2.0
"""Further logins for `ssh_cases.CASES`: the state of the files that OpenSSH reads, and what `ssh` in PATH is."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.unit import sshd
from tests.unit.ssh_cases import case, refused
from tests.unit.ssh_settings import add, script
from tests.unit.ssh_site import ME, Site

# --- keys ---


@refused
def a_key_that_others_can_read(site: Site) -> None:
    site.key("id_ed25519").chmod(0o644)


@refused
def a_key_without_its_last_line_end(site: Site) -> None:
    key = site.key("id_ed25519")
    key.write_bytes(key.read_bytes().rstrip(b"\n"))


@case
def a_link_to_a_key(site: Site) -> None:
    (site.home.ssh / "id_ed25519").symlink_to(site.good)


@case
def a_link_that_leads_nowhere_beside_an_agent(site: Site) -> None:
    (site.home.ssh / "id_ed25519").symlink_to(site.folder / "unmounted")
    site.use_agent(site.agent(site.good))


@case
def a_key_relative_to_the_current_folder(site: Site) -> None:
    shutil.copy(site.good, site.folder / "mine.key")
    site.config("IdentityFile mine.key")


@case
def a_key_whose_name_is_not_utf_8(site: Site) -> None:
    site.key(os.fsdecode(b"caf\xe9"))
    site.config()
    with (site.home.ssh / "config").open("ab") as file:
        file.write(b"  IdentityFile ~/.ssh/caf\xe9\n")


@case
def an_expired_certificate_beside_its_key(site: Site) -> None:
    public = Path(f"{site.key('id_ed25519')}.pub")
    public.write_text(Path(f"{site.good}.pub").read_text())
    sign = ["ssh-keygen", "-q", "-s", site.server.folder / "authority", "-I", "test", "-n", ME]
    subprocess.run([*sign, "-V", "20200101:20200102", public], check=True)


@refused
def more_keys_in_the_agent_than_the_server_tries(site: Site) -> None:
    site.use_agent(site.agent(*(sshd.make_key(site.folder / f"key-{number}") for number in range(7)), site.good))


# --- configurations ---


@case
def a_configuration_in_another_encoding(site: Site) -> None:
    site.key("mine")
    site.config("IdentityFile ~/.ssh/mine")
    file = site.home.ssh / "config"
    file.write_bytes(b"# caf\xe9\n" + file.read_bytes())


@refused
def a_configuration_with_a_byte_order_mark(site: Site) -> None:
    site.key("id_ed25519")
    file = site.home.ssh / "config"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())


@refused
def a_configuration_that_is_a_link_to_itself(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "config").unlink()
    (site.home.ssh / "config").symlink_to("config")


@case
def a_condition_whose_command_reads_its_input(site: Site) -> None:
    site.key("mine")
    site.config()
    add(site, 'Match host 127.0.0.1 exec "cat >/dev/null; true"\n  IdentityFile ~/.ssh/mine\n')


@case
def known_hosts_of_the_site_for_a_jump_host(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "known_hosts").rename(site.home.ssh / "of the site")
    site.config("ProxyJump jumper")
    known = '"~/.ssh/of the site"'
    add(site, f"Host *\n  HostName ::1\n  Port {site.server.port}\n  GlobalKnownHostsFile ~/.ssh/none {known}\n")


@refused
def ways_to_log_in_that_need_an_answer(site: Site) -> None:
    site.key("id_ed25519")
    site.config("PreferredAuthentications keyboard-interactive,password")


# --- programs ---


@case
def a_proxy_that_says_much(site: Site) -> None:
    site.key("id_ed25519")
    login = 'ssh -F none -i ~/.ssh/id_ed25519 -o StrictHostKeyChecking=no -p "$2" -W "$1:$2" ::1'
    relay = script(site, "relay", f"#!/bin/sh\nseq 30000 >&2\nexec {login}\n")
    site.config(f"ProxyCommand {relay} %h %p")


@case
def a_script_named_ssh(site: Site) -> None:
    """As some sites have one, with options of their own."""
    wrapper = site.folder / "programs" / "ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -o "IdentityFile={site.good}" "$@"\n')
    wrapper.chmod(0o755)
    site.monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
