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
from orchestrator.commands import run_logged
from orchestrator.debian import keyring, mirror
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
    work = folder / "work"
    work.mkdir()
    tree = work / "tree"
    tree.mkdir()
    sources = work / "sources.list"
    signed = f"[signed-by={keyring()}]"
    sources.write_text("".join(f"deb {signed} {mirror()} {suite} main\n" for suite in SUITES))
    image = folder / "root.ext4"
    # A hook runs where the new root belongs to root; a plain bind leaves out what is mounted inside it.
    make_image = (
        f"truncate -s {SIZE} {shlex.quote(str(image))} && unshare --mount sh -c "
        + shlex.quote(
            f'mount --bind "$1" {shlex.quote(str(tree))} && mke2fs -q -t ext4 -O ^has_journal -m 0 '
            f"-E root_owner=0:0,lazy_itable_init=0 -d {shlex.quote(str(tree))} {shlex.quote(str(image))}"
        )
        + ' sh "$1"'
    )
    hooks = [
        'rm -rf "$1"/var/cache/* "$1"/var/lib/apt/lists/* "$1"/var/log/* "$1"/etc/ssh/ssh_host_*',
        f'mkdir -p "$1"/etc/orch && cp {shlex.quote(str(GUEST / "sshd_config"))} "$1"/etc/orch/',
        f'install -m 755 {shlex.quote(str(GUEST / "init"))} "$1"/sbin/orch-init',
        "chroot \"$1\" dpkg-query -W -f '${Package} ${Version}\\n' > " + shlex.quote(str(folder / "packages.txt")),
        make_image,
    ]
    command = [
        "mmdebstrap",
        "--mode=" + ("root" if os.geteuid() == 0 else "auto"),
        "--variant=essential",
        "--architectures=amd64",
        "--include=" + ",".join(_packages()),
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT),
        *(f"--customize-hook={hook}" for hook in hooks),
        "--format=null",
        SUITES[0],
        "-",
        str(sources),
    ]
    log = folder / "build.log"

    def show(line: str) -> None:
        if line.startswith("I: ") and any(step in line for step in _STEPS):
            progress.detail(line[3:60].split(" in shell")[0])

    if os.geteuid() != 0:
        # Another user id inside mmdebstrap's user namespace must reach and write these folders.
        for path in (folder, work, tree):
            path.chmod(0o777)
    run_logged(
        command,
        log,
        what="Building the lab image with mmdebstrap",
        environment={"SOURCE_DATE_EPOCH": str(FIXED_TIME_S), "TMPDIR": _scratch()},
        on_line=show,
        keep_log=cache_home() / "logs" / "lab-image.log",
    )
    shutil.rmtree(work)
    log.unlink()
    folder.chmod(0o755)
    os.utime(image, (FIXED_TIME_S, FIXED_TIME_S))
    tool = subprocess.run(["mmdebstrap", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    used = image.stat().st_blocks * 512
    return {
        "built_with": tool,
        "mirror_suites": list(SUITES),
        "used_bytes": used,
        "built_on": time.strftime("%Y-%m-%d"),
    }


def _scratch() -> str:
    """A folder for mmdebstrap that other user ids may pass through, which a home folder often forbids."""
    return os.environ.get("TMPDIR", "/var/tmp")
