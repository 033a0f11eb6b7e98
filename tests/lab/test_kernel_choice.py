# SPDX-License-Identifier: Apache-2.0
"""A host that is asked to run another kernel: a guest that boots by GRUB, with Debian's own menu and packages."""

import subprocess
from pathlib import Path

import pytest

from orchestrator.debian import DISK, copy_disk
from orchestrator.kernel.releases import load_releases
from orchestrator.progress import Silent
from orchestrator.spec import SshTestbed, load_testbed
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.lab.standing import bring_up
from orchestrator.testbed.qemu import machine
from orchestrator.testbed.qemu.disk import BOOT_TIMEOUT_S, GuestProducts
from orchestrator.testbed.qemu.machine import Guest
from orchestrator.testbed.qemu.provider import GuestMachines
from orchestrator.testbed.ssh.provider import HostsTestbed
from tests.lab.carried import FOLDER, SOURCE, Fetcher, pack
from tests.lab.support import ORCH, orch, wait_until
from tests.lab.test_guests_as_hosts import ONE, ONE_GUEST

GRUB = Path("/usr/lib/grub/i386-pc")
pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
    pytest.mark.skipif(not (GRUB / "lnxboot.img").is_file(), reason="GRUB (grub-pc-bin) is not on this computer"),
]
MODULES = "biosdisk ext2 part_msdos part_gpt gzio normal configfile linux loadenv search search_fs_uuid test echo sleep"
SETTINGS = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_TERMINAL=console
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX="{words}"
"""


class BootsByGrub:
    """A guest whose firmware starts GRUB, which does the rest from the guest's own disk. ``direct``: its kernel is
    started by QEMU instead, while its disk has no menu yet."""

    def __init__(self, folder: Path, products: GuestProducts, accelerator: str) -> None:
        self.direct = True
        self._folder, self._products, self._accelerator = folder, products, accelerator
        self.disk = folder / "grub.ext4"
        copy_disk(products.disk.path / DISK, self.disk)
        core = folder / "core.img"
        command = ["grub-mkimage", "-O", "i386-pc", "-p", "(hd0)/boot/grub", "-o", core, *MODULES.split()]
        subprocess.run(command, check=True)
        # A loader that looks like a kernel, for firmware that starts those.
        (folder / "grub").write_bytes((GRUB / "lnxboot.img").read_bytes() + core.read_bytes())

    @property
    def guest(self) -> Guest:
        image = self._products.image.path
        kernel = image / "vmlinuz" if self.direct else self._folder / "grub"
        return Guest("guest1", 1, kernel, image / "initrd", self.disk, 1, 2**30, self._accelerator, writable=True)

    def boot(self, lab: Lab, number: int, cores: int) -> None:
        machine.boot(lab, self.guest)

    def wait(self, lab: Lab, name: str) -> None:
        machine.wait_until_up(lab, name, BOOT_TIMEOUT_S[self._accelerator])


def on(script: str) -> str:
    return orch("lab", "shell", "guest1", script).stdout.strip()


def send(script: str, file: Path) -> None:
    with file.open("rb") as data:
        subprocess.run([*ORCH, "lab", "shell", "guest1", script], stdin=data, check=True, timeout=900)


def test_another_kernel_is_booted_once_and_the_default_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    (tmp_path / "one.yaml").write_text(ONE_GUEST)
    bed = load_testbed(str(tmp_path / "one.yaml"))
    machines = GuestMachines(bed, Silent())  # type: ignore[arg-type]
    products = machines.products["trixie-6.12"]
    own = BootsByGrub(tmp_path, products, machines.accelerator.name)
    release = str(products.image.description["facts"]["kernel_release"])
    other = release.replace("-amd64", "-cloud-amd64")
    lab = bring_up(bed, lambda: own, 1, Silent())  # type: ignore[arg-type]
    try:
        # What Debian's installer would have left: the kernel in /boot, GRUB's tools, and its menu.
        status = on("cat /var/lib/dpkg/status")
        carry(tmp_path / "a", ["apt", "python3-apt", "grub2-common"], status)
        send(f"mkdir -p {FOLDER} && tar -x -C {FOLDER} && dpkg --install {FOLDER}/*.deb >/dev/null", tmp_path / "a.tar")
        for file, name in (("vmlinuz", "vmlinuz"), ("initrd", "initrd.img")):
            send(f"cat >/boot/{name}-{release}", products.image.path / file)
        words = " ".join(machine.command_line(own.guest).split()[1:])
        (tmp_path / "grub-settings").write_text(SETTINGS.format(words=words))
        send("mkdir -p /boot/grub && cat >/etc/default/grub && update-grub", tmp_path / "grub-settings")
        carry(tmp_path / "b", [f"linux-image-{other}"], on("cat /var/lib/dpkg/status"))
        folders = f"/var/cache/apt/archives/partial /var/cache/debconf {FOLDER}"
        script = f"rm -rf {FOLDER} /etc/apt/sources.list.d/*; mkdir -p {folders} && tar -x -C {FOLDER}"
        send(f"{script} && echo '{SOURCE}' >/etc/apt/sources.list", tmp_path / "b.tar")
        machine.shut_down(lab, "guest1")
        own.direct = False
        own.boot(lab, 1, 1)
        own.wait(lab, "guest1")
        assert on("uname -r") == release

        text = ONE.replace("server]}", f"server], kernel: {other}}}")
        file = tmp_path / "standing.yaml"
        file.write_text(text.replace("INVENTORY", orch("lab", "inventory").stdout.strip()))
        assert orch("testbed", "enroll", file, "--yes").returncode == 0
        told = orch("doctor", "--testbed", file).stdout
        assert "a run installs it" in " ".join(told.split()), told
        standing = load_testbed(str(file))
        assert isinstance(standing, SshTestbed)
        hosts = HostsTestbed(standing, Silent())
        hosts.take()
        try:
            hosts.boot_kernels()
            assert hosts.agents["guest1"].request("hello")["kernel_release"] == other
        finally:
            hosts.__exit__()
        assert on("grub-editenv - list") == ""
        boot_id = on("cat /proc/sys/kernel/random/boot_id")
        on("(sleep 0.5; systemctl reboot) >/dev/null 2>&1 &")
        wait_until(lambda: on("cat /proc/sys/kernel/random/boot_id") not in ("", boot_id), 300, "it is back")
        assert on("uname -r") == release
    finally:
        lab.close()


def carry(folder: Path, packages: list[str], status: str) -> None:
    """Packages and what they need, in one tar file beside the folder."""
    folder.mkdir()
    pack(Fetcher(folder, load_releases()["trixie-6.12"].suites).fetch(packages, status), folder.with_suffix(".tar"))
