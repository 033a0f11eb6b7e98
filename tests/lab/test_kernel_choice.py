# SPDX-License-Identifier: Apache-2.0
"""A host that is asked to run another kernel: a Debian machine that GRUB starts from its own disk, with Debian's own
menu and packages. It boots the other kernel once, whatever names its default, and its own again after that."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.agent.survey_messages import HelloRequest
from orchestrator.progress import Silent
from orchestrator.spec import load_testbed
from orchestrator.testbed.qemu import machine
from orchestrator.testbed.ssh.provider import OpenSshTestbed
from orchestrator.testbed.ssh.schema import SshTestbed
from tests.lab.computers import Computer, Hardware, Running, start
from tests.lab.debian_machine import debian_machine, give_archive
from tests.lab.support import orch

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.beside,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
TESTBED = """\
testbed: by-grub
provider: ssh
hosts:
  - name: one
    address: 127.0.0.1
    port: {port}
    user: root
    key: {key}
    roles: [client, gateway-a, gateway-b, server]
    kernel: {kernel}
"""
# How a host names what it boots by default, and what is done for it; RELEASE is its kernel.
ID = "$(sed -n \"s/.*'\\({0}[^']*\\)' {{.*/\\1/p\" /boot/grub/grub.cfg | head -n 1)"
DEFAULTS = {
    "1>0": "true",  # by place in the submenu, which the other kernel takes when it is installed
    "saved": f'grub-set-default "{ID.format("gnulinux-advanced-")}>{ID.format("gnulinux-RELEASE-advanced-")}"',
    "1>2": "true",  # a place that exists since then: after the other kernel and its recovery
    "0": "true",
}
DISPLACED = ("1>0", "0")  # those places are the other kernel's once it is installed


@pytest.fixture(scope="module")
def by_grub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("grub")
    made = debian_machine(Silent())
    computer = Computer("one", made.path / "disk.raw", made.path / "key", folder, Hardware())
    with start(computer) as one:
        release = one.run("uname -r").strip()
        give_archive(one, folder, [f"linux-image-{other_than(release)}"])
        yield one


def other_than(release: str) -> str:
    """Another kernel of Debian's for the same version: the one for virtual machines."""
    return release.replace("-amd64", "-cloud-amd64")


@pytest.mark.parametrize("default", DEFAULTS)
def test_another_kernel_is_booted_once_and_the_default_stays(
    default: str, by_grub: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    release = by_grub.run("uname -r").strip()
    other = other_than(release)
    setting = f"sed -i 's/^GRUB_DEFAULT=.*/GRUB_DEFAULT=\"{default}\"/' /etc/default/grub && update-grub"
    named = DEFAULTS[default].replace("RELEASE", release)
    if default in DISPLACED:
        by_grub.run(f"! dpkg -s linux-image-{other} 2>&1 >/dev/null || apt-get purge -qq -y linux-image-{other}", 900)
    by_grub.run(f"rm -f /etc/default/grub.d/orch.cfg; {setting} && {named}; grub-editenv - list", timeout_s=600)
    file = tmp_path / "by-grub.yaml"
    file.write_text(TESTBED.format(port=by_grub.port, key=by_grub.key, kernel=other))
    assert orch("testbed", "enroll", file, "--yes").returncode == 0
    told = " ".join(orch("doctor", "--testbed", file).stdout.split())
    assert "a run installs it, and restarts the host with it once" in told, told
    standing = load_testbed(str(file))
    assert isinstance(standing, SshTestbed)
    hosts = OpenSshTestbed(standing, Silent())
    hosts.take()
    try:
        hosts.boot_kernels()
        assert hosts.agents["one"].request(HelloRequest())["kernel_release"] == other
    finally:
        hosts.__exit__()
    assert "next_entry" not in by_grub.run("grub-editenv - list")
    by_grub.restart()
    assert by_grub.run("uname -r").strip() == release
