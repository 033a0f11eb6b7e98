# SPDX-License-Identifier: Apache-2.0
"""Further logins for `ssh_cases.CASES`: settings in a user's ~/.ssh/config, one kind each."""

import stat
import subprocess
import textwrap
from pathlib import Path

from orchestrator.testbed.ssh.schema import SshTestbed
from tests.unit.ssh_cases import case, refused
from tests.unit.ssh_site import ME, Site, bed


def add(site: Site, text: str) -> None:
    """Add hosts to ~/.ssh/config."""
    with (site.home.ssh / "config").open("a") as file:
        file.write(textwrap.dedent(text))


def script(site: Site, name: str, text: str) -> Path:
    """Write a program to the home folder."""
    file = site.home.folder / name
    file.write_text(textwrap.dedent(text))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


# --- keys and agents ---


@case
def a_key_whose_path_has_a_space(site: Site) -> None:
    site.key("keys of mine/one")
    site.config('IdentityFile "~/.ssh/keys of mine/one"')


@case
def a_key_by_a_hash_of_the_login(site: Site) -> None:
    site.config("IdentityFile ~/.ssh/%C-%u-%p")
    shown = subprocess.run(["ssh", "-G", "there"], capture_output=True, text=True, check=True).stdout
    assert "/.ssh/%C" in shown, "OpenSSH expands it only when it logs in"
    values = f"$(printf %s \"$(uname -n)127.0.0.1{site.server.port}{ME}\" | sha1sum | cut -d' ' -f1)"
    digest = subprocess.run(["sh", "-c", f"echo {values}"], capture_output=True, text=True, check=True).stdout.strip()
    site.key(f"{digest}-{ME}-{site.server.port}")


@case
def keys_by_the_alias_of_the_host(site: Site) -> None:
    site.key("%k and more", site.other)
    site.key("my there")
    site.config('IdentityFile "~/.ssh/%%k and more"\nIdentityFile "%d/.ssh/my %k"')


@case
def a_key_by_an_alias_that_the_user_has_given(site: Site) -> None:
    site.key("id_Some.where", site.other)
    site.key("keys/id_%x")
    site.config("HostKeyAlias %x\nIdentityFile ~/.ssh/keys/id_%k")
    known = site.home.ssh / "known_hosts"
    known.write_text(site.server.host_line("%x"))


@case
def a_certificate_beside_its_key(site: Site) -> None:
    key = site.key("id_ed25519", site.other)
    Path(f"{key}.pub").write_text(Path(f"{site.other}.pub").read_text())
    authority = site.server.folder / "authority"
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", ME, f"{key}.pub"], check=True)


@case
def an_agent_that_a_variable_names(site: Site) -> None:
    site.monkeypatch.setenv("MY_AGENT", str(site.agent(site.good)))
    site.config("IdentityAgent $MY_AGENT\nIdentityFile none")


@case
def an_agent_that_has_ended_beside_a_good_key(site: Site) -> None:
    site.key("id_ed25519")
    site.use_agent(site.folder / "gone")


@case
def a_key_that_is_added_to_the_agent(site: Site) -> None:
    site.use_agent(site.agent())
    site.key("id_ed25519")
    site.config("AddKeysToAgent yes")


@case
def a_smart_card_that_is_absent(site: Site) -> None:
    site.key("id_ed25519")
    site.config("PKCS11Provider /usr/lib/no-such-card.so\nSecurityKeyProvider /usr/lib/no-such-token.so")


# --- ways ---


@case
def two_jump_hosts(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"ProxyJump jumper,{ME}@[::1]:{site.server.port}")
    add(site, f"Host jumper\n  HostName 127.0.0.1\n  Port {site.server.port}\n")


@case
def a_jump_host_with_a_jump_host_of_its_own(site: Site) -> None:
    site.key("id_ed25519")
    site.config("ProxyJump second")
    add(
        site,
        f"""\
        Host first second
          HostName ::1
          Port {site.server.port}
        Host second
          ProxyJump first
        """,
    )


@case
def a_jump_host_over_a_connection_that_the_user_has_open(site: Site) -> None:
    """For example one opened with a one-time password: the jump host accepts none of the user's keys."""
    mine = site.key("mine")
    socket = site.home.folder / "open"
    site.config(f"ProxyJump jumper\nIdentityFile {mine}\nIdentitiesOnly yes")
    add(
        site,
        f"""\
        Host jumper
          HostName ::1
          Port {site.server.port}
          IdentityFile none
          ControlPath {socket}
        """,
    )
    control = ["ssh", "-o", "BatchMode=yes", "-o", f"ControlPath={socket}", "-i", str(mine)]
    subprocess.run([*control, "-M", "-f", "-N", "jumper"], check=True, capture_output=True)
    site.ends.callback(subprocess.run, [*control, "-O", "exit", "jumper"], capture_output=True)


