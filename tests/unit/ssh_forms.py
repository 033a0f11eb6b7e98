# SPDX-License-Identifier: Apache-2.0
"""Further logins for `ssh_cases.CASES`: forms of keys, of jump hosts and of known hosts."""

import subprocess
from pathlib import Path

from orchestrator.testbed.ssh.schema import SshTestbed
from tests.unit.ssh_cases import case, refused
from tests.unit.ssh_settings import add
from tests.unit.ssh_site import ME, Site, bed


def rsa_key(site: Site, form: str) -> None:
    """Create the default key of a user, in a format of OpenSSL."""
    key = site.home.ssh / "id_rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-m", form, "-N", "", "-C", "", "-f", key], check=True)
    kept = site.server.authorized.read_text()
    site.server.authorized.write_text(kept + Path(f"{key}.pub").read_text())
    site.ends.callback(site.server.authorized.write_text, kept)


@case
def an_rsa_key_in_pkcs8(site: Site) -> None:
    rsa_key(site, "PKCS8")


@case
def an_rsa_key_in_pem(site: Site) -> None:
    rsa_key(site, "PEM")


@case
def a_certificate_whose_key_only_the_agent_has(site: Site) -> None:
    site.use_agent(site.agent(site.other))
    public = site.folder / "signed.pub"
    public.write_text(Path(f"{site.other}.pub").read_text())
    authority = site.server.folder / "authority"
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", ME, public], check=True)
    site.config(f"CertificateFile {site.folder}/signed-cert.pub")


@case
def an_agent_by_the_word_for_the_one_of_the_environment(site: Site) -> None:
    site.use_agent(site.agent(site.good))
    site.config("IdentityAgent SSH_AUTH_SOCK")


@case
def an_agent_by_a_variable_and_the_name_as_it_was_written(site: Site) -> None:
    site.agent(site.good, name="agent-there")
    site.monkeypatch.setenv("MY_AGENTS", str(site.folder))
    site.config("IdentityAgent ${MY_AGENTS}/agent-%n")


@case
def a_jump_host_as_an_address_of_the_web(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"ProxyJump ssh://{ME}@127.0.0.1:{site.server.port}", address="::1")


@case
def no_jump_host_where_the_other_hosts_have_one(site: Site) -> None:
    site.key("id_ed25519")
    site.config("ProxyJump none")
    add(site, "Host *\n  ProxyJump nowhere\n")


@case
def a_jump_host_among_hashed_known_hosts(site: Site) -> None:
    site.key("id_ed25519")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", site.home.ssh / "known_hosts"], check=True, capture_output=True)
    site.config(f"ProxyJump 127.0.0.1:{site.server.port}", address="::1")


@case
def a_jump_host_in_known_hosts_whose_path_has_a_space(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "known_hosts").rename(site.home.ssh / "known ones")
    site.config("ProxyJump jumper")
    add(
        site,
        f"""\
        Host *
          UserKnownHostsFile "~/.ssh/known ones" /dev/null
        Host jumper
          HostName 127.0.0.1
          Port {site.server.port}
        """,
    )


@case
def hosts_that_a_pattern_leaves_out(site: Site) -> None:
    site.key("mine")
    site.config()
    add(site, "Host t* !theme\n  IdentityFile ~/.ssh/mine\nHost * !there\n  User nobody\n")


@case
def a_jump_host_whose_name_is_made_of_the_hosts(site: Site) -> None:
    site.key("id_ed25519")
    site.config("ProxyJump gate-%n")
    add(site, f"Host gate-there\n  HostName ::1\n  Port {site.server.port}\n")


@case
def a_jump_host_that_alone_needs_another_key(site: Site) -> None:
    site.key("mine")
    site.use_agent(site.agent(site.other))
    site.config("ProxyJump jumper\nIdentitiesOnly yes\nIdentityFile ~/.ssh/mine")
    kept = site.server.authorized.read_text()
    site.server.authorized.write_text(kept + Path(f"{site.other}.pub").read_text())
    site.ends.callback(site.server.authorized.write_text, kept)
    add(site, f"Host jumper\n  HostName ::1\n  Port {site.server.port}\n  IdentityFile none\n")


@case
def a_jump_host_whose_key_a_command_tells(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "known_hosts").rename(site.home.folder / "of the site")
    known = f'KnownHostsCommand /bin/cat "{site.home.folder}/of the site"'
    site.config(f"ProxyJump jumper\n{known}")
    add(site, f"Host jumper\n  HostName ::1\n  Port {site.server.port}\n  {known}\n")


@case
def a_jump_host_whose_key_is_not_checked(site: Site) -> None:
    site.key("id_ed25519")
    (site.home.ssh / "known_hosts").write_text(site.server.host_line(f"[127.0.0.1]:{site.server.port}"))
    site.config("ProxyJump jumper")
    unchecked = "StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null"
    add(site, f"Host jumper\n  HostName ::1\n  Port {site.server.port}\n  {unchecked}\n")


@case
def no_proxy_where_the_other_hosts_have_one(site: Site) -> None:
    site.key("id_ed25519")
    site.config("ProxyCommand none")
    add(site, "Host *\n  ProxyCommand false\n")


@case
def a_key_of_the_agent_that_is_only_for_the_host(site: Site) -> None:
    socket = site.agent()
    site.use_agent(socket)
    limited = ["ssh-add", "-q", "-H", site.home.ssh / "known_hosts", "-h", f"[127.0.0.1]:{site.server.port}", site.good]
    subprocess.run(limited, check=True, capture_output=True)
    site.config()


@refused
def a_key_of_the_agent_that_is_only_for_another_host(site: Site) -> None:
    site.use_agent(site.agent())
    another = site.folder / "another"
    another.write_text(f"another {' '.join(Path(f'{site.other}.pub').read_text().split()[:2])}\n")
    subprocess.run(["ssh-add", "-q", "-H", another, "-h", "another", site.good], check=True, capture_output=True)
    site.config()


@case
def an_agent_alone(site: Site) -> None:
    site.key("id_ed25519", site.other)
    site.use_agent(site.agent(site.good))
    site.config("IdentityFile none")


@case
def a_certificate_by_the_names_of_the_login(site: Site) -> None:
    site.use_agent(site.agent(site.other))
    public = site.home.ssh / f"{ME}@there.pub"
    public.write_text(Path(f"{site.other}.pub").read_text())
    authority = site.server.folder / "authority"
    subprocess.run(["ssh-keygen", "-q", "-s", authority, "-I", "test", "-n", ME, public], check=True)
    site.config("CertificateFile ~/.ssh/%r@%n-cert.pub")


@refused
def keys_that_are_not_to_be_used(site: Site) -> None:
    site.key("id_ed25519")
    site.config("PubkeyAuthentication no")


@refused
def a_host_key_that_the_user_has_revoked(site: Site) -> None:
    site.key("id_ed25519")
    site.config(f"RevokedHostKeys {site.server.host_key}.pub")


@case
def a_user_in_the_address_of_the_testbed_file(site: Site) -> SshTestbed:
    site.key("id_ed25519")
    site.config()
    text = (site.home.ssh / "config").read_text()
    (site.home.ssh / "config").write_text(text.replace(f"User {ME}\n", ""))
    return bed(address=f"{ME}@there")


@case
def an_address_of_the_web_in_the_testbed_file(site: Site) -> SshTestbed:
    site.key("id_ed25519")
    site.config()
    return bed(address="ssh://there")
