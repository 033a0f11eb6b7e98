# SPDX-License-Identifier: Apache-2.0
"""Hosts of somebody who uses Ansible, with odd paths, a vault and a sudo that asks for a password.

They are lab machines like those of test_hosts.py.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.standing import StandingHosts, standing_hosts
from tests.lab.support import all_ok_once, last_object, orch, runs_in
from tests.lab.test_hosts import ONE_CELL, SPEC, TESTBED

pytestmark = [pytest.mark.lab, pytest.mark.beside]

# test_hosts.py may run at the same time, and the lease on a testbed's name holds on the whole computer.
BED = TESTBED.replace("testbed: pair", "testbed: pair-of-an-ansible-user")

PASSWORD = 'open {{sesame}} "now"'
HASH = "$6$orchlab$s6jSI9pehl//1WrOunyunWnFp5ujiwVRJ9za0Dulx81IKUsnqY3rmLGeANEzqGsMSF8MX70giztsy004SIkex."
ANSIBLE_CFG = """\
[defaults]
vault_password_file = the password
[privilege_escalation]
become_method = ansible.builtin.sudo
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandingHosts]:
    with standing_hosts(tmp_path_factory.mktemp("hosts"), "two-machines", BED, SPEC) as hosts:
        yield hosts


@pytest.fixture
def users_folder(pair: StandingHosts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory of a user of Ansible, with odd paths: an inventory that has a vault, and `bed.yaml`."""
    for host in pair.names:
        pair.on(
            host, f"useradd -m worker; usermod -p '{HASH}' worker; echo 'worker ALL=(ALL) ALL' >/etc/sudoers.d/worker"
        )
    folder = tmp_path / "of mine, {these}"
    state, temporary, of_all = folder / "st ate", folder / ("t" * 90), folder / "in ventory" / "group_vars" / "all"
    for made in (of_all, state, temporary):
        made.mkdir(parents=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(state))
    monkeypatch.setenv("TMPDIR", str(temporary))
    hosts = json.loads(Path(orch("lab", "inventory").stdout.strip()).read_text())
    for become, variables in zip(("on", 1), hosts["all"]["hosts"].values(), strict=True):
        del variables["ansible_user"]
        variables["ansible_become"] = become
    (folder / "in ventory" / "hosts.json").write_text(json.dumps(hosts))
    (folder / "ansible.cfg").write_text(ANSIBLE_CFG)
    (folder / "the password").write_text("of the vault\n")
    names, values = ("ansible_user", "ansible_become_password"), ("worker", PASSWORD)
    command = [
        Path(sys.executable).with_name("ansible-vault"),
        "encrypt_string",
        "-n",
        names[0],
        "-n",
        names[1],
        *values,
    ]
    (of_all / "vault.yml").write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
    (folder / "bed.yaml").write_text(BED.replace("INVENTORY", "in ventory").replace("MORE", ""))
    return folder


def test_a_host_is_provisioned_as_the_root_that_ansible_would_become(pair: StandingHosts, users_folder: Path) -> None:
    assert orch("testbed", "enroll", "bed.yaml", "--yes").returncode == 0
    pair.on("lab2", "rm -rf /usr/local/lib/orch/modules/*/multitunnel")
    before = pair.snapshot()
    first = orch("testbed", "provision", "bed.yaml", "--json")
    assert first.returncode == 0, first.stderr
    assert last_object(first.stdout)["changed"] > 0
    assert pair.on("lab2", "stat -c %U /usr/local/lib/orch/modules/*/multitunnel/wireguard.ko").split() == ["root"]
    done = orch(*pair.arguments(users_folder / "results", Path("bed.yaml")), *ONE_CELL)
    assert done.returncode == 0, done.stderr
    assert "To be provisioned" not in done.stderr
    all_ok_once(runs_in(users_folder / "results")[0])
    assert pair.snapshot() ^ before == set()
    hidden = ("sesame", "of the vault")
    kept = [file for place in ("results", "st ate") for file in Path(place).rglob("*") if file.is_file()]
    assert len(kept) > 10
    assert [file for file in kept if any(word.encode() in file.read_bytes() for word in hidden)] == []
    assert list((users_folder / ("t" * 90)).iterdir()) == []
    pair.on("lab1", "usermod -p '*' worker")
    refused = orch("testbed", "provision", "bed.yaml")
    assert refused.returncode == 3
    assert "lab1: sudo refuses the ansible_become_password that Ansible has for it" in refused.stderr
    assert "sesame" not in refused.stderr