@case
def a_proxy_command_with_quotes(site: Site) -> None:
    site.key("id_ed25519")
    login = 'exec ssh -F none -i "$HOME/.ssh/id_ed25519" -p "$1" -W "$0:$1" ::1'
    site.config(f"""ProxyCommand sh -c '{login}' "%h" "%p" 2>/dev/null""")


@case
def a_proxy_that_hands_its_connection_over(site: Site) -> None:
    site.key("id_ed25519")
    program = """\
        #!/usr/bin/env python3
        import socket, sys
        made = socket.create_connection((sys.argv[1], int(sys.argv[2])))
        with socket.socket(fileno=1) as caller:
            socket.send_fds(caller, [b"x"], [made.fileno()])
        """
    site.config(f"ProxyCommand {script(site, 'connect', program)} %h %p\nProxyUseFdpass yes")


@case
def an_address_family_and_where_the_connection_comes_from(site: Site) -> None:
    site.key("id_ed25519")
    site.config("AddressFamily inet6\nBindAddress ::1", address="::1")


@refused
def an_address_of_the_other_family(site: Site) -> None:
    site.key("id_ed25519")
    site.config("AddressFamily inet6")


@case
def another_name_for_the_host_key(site: Site) -> None:
    site.key("id_ed25519")
    site.config("HostKeyAlias another")
    (site.home.ssh / "known_hosts").write_text(site.server.host_line("another"))


@case
def a_user_and_a_port_of_the_testbed_file(site: Site) -> SshTestbed:
    """They take precedence; the configuration has the same values."""
    site.key("id_ed25519")
    login = f"  HostName 127.0.0.1\n  User {ME}\n  Port {site.server.port}\n"
    (site.home.ssh / "config").write_text(f"Host there\n{login}")
    return bed(user=ME, port=site.server.port)


# --- how a configuration is written ---


@case
def conditions_with_quotes(site: Site) -> None:
    site.key("mine")
    site.monkeypatch.setenv("PLACE", "office")
    site.config()
    add(
        site,
        """\
        Match originalhost there exec "test %n.$PLACE = 'there.office'"
          IdentityFile ~/.ssh/mine
        """,
    )


@case
def names_that_are_made_canonical(site: Site) -> None:
    site.key("mine")
    site.config("CanonicalizeHostname always\nCanonicalizeFallbackLocal yes")
    add(site, "Match final host 127.0.0.1\n  IdentityFile ~/.ssh/mine\n")


@case
def settings_of_another_system_that_are_to_be_ignored(site: Site) -> None:
    site.key("id_ed25519")
    site.config("IgnoreUnknown UseKeychain,AddKeys*\nUseKeychain yes")


@refused
def a_setting_that_there_is_not(site: Site) -> None:
    site.key("id_ed25519")
    site.config("UseKeyring yes")


@refused
def a_configuration_that_others_can_write(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "config").chmod(0o666)


@case
def a_folder_of_configurations(site: Site) -> None:
    site.key("mine")
    (site.home.ssh / "conf.d").mkdir()
    site.config("IdentityFile=~/.ssh/mine", at=site.home.ssh / "conf.d" / "10 site")
    (site.home.ssh / "config").write_text("include ~/.ssh/conf.d/* ~/.ssh/none.d/*\n")


@case
def a_configuration_that_was_written_on_windows(site: Site) -> None:
    site.key("mine")
    site.config("IdentityFile ~/.ssh/mine")
    text = (site.home.ssh / "config").read_text()
    (site.home.ssh / "config").write_bytes(text.replace("\n", "\r\n").encode())


# --- what is shown, sent and forwarded ---


@case
def what_is_shown_and_sent(site: Site) -> None:
    site.key("id_ed25519")
    site.config("VisualHostKey yes\nSendEnv LANG LC_* MY_*\nSetEnv MINE=1\nCompression yes\nLogLevel DEBUG3")


@case
def an_agent_that_is_forwarded_and_is_not_there(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"ForwardAgent {site.folder}/gone\nForwardX11 yes\nForwardX11Trusted yes")


@case
def a_forwarding_whose_port_is_taken(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"DynamicForward 127.0.0.1:{site.server.port}\nExitOnForwardFailure no\nStdinNull yes")


# For a login by a program these are ignored; with them, `ssh there echo in` fails or hangs.
ONLY_HERE = {
    "a command of its own": "RemoteCommand tmux attach",
    "no command at all": "SessionType none\nForkAfterAuthentication yes",
    "a forwarding that must work": "LocalForward 127.0.0.1:{port} 127.0.0.1:1\nExitOnForwardFailure yes",
    "a question on the terminal": "StrictHostKeyChecking ask\nUserKnownHostsFile /dev/null\nBatchMode no",
}
