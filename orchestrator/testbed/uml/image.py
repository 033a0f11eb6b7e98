# SPDX-License-Identifier: Apache-2.0
"""The lab image: a Debian root file system for lab machines, built by mmdebstrap and mke2fs without mounts and without
root privileges.

The product ``lab-image`` has ``root.ext4`` (sparse) and ``packages.txt`` (every package with its version).
"""

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.debian import (
    DISK,
    copy_disk,
    disk_hook,
    mmdebstrap,
    named_packages,
    read_packages,
    shared_scratch,
    show_steps,
)
from orchestrator.paths import cache_home
from orchestrator.progress import Progress

GUEST = Path(__file__).with_name("guest")
SUITES = ("trixie", "trixie-backports")
SIZE = "1G"
LARGER_SIZE = "4G"  # with packages that a testbed file asks for; what is empty takes no room
# A disk over this image names it together with its time of change; a fixed time lets the image travel.
FIXED_TIME_S = 1_000_000_000
_LEFT_OUT = ("man", "doc", "info", "locale", "lintian", "zoneinfo", "bug")


def image_inputs(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return what the image is made from. ``packages``: those of a testbed file, in addition to the lab's own."""
    further = named_packages(packages)
    size = {"packages": further, "size": LARGER_SIZE} if further else {"size": SIZE}
    return {"guest": cache.hash_tree(GUEST), "suites": list(SUITES), **size, "form": 1}


def lab_image(progress: Progress, packages: Sequence[str] = ()) -> cache.Product:
    """Return the image, from the cache or built now (about a minute). Raises TestbedError for a package that Debian
    lacks."""
    return cache.obtain(
        "lab-image",
        image_inputs(packages),
        lambda folder: _build(folder, named_packages(packages), progress),
        progress,
        title=f"Building the lab image (Debian {SUITES[0]})",
        estimate_s=80,
    )


def _build(folder: Path, further: Sequence[str], progress: Progress) -> Mapping[str, Any]:
    with shared_scratch() as scratch:
        _debootstrap(scratch, further, folder / "build.log", progress)
        image = folder / DISK
        copy_disk(scratch / DISK, image)
        shutil.copyfile(scratch / "packages.txt", folder / "packages.txt")
    (folder / "build.log").unlink()
    os.utime(image, (FIXED_TIME_S, FIXED_TIME_S))
    tool = subprocess.run(["mmdebstrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "built_with": tool,
        "suites": list(SUITES),
        "used_bytes": image.stat().st_blocks * 512,
        "built_on": time.strftime("%Y-%m-%d"),
    }


def _debootstrap(scratch: Path, further: Sequence[str], log: Path, progress: Progress) -> None:
    """Build root.ext4 and packages.txt in ``scratch``."""
    tree = scratch / "tree"
    tree.mkdir()
    tree.chmod(0o777)
    for name in ("init", "sshd_config"):
        shutil.copy(GUEST / name, scratch)
    hooks = [
        'rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/etc/ssh/ssh_host_*',
        'mkdir -p "$1"/etc/orch && cp sshd_config "$1"/etc/orch/ && install -m 755 init "$1"/sbin/orch-init',
        "chroot \"$1\" dpkg-query -W -f '${Package} ${Version}\\n' >packages.txt",
        disk_hook(LARGER_SIZE if further else SIZE),
    ]

    mmdebstrap(
        scratch,
        SUITES,
        [*read_packages(GUEST / "packages.txt"), *further],
        hooks,
        log,
        variant="essential",
        left_out=_LEFT_OUT,
        what="Building the lab image with mmdebstrap",
        on_line=show_steps(progress),
        keep_log=cache_home() / "logs" / "lab-image.log",
        environment={"SOURCE_DATE_EPOCH": str(FIXED_TIME_S)},
    )
