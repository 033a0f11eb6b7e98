# SPDX-License-Identifier: Apache-2.0
"""The lab image: a Debian root file system for lab machines, made by mmdebstrap and mke2fs, without a mount or root.

The product ``lab-image`` has ``root.ext4`` (sparse) and ``packages.txt`` (every package with its version).
"""

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.debian import mmdebstrap, shared_scratch
from orchestrator.paths import cache_home
from orchestrator.progress import Progress

GUEST = Path(__file__).with_name("guest")
SUITES = ("trixie", "trixie-backports")
SIZE = "1G"
# A disk over this image names it together with its time of change; a fixed time lets the image travel.
FIXED_TIME_S = 1_000_000_000
_LEFT_OUT = ("man", "doc", "info", "locale", "lintian", "zoneinfo", "bug")
_STEPS = (
    "running apt-get update",
    "downloading packages",
    "extracting",
    "installing",
    "customize-hook",
    "cleaning",
)


def _packages() -> list[str]:
    lines = (line.split("#")[0].strip() for line in (GUEST / "packages.txt").read_text().splitlines())
    return [line for line in lines if line]


def image_inputs() -> dict[str, Any]:
    """What the image is made from."""
    return {"guest": cache.hash_tree(GUEST), "suites": list(SUITES), "size": SIZE, "form": 1}


def lab_image(progress: Progress) -> cache.Product:
    """The image, from the cache or built now (about a minute)."""
    return cache.obtain(
        "lab-image",
        image_inputs(),
        lambda folder: _build(folder, progress),
        progress,
        title=f"Building the lab image (Debian {SUITES[0]})",
        estimate_s=80,
    )


def _build(folder: Path, progress: Progress) -> Mapping[str, Any]:
    with shared_scratch() as scratch:
        _debootstrap(scratch, folder / "build.log", progress)
        image = folder / "root.ext4"
        copy = ["cp", "--sparse=always", str(scratch / "root.ext4"), str(image)]
        subprocess.run(copy, check=True, stdin=subprocess.DEVNULL)
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


def _debootstrap(scratch: Path, log: Path, progress: Progress) -> None:
    """Make root.ext4 and packages.txt in ``scratch``."""
    tree = scratch / "tree"
    tree.mkdir()
    tree.chmod(0o777)
    for name in ("init", "sshd_config"):
        shutil.copy(GUEST / name, scratch)
    # A hook runs where the new root belongs to root; a plain bind leaves out what is mounted inside it.
    bind = 'mount --bind "$1" tree && mke2fs -q -t ext4 -O ^has_journal -m 0'
    bind += " -E root_owner=0:0,lazy_itable_init=0 -d tree root.ext4"
    hooks = [
        'rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/etc/ssh/ssh_host_*',
        'mkdir -p "$1"/etc/orch && cp sshd_config "$1"/etc/orch/ && install -m 755 init "$1"/sbin/orch-init',
        "chroot \"$1\" dpkg-query -W -f '${Package} ${Version}\\n' >packages.txt",
        f'truncate -s {SIZE} root.ext4 && unshare --mount sh -c {shlex.quote(bind)} sh "$1"',
    ]

    def show(line: str) -> None:
        if line.startswith("I: ") and any(step in line for step in _STEPS):
            progress.detail(line[3:60].split(" in shell")[0])

    mmdebstrap(
        scratch,
        SUITES,
        _packages(),
        hooks,
        log,
        variant="essential",
        left_out=_LEFT_OUT,
        what="Building the lab image with mmdebstrap",
        on_line=show,
        keep_log=cache_home() / "logs" / "lab-image.log",
        environment={"SOURCE_DATE_EPOCH": str(FIXED_TIME_S)},
    )
