# SPDX-License-Identifier: Apache-2.0
"""Configurations of a login to the host `there`, and whether `ssh there` succeeds with each."""

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

from orchestrator.testbed.ssh.schema import SshTestbed
from tests.unit import sshd
from tests.unit.ssh_site import ME, Site, bed

Setup = Callable[[Site], "SshTestbed | None"]
CASES: dict[str, tuple[bool, Setup]] = {}


def case(setup: Setup) -> Setup:
    """Register a login with which `ssh there` succeeds. The function may return the testbed; by default its address is
    `there`."""
    CASES[setup.__name__] = (True, setup)
    return setup


def refused(setup: Setup) -> Setup:
    """Register a login with which `ssh there` fails."""
    CASES[setup.__name__] = (False, setup)
    return setup


@case
def a_default_key(site: Site) -> None:
    site.key("id_ed25519")


@case
def an_agent(site: Site) -> None:
    site.use_agent(site.agent(site.other, site.good))


@case
def identity_agent(site: Site) -> None:
    site.config("IdentityAgent ~/agent.sock")
    site.home.folder.joinpath("agent.sock").symlink_to(site.agent(site.good))


@refused
def identity_agent_none(site: Site) -> None:
    site.use_agent(site.agent(site.good))
    site.config("IdentityAgent none")


@case
def identities_only_with_a_public_key_of_the_agent(site: Site) -> None:
    site.use_agent(site.agent(site.other, site.good))
    site.key("token.pub", Path(f"{site.good}.pub"))
    site.config("IdentitiesOnly yes\nIdentityFile ~/.ssh/token.pub")


@case
def identities_only_with_a_private_key_in_the_agent_alone(site: Site) -> None:
    site.use_agent(site.agent(site.other, site.good))
    site.key("elsewhere.pub", Path(f"{site.good}.pub"))
    site.config("IdentitiesOnly yes\nIdentityFile ~/.ssh/elsewhere")


@case
def identities_only_with_an_encrypted_key_that_the_agent_has(site: Site) -> None:
    site.use_agent(site.agent(site.other, site.good))
    encrypted = site.key("encrypted")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-a", "1", "-N", "a passphrase", "-f", encrypted], check=True, capture_output=True
    )
    site.config(f"IdentitiesOnly yes\nIdentityFile {encrypted}")


@refused
def identities_only_with_another_key_than_the_agents(site: Site) -> None:
    site.use_agent(site.agent(site.good))
    site.config(f"IdentitiesOnly yes\nIdentityFile {site.key('other', site.other)}")


@refused
def an_encrypted_key_without_an_agent(site: Site) -> None:
    encrypted = site.key("id_ed25519")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-a", "1", "-N", "a passphrase", "-f", encrypted], check=True, capture_output=True
    )


@case
def a_certificate(site: Site) -> None:
    key = site.key("certified", site.other)
    public = shutil.copy(f"{site.other}.pub", site.folder / "signed.pub")
    authority = site.server.folder / "authority"
    sign = ["ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", ME, public]
    subprocess.run(sign, check=True, capture_output=True)
    site.config(f"IdentityFile {key}\nCertificateFile ~/certificates/it-cert.pub")
    (site.home.folder / "certificates").mkdir()
    shutil.move(site.folder / "signed-cert.pub", site.home.folder / "certificates" / "it-cert.pub")


@case
def a_home_token(site: Site) -> None:
    site.key("keys/mine")
    site.config("IdentityFile %d/.ssh/keys/mine")


@case
def a_user_and_host_token(site: Site) -> None:
    site.key(f"key-{ME}-127.0.0.1-there")
    site.config("IdentityFile ~/.ssh/key-%r-%h-%n")


@case
def a_variable_of_the_environment(site: Site) -> None:
    site.key("keys/mine")
    site.monkeypatch.setenv("MY_KEYS", str(site.home.ssh / "keys"))
    site.config("IdentityFile ${MY_KEYS}/mine")


