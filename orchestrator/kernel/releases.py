# SPDX-License-Identifier: Apache-2.0
"""Building wireguard.ko for Debian's own kernels: kernel/releases.yaml.

The product ``release-module`` has ``wireguard.ko``, stripped, and ``netns.sh``, WireGuard's own test of that kernel. It
is built in a temporary root file system of the release, with that release's compiler, headers and kernel source.
"""

import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator import cache
from orchestrator.debian import mmdebstrap, shared_scratch
from orchestrator.errors import UserError
from orchestrator.hashing import hash_files
from orchestrator.kernel.builds import Build
from orchestrator.kernel.elf import build_id
from orchestrator.paths import KERNEL, cache_home
from orchestrator.progress import Progress

RELEASES_FILE = KERNEL / "releases.yaml"
_SCRIPT = KERNEL / "build-module.sh"


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian kernel: the suites of its root file system, and the packages of the kernel, its headers and its
    source."""

    name: str
    suites: tuple[str, ...]
    image: str
    headers: str
    source: str


def load_releases() -> dict[str, Release]:
    """Return all releases by name."""
    content: dict[str, Any] = yaml.safe_load(RELEASES_FILE.read_bytes())
    return {
        name: Release(name, tuple(entry["suites"]), entry["image"], entry["headers"], entry["source"])
        for name, entry in content.items()
    }


def _inputs(release: Release, build: Build) -> dict[str, Any]:
    return {
        "packages": [*release.suites, release.headers, release.source],
        "build": build.name,
        "own": build.digest,
        "script": hash_files([_SCRIPT], KERNEL),
    }


def cached_release_module(release: Release, build: Build) -> cache.Product | None:
    """Return the cached wireguard.ko of a build for a release, or None if it has not been built."""
    return cache.find("release-module", cache.key_of(_inputs(release, build)))


def release_module(name: str, build: Build, progress: Progress) -> cache.Product:
    """Return wireguard.ko of a build for one of Debian's kernels, from the cache or built now. Its facts include the
    build id and the exact release. Raises UserError if there is no kernel with that name."""
    releases = load_releases()
    if name not in releases:
        raise UserError(f"There is no kernel {name!r} to build for. {RELEASES_FILE.name} has: {', '.join(releases)}.")
    release = releases[name]
    return cache.obtain(
        "release-module",
        _inputs(release, build),
        lambda folder: _build(release, build, folder, progress),
        progress,
        title=f"Building the wireguard module ({build.name}) for {name}",
        estimate_s=90,
    )


def _build(release: Release, build: Build, folder: Path, progress: Progress) -> Mapping[str, Any]:
    with shared_scratch() as scratch:
        tree = scratch / "build"
        tree.mkdir()
        shutil.copy(_SCRIPT, tree)
        if build.patched:
            build.write(tree / "own")
        script = f"cd /build && ./{_SCRIPT.name}" + (" own" if build.patched else "")
        hooks = [
            f'cp -r build "$1"/build && chroot "$1" sh -c {shlex.quote(script)}',
            'cp "$1"/build/wireguard.ko "$1"/build/netns.sh "$1"/build/release .',
        ]
        mmdebstrap(
            scratch,
            release.suites,
            (release.headers, release.source, "make", "gcc", "patch", "xz-utils"),
            hooks,
            folder / "build.log",
            variant="apt",
            left_out=["doc"],
            what=f"Building the wireguard module for {release.name}",
            on_line=lambda line: progress.detail(line[:70]),
            keep_log=cache_home() / "logs" / f"wireguard-{build.name}-{release.name}.log",
        )
        for name in ("wireguard.ko", "netns.sh"):
            shutil.copyfile(scratch / name, folder / name)
        exact = (scratch / "release").read_text().strip()
    (folder / "build.log").unlink()
    return {"build_id": build_id(folder / "wireguard.ko"), "release": exact, "build": build.name, "for": release.name}
