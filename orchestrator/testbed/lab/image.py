# SPDX-License-Identifier: Apache-2.0
"""Images of machines in a lab: a Debian root file system, built by mmdebstrap and mke2fs without mounts and without
root privileges."""

import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.debian import DISK, copy_disk, disk_hook, mmdebstrap, shared_scratch, show_steps
from orchestrator.paths import cache_home
from orchestrator.progress import Progress

_LARGER_SIZE = "4G"  # with the packages of a testbed file; empty space takes no room
_LEFT_OUT = ("man", "doc", "info", "locale", "lintian", "zoneinfo", "bug")
_LIST_PACKAGES = "chroot \"$1\" dpkg-query -W -f '${Package} ${Version}\\n' >packages.txt"
# A copy-on-write disk refers to its image by name and modification time; a fixed time makes the image portable.
FIXED_TIME_S = 1_000_000_000


def disk_size(usual: str, packages: Sequence[str]) -> str:
    """Return the size of an image's disk: the ``usual`` one, or with packages of a testbed file a larger one."""
    return _LARGER_SIZE if packages else usual


def build_image(
    name: str,
    folder: Path,
    progress: Progress,
    *,
    files: Sequence[Path],
    suites: Sequence[str],
    packages: Sequence[str],
    hooks: Sequence[str],
    size: str,
    environment: Mapping[str, str] | None = None,
    take: Callable[[Path], None] = lambda scratch: None,
) -> dict[str, Any]:
    """Build a root file system: root.ext4 and packages.txt in ``folder``. Return the size and the date of the image.

    ``name``: the image's name in messages, such as "lab image"; ``hooks``: commands that have the new root in $1, in a
    folder that contains ``files``; ``size``: of the disk, such as 1G; ``take``: takes further files from the hooks'
    folder before it is removed. Raises TestbedError.
    """
    log = folder / "build.log"
    with shared_scratch() as scratch:
        tree = scratch / "tree"
        tree.mkdir()
        tree.chmod(0o777)
        for file in files:
            shutil.copy(file, scratch)
        mmdebstrap(
            scratch,
            suites,
            packages,
            [*hooks, _LIST_PACKAGES, disk_hook(size)],
            log,
            variant="essential",
            left_out=_LEFT_OUT,
            what=f"Building the {name} with mmdebstrap",
            on_line=show_steps(progress),
            keep_log=cache_home() / "logs" / f"{name.replace(' ', '-')}.log",
            environment={"SOURCE_DATE_EPOCH": str(FIXED_TIME_S), **(environment or {})},
        )
        copy_disk(scratch / DISK, folder / DISK)
        shutil.copyfile(scratch / "packages.txt", folder / "packages.txt")
        take(scratch)
    log.unlink()
    os.utime(folder / DISK, (FIXED_TIME_S, FIXED_TIME_S))
    return {"used_bytes": (folder / DISK).stat().st_blocks * 512, "built_on": time.strftime("%Y-%m-%d")}