@case
def a_token_that_the_agent_offers_first(site: Site) -> None:
    both = sshd.TokenAgent(site.folder / "both", site.agent(site.good))
    site.ends.callback(both.close)
    site.use_agent(site.folder / "both")


@case
def a_key_in_pkcs8(site: Site) -> None:
    key = site.home.ssh / "id_ecdsa"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ecdsa", "-m", "PKCS8", "-N", "", "-C", "", "-f", key], check=True, text=True
    )
    assert "BEGIN PRIVATE KEY" in key.read_text()
    kept = site.server.authorized.read_text()
    site.server.authorized.write_text(kept + Path(f"{key}.pub").read_text())
    site.ends.callback(site.server.authorized.write_text, kept)


@case
def an_unreadable_default_key_beside_a_good_one(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "id_rsa").touch(mode=0o000)
    (site.home.ssh / "id_ecdsa").mkdir()


@case
def a_jump_host_by_an_address_of_version_4(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"ProxyJump {ME}@127.0.0.1:{site.server.port}", address="::1")


@case
def a_jump_host_by_an_address_of_version_6(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"ProxyJump {ME}@[::1]:{site.server.port}")


@case
def a_jump_host_in_the_testbed_file(site: Site) -> SshTestbed:
    site.key("id_ed25519")
    site.config("ProxyJump nowhere")
    with (site.home.ssh / "config").open("a") as file:
        file.write(f"Host jumper\n  HostName ::1\n  Port {site.server.port}\nHost nowhere\n  HostName 192.0.2.1\n")
    # `ssh` is given the same route by a separate file.
    site.config("ProxyJump jumper", at=site.folder / "plain")
    text = (site.home.ssh / "config").read_text() + (site.folder / "plain").read_text()
    (site.home.ssh / "config").write_text(text.replace("ProxyJump nowhere", "", 1))
    return bed(jump="jumper")


@refused
def a_jump_host_whose_key_is_not_known(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "known_hosts").write_text(site.server.host_line(f"[::1]:{site.server.port}"))
    site.config(f"ProxyJump 127.0.0.1:{site.server.port}", address="::1")


@case
def the_name_as_it_was_written(site: Site) -> None:
    site.key("id_ed25519")
    relay = site.home.folder / "relay"
    relay.write_text(
        '#!/bin/sh\n[ "$1" = there ] || exit 1\nexec ssh -F none -i ~/.ssh/id_ed25519 -p "$3" -W "$2:$3" ::1\n'
    )
    relay.chmod(relay.stat().st_mode | stat.S_IXUSR)
    site.config("ProxyCommand ~/relay %n %h %p")


@case
def what_disturbs_programs(site: Site) -> None:
    site.key("id_ed25519")
    forwarding = f"ForwardX11 yes\nLocalForward 127.0.0.1:{site.server.port} 127.0.0.1:1\nExitOnForwardFailure no\n"
    sharing = "ControlMaster auto\nControlPath ~/.ssh/s\n"
    terminal = "RequestTTY force\n" if os.geteuid() == 0 else ""  # another user's sshd cannot provide one
    site.config(f"{forwarding}{sharing}{terminal}PermitLocalCommand yes\nLocalCommand echo hello\nLogLevel QUIET")


@case
def conditions_and_other_files(site: Site) -> None:
    site.key("mine")
    site.config()
    (site.home.ssh / "more").write_text('Match originalhost there exec "true"\n  IdentityFile ~/.ssh/mine\n')
    (site.home.ssh / "config").write_text("Include more\n" + (site.home.ssh / "config").read_text())


@refused
def a_key_that_the_server_does_not_have(site: Site) -> None:
    site.key("id_ed25519", site.other)


@refused
def a_port_on_which_nobody_listens(site: Site) -> None:
    site.config("Port 1")
    (site.home.ssh / "config").write_text("Host there\n  HostName 127.0.0.1\n  Port 1\n")


@refused
def a_cipher_that_the_server_does_not_have(site: Site) -> None:
    site.key("id_ed25519")
    site.config("Ciphers aes256-cbc")
