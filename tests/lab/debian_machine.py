# SPDX-License-Identifier: Apache-2.0
"""A plain Debian machine: a partitioned disk with GRUB in it, systemd, sshd and Debian's kernel, as an installer would
leave it. The project knows nothing of it: to orch it is a host like any other.

The product ``debian-machine`` has ``disk.raw`` (sparse) and ``key``, which logs in as root. The disk is made as guest
images are, by mmdebstrap; then the machine is started once, and GRUB's own programs put GRUB onto its disk.
"""

import os
import shutil
import struct
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.debian import DISK, disk_hook, mmdebstrap, shared_scratch
from orchestrator.kernel.releases import load_releases
from orchestrator.paths import cache_home
from orchestrator.progress import Progress
from orchestrator.testbed.qemu.image import GUEST
from tests.lab.carried import FOLDER, SOURCE, Fetcher, pack
from tests.lab.computers import Computer, Hardware, Running, start

RELEASE = "trixie-6.12"
_SIZE_MIB = 4096
_START_MIB = 1  # of the partition; GRUB's core is before it
_SYSTEM = ("apt", "e2fsprogs", "grub-pc", "initramfs-tools", "irqbalance", "openssh-server", "python3-apt", "sudo")
_INIT = ("systemd-sysv", "udev")
# What provisioning would install: a machine that is emulated takes minutes for it.
_TOOLS = ("ethtool", "iperf3", "iproute2", "iptables", "kmod", "nftables", "pciutils", "procps", "python3")
_LEFT_OUT = ("man", "doc", "info", "locale", "lintian", "zoneinfo", "bug")
# Jobs of Debian's that would start beside a trial.
_TIMERS = ("apt-daily", "apt-daily-upgrade", "dpkg-db-backup", "e2scrub_all", "fstrim", "systemd-tmpfiles-clean")
# QEMU's user-mode network gives its one machine this address.
_NETWORK = "[Match]\\nName=mgmt\\n[Network]\\nAddress=10.0.2.15/24\\nGateway=10.0.2.2\\nIPv6AcceptRA=no\\n"
_NAME = "[Match]\\nMACAddress=02:00:00:00:00:01\\n[Link]\\nName=mgmt\\n"
_GRUB = (
    "GRUB_DEFAULT=0\\nGRUB_TIMEOUT=0\\nGRUB_DISTRIBUTOR=Debian\\nGRUB_TERMINAL=serial\\nGRUB_DISABLE_OS_PROBER=true\\n"
    'GRUB_CMDLINE_LINUX="console=ttyS0 quiet mitigations=off systemd.service_watchdogs=no"\\n'
)
# On a computer that does other things too, an emulated machine takes minutes for what systemd gives 90 s.
_PATIENCE = "[Manager]\\nDefaultTimeoutStartSec=15min\\nDefaultDeviceTimeoutSec=15min\\n"
_HOOKS = [
    # What is done in the new root ($1), from a folder with the files of guest/ and a public key.
    'install -D -m 600 key.pub "$1"/root/.ssh/authorized_keys && ssh-keygen -q -A -f "$1"',
    'echo debian >"$1"/etc/hostname && printf "127.0.0.1 localhost\\n127.0.1.1 debian\\n" >"$1"/etc/hosts',
    f'printf "{_NETWORK}" >"$1"/etc/systemd/network/50-mgmt.network',
    f'printf "{_NAME}" >"$1"/etc/systemd/network/50-mgmt.link',
    f'mkdir "$1"/etc/systemd/system.conf.d && printf "{_PATIENCE}" >"$1"/etc/systemd/system.conf.d/slow.conf',
    'chroot "$1" systemctl -q enable systemd-networkd ssh',
    'chroot "$1" systemctl -q disable systemd-networkd-wait-online',
    f'chroot "$1" systemctl -q mask {" ".join(f"{name}.timer" for name in _TIMERS)} 2>&1',
    'echo "/dev/vda1 / ext4 defaults 0 1" >"$1"/etc/fstab',
    f"printf '{_GRUB}' >\"$1\"/etc/default/grub",
    # The few modules are listed, so nothing has to find out which are needed, which takes long when emulated.
    'cp modules.txt "$1"/etc/initramfs-tools/modules && cp initramfs.conf "$1"/etc/initramfs-tools/conf.d/few',
    'ls "$1"/lib/modules >release && chroot "$1" update-initramfs -c -k "$(cat release)"',
    'cp "$1"/boot/vmlinuz-* vmlinuz && cp "$1"/boot/initrd.img-* initrd',
    'rm -rf "$1"/var/cache/apt/archives/*.deb "$1"/var/lib/apt/lists/*',
    disk_hook(f"{_SIZE_MIB - _START_MIB - 1}M"),
]


