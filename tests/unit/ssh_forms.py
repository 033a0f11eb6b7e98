# SPDX-License-Identifier: Apache-2.0
"""Further logins for `ssh_cases.CASES`: forms of keys, of jump hosts and of known hosts."""

import subprocess
from pathlib import Path

from tests.unit.ssh_cases import case
from tests.unit.ssh_settings import add
from tests.unit.ssh_site import ME, Site


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
