# SPDX-License-Identifier: Apache-2.0
"""The lab image: a Debian root file system for lab machines, built by mmdebstrap and mke2fs without mounts and without
root privileges.

The product ``lab-image`` has ``root.ext4`` (sparse) and ``packages.txt`` (every package with its version).
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.debian import named_packages, read_packages
from orchestrator.progress import Progress
from orchestrator.testbed.lab.image import build_image, disk_size

GUEST = Path(__file__).with_name("guest")
SUITES = ("trixie", "trixie-backports")
SIZE = "1G"


def image_inputs(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Return the inputs of the image. ``packages``: those of a testbed file, in addition to the lab's own."""
    further = named_packages(packages)
    named = {"packages": further} if further else {}
    size = disk_size(SIZE, further)
    return {"guest": cache.hash_tree(GUEST), "suites": list(SUITES), **named, "size": size, "form": 1}


def lab_image(progress: Progress, packages: Sequence[str] = ()) -> cache.Product:
    """Return the image, from the cache or built now (about a minute). Raises TestbedError if Debian lacks a package."""
    return cache.obtain(
        "lab-image",
        image_inputs(packages),
        lambda folder: _build(folder, named_packages(packages), progress),
        progress,
        title=f"Building the lab image (Debian {SUITES[0]})",
        estimate_s=80,
    )


def _build(folder: Path, further: Sequence[str], progress: Progress) -> Mapping[str, Any]:
    made = build_image(
        "lab image",
        folder,
        progress,
        files=[GUEST / "init", GUEST / "sshd_config"],
        suites=SUITES,
        packages=[*read_packages(GUEST / "packages.txt"), *further],
        hooks=[
            'rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/etc/ssh/ssh_host_*',
            'mkdir -p "$1"/etc/orch && cp sshd_config "$1"/etc/orch/ && install -m 755 init "$1"/sbin/orch-init',
        ],
        size=disk_size(SIZE, further),
    )
    tool = subprocess.run(["mmdebstrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {"built_with": tool, "suites": list(SUITES), **made}