def debian_machine(progress: Progress) -> cache.Product:
    """The disk, from the cache or made now (some minutes); its facts have the exact kernel release."""
    inputs = {
        "hooks": _HOOKS,
        "packages": [*_SYSTEM, *_INIT, *_TOOLS],
        "suites": list(load_releases()[RELEASE].suites),
        "files": cache.hash_tree(GUEST),
        "form": 1,
    }
    title = "Making a plain Debian machine with GRUB"
    return cache.obtain("debian-machine", inputs, _build, progress, title=title, estimate_s=240)


def _partitioned() -> bytes:
    """The first sector of a disk with one partition of Linux, which is marked as the one to boot. The cylinders are
    those that say nothing. UEFI specification, 5.2.1 "Legacy Master Boot Record"."""
    sectors = 2**20 // 512
    count = (_SIZE_MIB - _START_MIB - 1) * sectors
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", 0x83, b"\xfe\xff\xff", _START_MIB * sectors, count)
    return bytes(446) + entry + bytes(48) + b"\x55\xaa"


def _build(folder: Path) -> Mapping[str, Any]:
    release = load_releases()[RELEASE]
    disk = folder / "disk.raw"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "lab", "-f", folder / "key"], check=True)
    with shared_scratch() as scratch:
        tree = scratch / "tree"
        tree.mkdir()
        tree.chmod(0o777)
        for file in (folder / "key.pub", GUEST / "modules.txt", GUEST / "initramfs.conf"):
            shutil.copy(file, scratch)
        mmdebstrap(
            scratch,
            release.suites,
            [*_SYSTEM, *_INIT, *_TOOLS, release.image],
            _HOOKS,
            folder / "build.log",
            variant="essential",
            left_out=_LEFT_OUT,
            what="Making a plain Debian machine with mmdebstrap",
            on_line=lambda line: None,
            keep_log=cache_home() / "logs" / "debian-machine.log",
            environment={"INITRD": "No", "DEBIAN_FRONTEND": "noninteractive"},
        )
        with disk.open("wb") as file:
            file.truncate(_SIZE_MIB * 2**20)
            file.write(_partitioned())
        into = ["dd", f"if={scratch / DISK}", f"of={disk}", "bs=1M", f"seek={_START_MIB}", "conv=notrunc,sparse"]
        subprocess.run([*into, "status=none"], check=True)
        exact = (scratch / "release").read_text().strip()
        kernel = ["-kernel", str(scratch / "vmlinuz"), "-initrd", str(scratch / "initrd")]
        kernel += ["-append", "root=/dev/vda1 rw console=ttyS0 quiet mitigations=off systemd.service_watchdogs=no"]
        with start(Computer("debian", disk, folder / "key", folder, Hardware(more=kernel, writable=True))) as machine:
            machine.run("grub-install --no-floppy /dev/vda && update-grub", timeout_s=600)
            machine.shut_down()
    (folder / "build.log").unlink()
    for left in folder.glob("debian*"):
        os.unlink(left)
    return {"kernel_release": exact}


def give_archive(one: Running, folder: Path, packages: Sequence[str]) -> None:
    """Give a running one, which has no mirror, an archive on its disk with packages, and with what these need."""
    apt = folder / "apt"
    apt.mkdir()
    found = Fetcher(apt, load_releases()[RELEASE].suites).fetch(packages, one.run("cat /var/lib/dpkg/status"))
    pack(found, folder / "carried.tar")
    sources = f"rm -rf /etc/apt/sources.list.d/*; echo '{SOURCE}' >/etc/apt/sources.list"
    one.run(f"mkdir -p {FOLDER} && tar -x -C {FOLDER} && {sources}", 1200, folder / "carried.tar")
