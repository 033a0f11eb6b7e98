# SPDX-License-Identifier: Apache-2.0
"""Guest images: a Debian root file system with Debian's own kernel, built without mounts and without root privileges.

The product ``guest-image`` has ``root.ext4`` (sparse, no partition table), the ``vmlinuz`` and ``initrd`` that boot
from it, and ``packages.txt`` (every package with its version).
"""

import gzip
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.debian import named_packages, read_packages
from orchestrator.hashing import hash_files
from orchestrator.kernel.releases import Release
from orchestrator.progress import Progress
from orchestrator.testbed.lab.image import build_image, disk_size
from orchestrator.testbed.uml.image import GUEST as LAB_GUEST

GUEST = Path(__file__).with_name("guest")
SIZE = "2G"
# Packages in addition to the tools, which the lab image has too.
_SYSTEM = ("acpid", "initramfs-tools", "kmod", "sudo", "systemd-sysv", "udev")
_MACHINE_ID = "6f7263682d67756573742d696d616765"  # arbitrary; without one, each boot would count as the first


def _packages(release: Release, further: Sequence[str]) -> list[str]:
    # Each release has its own versions of the tools, so the suites that the lab names for some are dropped.
    tools = [package.partition("/")[0] for package in read_packages(LAB_GUEST / "packages.txt")]
    return [*dict.fromkeys([*tools, *_SYSTEM, *named_packages(further)]), release.image]


def image_inputs(release: Release, packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the inputs of the image. ``packages``: those of a testbed file, in addition to the lab's own."""
    return {
        "guest": cache.hash_tree(GUEST),
        "sshd": hash_files([LAB_GUEST / "sshd_config"], LAB_GUEST),
        "packages": _packages(release, packages),
        "suites": list(release.suites),
        "size": disk_size(SIZE, packages),
        "form": 2,
    }


def guest_image(release: Release, progress: Progress, packages: Sequence[str] = ()) -> cache.Product:
    """Return the image of a release, from the cache or built now (two minutes). Its facts have the exact kernel
    release."""
    return cache.obtain(
        "guest-image",
        image_inputs(release, packages),
        lambda folder: _build(release, packages, folder, progress),
        progress,
        title=f"Building the guest image {release.name}",
        estimate_s=120,
    )


def cached_image(release: Release) -> cache.Product | None:
    """Return the cached image of a release, or None if it has not been built."""
    return cache.find("guest-image", cache.key_of(image_inputs(release)))


def _build(release: Release, packages: Sequence[str], folder: Path, progress: Progress) -> Mapping[str, Any]:
    exact = []

    def take(scratch: Path) -> None:
        shutil.copyfile(scratch / "vmlinuz", folder / "vmlinuz")
        (folder / "initrd").write_bytes(unpacked((scratch / "initrd").read_bytes()))
        exact.append((scratch / "release").read_text().strip())

    made = build_image(
        f"guest image {release.name}",
        folder,
        progress,
        files=[LAB_GUEST / "sshd_config", *GUEST.iterdir()],
        suites=release.suites,
        packages=_packages(release, packages),
        hooks=_HOOKS,
        size=disk_size(SIZE, packages),
        # Keeps Debian's kernel package from making an initrd, which would contain every module.
        environment={"INITRD": "No"},
        take=take,
    )
    return {"kernel_release": exact[0], "for": release.name, **made}


def unpacked(initrd: bytes) -> bytes:
    """Return an initrd of initramfs-tools (uncompressed archives, then a compressed one) with no part compressed.

    An emulated processor would need seconds to unpack it. Format: the kernel's
    driver-api/early-userspace/buffer-format.
    """
    at = 0
    while initrd[at : at + 6] == b"070701":
        at = initrd.index(b"TRAILER!!!", at) + 10
        at += len(initrd) - at - len(initrd[at:].lstrip(b"\0"))
    return initrd[:at] + gzip.decompress(initrd[at:])


# Commands to run in the new root ($1), from a folder with the files of guest/.
_HOOKS = [
    'mkdir -p "$1"/etc/orch/power && cp sshd_config "$1"/etc/orch/ && cp power-button "$1"/etc/orch/power/',
    'install -m 755 orch-guest "$1"/usr/local/sbin/ && cp orch*.service orch.target "$1"/etc/systemd/system/',
    'ln -sf /etc/systemd/system/orch.target "$1"/etc/systemd/system/default.target',
    # Disables generators, which find units for an unknown computer; here all units are known.
    'mkdir "$1"/etc/systemd/system-generators && for file in "$1"/usr/lib/systemd/system-generators/*; do '
    'ln -s /dev/null "$1"/etc/systemd/system-generators/"${file##*/}"; done',
    f'echo {_MACHINE_ID} >"$1"/etc/machine-id && echo guest >"$1"/etc/hostname && : >"$1"/etc/resolv.conf',
    'cp modules.txt "$1"/etc/initramfs-tools/modules && cp initramfs.conf "$1"/etc/initramfs-tools/conf.d/orch',
    # The few modules needed are listed, because detecting them takes long when emulated.
    'rm -f "$1"/usr/share/initramfs-tools/hooks/udev "$1"/usr/share/initramfs-tools/scripts/init-*/udev',
    'install -m 755 probe "$1"/etc/initramfs-tools/scripts/init-top/orch-probe',
    'ls "$1"/lib/modules >release && chroot "$1" update-initramfs -c -k "$(cat release)"',
    'cp "$1"/boot/vmlinuz-* vmlinuz && cp "$1"/boot/initrd.img-* initrd',
    'rm -rf "$1"/boot/* "$1"/initrd.img* "$1"/vmlinuz* "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/*',
    'rm -rf "$1"/etc/ssh/ssh_host_*',
]
