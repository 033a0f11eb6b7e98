# SPDX-License-Identifier: Apache-2.0
"""Inventories: read as Ansible reads them, whatever form their values have."""

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import UserError
from orchestrator.spec import load_testbed
from orchestrator.testbed.ssh.inventory import reach, read_inventory
from orchestrator.testbed.ssh.route import SshRoute, routes
from orchestrator.testbed.ssh.schema import SshTestbed

BIN = Path(sys.executable).parent
# One inventory for all cases, since Ansible starts slowly: {host: its variables}.
HOSTS = {
    **{
        f"yes-{number}": f"ansible_become={value}"
        for number, value in enumerate(("yes", "true", "1", "on", "'y'", "True"))
    },
    **{
        f"no-{number}": f"ansible_become={value}"
        for number, value in enumerate(("no", "false", "0", "off", "'n'", "False"))
    },
    "perhaps": "ansible_become=perhaps",
    "collection": "ansible_become=yes ansible_become_method=ansible.builtin.sudo",
    "legacy": "ansible_become_method=ansible.legacy.sudo",
    "by-password": "ansible_become=yes",
    "root-by-password": "ansible_user=root ansible_become=yes",
    "another-way": "ansible_become=yes ansible_become_method=doas",
    "root-by-another-way": "ansible_user=root ansible_become=yes ansible_become_method=su",
    "another-user": "ansible_become=yes ansible_become_user=ann",
    "Node_2.Rack-3.Example.Org": "ansible_port=2022",
    "quoted": "ansible_host=node ansible_ssh_common_args='-o \"ProxyCommand=nc %h %p\" -o Port=2200'",
    "unbalanced": """ansible_ssh_extra_args='-o "ProxyCommand=ssh -W %h:%p door'""",
    "made-up": "ansible_host={{inventory_hostname}}.lab ansible_port={{base+5}} base=2000",
    "undefined": "ansible_host={{nothing}}",
    "by-winrm": "ansible_connection=winrm",
    "by-ssh": "ansible_connection=ansible.builtin.ssh ansible_ssh_user=ben ansible_ssh_host=192.0.2.7",
    "port": "ansible_port=many",
}
PASSWORD = "open {{base}} 'sesame' é"
CONFIGURATION = """\
[defaults]
verbosity = 3
vault_password_file = the-password
remote_user = cleo
[ssh_connection]
ssh_args = -o ConnectTimeout=33
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("inventory")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder))
        patch.delenv("ANSIBLE_CONFIG", raising=False)
        patch.chdir(folder)
        (folder / "the-password").write_text("open sesame\n")
        inside = folder / "inventory" / "group_vars" / "all"
        inside.mkdir(parents=True)
        (folder / "inventory" / "hosts").write_text("".join(f"{name} {what}\n" for name, what in HOSTS.items()))
        vault, password = BIN / "ansible-vault", ("--vault-password-file", "the-password")
        inline = [vault, "encrypt_string", *password, "--name", "ansible_ssh_private_key_file", "%d/mine"]
        done = subprocess.run(inline, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        (inside / "inline.yml").write_text(done.stdout)
        inline[-2:] = ["ansible_become_password", PASSWORD]
        done = subprocess.run(inline, capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL)
        (folder / "inventory" / "host_vars").mkdir()
        for name in ("by-password", "root-by-password"):
            (folder / "inventory" / "host_vars" / f"{name}.yml").write_text(done.stdout)
        (inside / "whole.yml").write_text("ansible_ssh_common_args: -o HostKeyAlgorithms=ssh-ed25519\n")
        subprocess.run([vault, "encrypt", *password, inside / "whole.yml"], capture_output=True, check=True)
        (folder / "ansible.cfg").write_text(CONFIGURATION)
        patch.setenv("PYTHONPATH", str(folder))
        (folder / "ansible.py").write_text("raise SystemExit('this is not Ansible')\n")
        yield folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Any:
    return read_inventory(folder / "inventory")


def bed(host: dict[str, Any]) -> SshTestbed:
    hosts = ({"roles": ("client", "gateway-a", "gateway-b", "server"), **host},)
    return SshTestbed.model_validate({"testbed": "bed", "provider": "ssh", "inventory": "inventory", "hosts": hosts})


@pytest.fixture
def way(found: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    def way(name: str, **host: Any) -> SshRoute:
        monkeypatch.setattr("orchestrator.testbed.ssh.route.read_inventory", lambda file: found)
        return routes(bed({"name": name, **host}))[name]

    return way


def test_booleans_are_ansibles(way: Any) -> None:
    assert {way(name).become for name in HOSTS if name.startswith("yes-")} == {"sudo"}
    assert {way(name).become for name in HOSTS if name.startswith("no-")} == {"none"}
    with pytest.raises(
        UserError, match=r"inventory inventory, host perhaps: ansible_become: .*perhaps.*not a valid bool"
    ):
        way("perhaps")


def test_ways_to_be_root_may_have_the_name_of_ansibles_collection(way: Any) -> None:
    assert way("collection").become == way("legacy").become == "sudo"
    assert way("root-by-another-way").become == "none"
    with pytest.raises(UserError, match="another-way: doas is not supported to become root"):
        way("another-way")
    with pytest.raises(UserError, match="host another-user: ansible_become_user is ann, and trials need root"):
        way("another-user")


def test_the_password_for_sudo_is_ansibles_and_is_shown_nowhere(way: Any) -> None:
    route = way("by-password")
    assert (route.become, route.password) == ("sudo", PASSWORD)
    assert "sesame" not in f"{route} {route.target()}"
    assert way("by-password", become="none").password is way("root-by-password").password is None


PASSWORDS_OF_SUDO = {
    "[sudo_become_plugin]\npassword = from the file\n": "from the file",
    "[defaults]\nbecome_password_file = for sudo\n": "from another file",
    "[defaults]\nbecome_password_file = absent\n": None,
}


@pytest.mark.parametrize("configuration", PASSWORDS_OF_SUDO)
def test_the_password_for_sudo_may_be_in_the_users_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, configuration: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    Path("ansible.cfg").write_text(configuration)
    Path("for sudo").write_text("from another file\n")
    Path("inventory").write_text("left ansible_user=ann\n")
    password = PASSWORDS_OF_SUDO[configuration]
    if password is None:
        with pytest.raises(UserError, match=r"inventory inventory, host left: become_password_file: .*absent"):
            routes(bed({"name": "left"}))
        assert routes(bed({"name": "left", "user": "root"}))["left"].password is None
    else:
        assert routes(bed({"name": "left"}))["left"].password == password


def test_vaults_and_the_users_configuration_count_as_for_ansible(way: Any) -> None:
    route = way("yes-0")
    assert route.user == "cleo"
    assert route.limited  # ConnectTimeout
    assert list(route.arguments[-4:-2]) == ["-o", 'IdentityFile="%d/mine"']
    assert "HostKeyAlgorithms=ssh-ed25519" in route.arguments
    assert not way("yes-0", user="dan").arguments.index("-l")  # the testbed file comes first


def test_a_vault_without_its_password_is_told_and_nobody_is_asked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty.cfg").touch()
    monkeypatch.setenv("ANSIBLE_CONFIG", str(folder / "empty.cfg"))
    monkeypatch.setenv("ANSIBLE_ASK_VAULT_PASS", "True")
    with pytest.raises(UserError, match=r"Ansible cannot read the inventory .*vault.* nothing asks for it"):
        read_inventory(folder / "inventory")
    alone = folder / "alone.yaml"
    inline = (folder / "inventory" / "group_vars" / "all" / "inline.yml").read_text()
    alone.write_text("all:\n  hosts:\n    left:\n" + textwrap.indent(inline, " " * 6))
    with pytest.raises(UserError, match=r"host left: ansible_ssh_private_key_file: .*ANSIBLE_VAULT_PASSWORD_FILE"):
        reach("alone.yaml", "left", read_inventory(alone)["left"])
    alone.write_text(alone.read_text().replace("ansible_ssh_private_key_file", "ansible_become_pass"))
    told = reach("alone.yaml", "left", read_inventory(alone)["left"]).no_password
    assert re.match(r"The inventory alone\.yaml, host left: ansible_become_pass: .*ANSIBLE_VAULT_PASSWORD_FILE", told)
    monkeypatch.setenv("ANSIBLE_VAULT_IDENTITY_LIST", "me@prompt")
    with pytest.raises(UserError, match=r"prompt for \(me\) Name the file with the vault's password"):
        read_inventory(alone)


CONFIGURATIONS = {
    "/dev/null": "Unsupported configuration file extension",
    "cut-off.cfg": r"Error: .*cut-off\.cfg.*\[defaults",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_why_ansible_refuses_a_configuration_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    (folder / "cut-off.cfg").write_text("[defaults\nremote_user = ann\n")
    monkeypatch.setenv("ANSIBLE_CONFIG", str(folder / name))
    with pytest.raises(UserError, match=f"Ansible cannot read .*{CONFIGURATIONS[name]}"):
        read_inventory(folder / "inventory")


def test_names_and_values_are_taken_as_they_are(way: Any) -> None:
    route = way("Node_2.Rack-3.Example.Org")
    assert (route.destination, route.alias) == ("Node_2.Rack-3.Example.Org", "bed.node_2.rack-3.example.org")
    assert list(route.arguments[2:4]) == ["-p", "2022"]
    assert way("left", inventory_host="by-ssh").destination == "192.0.2.7"
    assert way("by-ssh").user == "ben"
    assert way("quoted", user="x").arguments[-4:] == ("-o", "ProxyCommand=nc %h %p", "-o", "Port=2200")
    assert (way("made-up").destination, "2005" in way("made-up").arguments) == ("made-up.lab", True)


MISTAKES = {
    "unbalanced": r"host unbalanced: ansible_ssh_extra_args cannot be split into words \(no closing quotation\): -o",
    "undefined": "host undefined: ansible_host: 'nothing' is undefined",
    "by-winrm": "reaches by-winrm by winrm",
    "port": "host port: port: .*many",
    "absent": "inventory has no host absent; it has .*by-ssh",
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_the_host_and_the_variable(way: Any, name: str) -> None:
    with pytest.raises(UserError, match=MISTAKES[name]):
        way(name)


@pytest.mark.parametrize("name", ["a, b.ini", "c:d%20{e}.ini"])
def test_the_path_of_an_inventory_may_be_any(folder: Path, name: str) -> None:
    (folder / name).write_text("left ansible_host=there\n")
    assert read_inventory(folder / name)["left"]["address"] == "there"


NAMES = ["node-1.site.example.org", "node_2", "N3", "_x", "7"]


@pytest.mark.parametrize("name", NAMES)
def test_hosts_are_named_as_in_an_inventory(tmp_path: Path, name: str) -> None:
    file = tmp_path / "bed.yaml"
    text = 'testbed: rack\nprovider: ssh\nhosts:\n  - {name: "NAME", roles: [client, gateway-a, gateway-b, server]}\n'
    file.write_text(text.replace("NAME", name))
    (host,) = load_testbed(str(file)).hosts  # type: ignore[union-attr]
    assert host.name == name
    for wrong in (f"-{name}", f"{name} x", f"{name}.", f"{name}/x", ""):
        file.write_text(text.replace("NAME", wrong))
        with pytest.raises(UserError, match="a host's name of letters, digits"):
            load_testbed(str(file))


def test_why_ansible_cannot_read_a_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty.cfg").touch()
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "empty.cfg"))
    file = tmp_path / "machines.ini"
    file.write_text("[racks:parents]\nfirst\n")
    with pytest.raises(
        UserError, match=r"machines\.ini: the plugin ini says: Section \[racks:parents\] has unknown type"
    ):
        read_inventory(file)
    script = tmp_path / "ask-cloud"
    script.write_text("#!/bin/sh\necho Your token has expired. >&2\nexit 4\n")
    script.chmod(0o755)
    with pytest.raises(UserError, match=r"plugin script says: .* exit code 4 \(Your token has expired\.\); the plugin"):
        read_inventory(script)


def test_a_file_of_a_folder_that_ansible_leaves_out_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "of mine").mkdir()
    (tmp_path / "of mine" / "good").write_text("left\n")
    assert list(read_inventory(tmp_path / "of mine")) == ["left"]
    assert capsys.readouterr().err == ""
    (tmp_path / "of mine" / "more.yml").write_text("all: [\n")
    assert list(read_inventory(tmp_path / "of mine")) == ["left"]
    assert f"leaves out a part of the inventory: it cannot parse {tmp_path}/of mine/more.yml" in capsys.readouterr().err


def test_a_value_that_no_program_can_be_given_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.testbed.ssh.route.read_inventory", lambda file: {"left": {"address": "a\0b"}})
    with pytest.raises(UserError, match="reaching left contain a NUL character"):
        routes(bed({"name": "left"}))
