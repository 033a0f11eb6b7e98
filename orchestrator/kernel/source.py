# SPDX-License-Identifier: Apache-2.0
"""The kernel source: Debian's linux-source package, pinned, from the computer's own mirror or a local folder."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from orchestrator import cache
from orchestrator.debian import Version, private_apt
from orchestrator.errors import TestbedError
from orchestrator.hashing import sha256_of
from orchestrator.paths import KERNEL
from orchestrator.progress import Progress, Silent

PIN_FILE = KERNEL / "lab" / "source.yaml"


@dataclass(frozen=True, slots=True)
class Pin:
    """The wanted kernel source, as kernel/lab/source.yaml names it."""

    series: str
    package: str
    version: str
    sha256: str
    suites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class KernelSource:
    """An available tarball of the kernel source. ``pinned``: it is exactly the one in source.yaml."""

    tarball: Path
    version: str
    sha256: str
    pinned: bool


def pin() -> Pin:
    """Return the content of kernel/lab/source.yaml."""
    value = yaml.safe_load(PIN_FILE.read_bytes())
    return Pin(value["series"], value["package"], value["version"], value["sha256"], tuple(value["suites"]))


def version_key(version: str) -> tuple[int, ...]:
    """Return the upstream version numbers of a Debian kernel version, for sorting: '7.2.13-1~bpo13+1' -> (7, 2, 13)."""
    match = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in match[0].split(".")) if match else ()


def choose(wanted: Pin, available: list[Version]) -> Version | None:
    """Return the pinned version if it is available; else the newest patch level of its series; else the nearest later
    series. None if there is none of these."""
    exact = [v for v in available if v.package == wanted.package and v.version == wanted.version]
    same = [v for v in available if v.package == wanted.package]
    later = [v for v in available if version_key(v.version)[:2] > version_key(wanted.version)[:2]]
    if exact:
        return exact[0]
    if same:
        return max(same, key=lambda v: version_key(v.version))
    return min(later, key=lambda v: (version_key(v.version)[:2], [-n for n in version_key(v.version)]), default=None)


def _extract_tarball(package: Path, folder: Path) -> Path:
    """Return the tarball inside a linux-source .deb."""
    subprocess.run(["dpkg-deb", "--extract", package, folder / "x"], check=True, stdin=subprocess.DEVNULL)
    found = list((folder / "x/usr/src").glob("linux-source-*.tar.xz"))
    if not found:
        raise TestbedError(f"{package.name} holds no linux-source tarball; is it a linux-source package?")
    return found[0]


def _from_folder(folder: Path, wanted: Pin) -> KernelSource:
    """Return the source in ``folder`` (ORCH_SOURCE_DIR): a linux-source tarball or package. Raises TestbedError if
    there is none."""
    tarballs = sorted(folder.glob("linux-source-*.tar.xz"))
    packages = sorted(folder.glob("linux-source-*.deb"))
    for tarball in tarballs:
        digest = sha256_of(tarball)
        if digest == wanted.sha256:
            return KernelSource(tarball, wanted.version, digest, True)
    if not tarballs and not packages:
        raise TestbedError(
            f"ORCH_SOURCE_DIR is {folder}, which holds no linux-source-{wanted.series}.tar.xz and no "
            f"{wanted.package}_*.deb. Put one there (version {wanted.version}), or unset the variable."
        )
    if tarballs:
        match = re.fullmatch(r"linux-source-(.+)\.tar\.xz", tarballs[-1].name)
        return KernelSource(tarballs[-1], match[1] if match else "unknown", sha256_of(tarballs[-1]), False)

    def unpack(target: Path) -> Mapping[str, Any]:
        moved = _extract_tarball(packages[-1], target).rename(target / "source.tar.xz")
        shutil.rmtree(target / "x")
        digest = sha256_of(moved)
        return {"version": packages[-1].name.split("_")[1], "sha256": digest, "origin": "ORCH_SOURCE_DIR"}

    inputs = {"file": packages[-1].name, "size": packages[-1].stat().st_size}
    made = cache.obtain("kernel-source", inputs, unpack, Silent(), title="Unpacking", estimate_s=5)
    return _source_of(made, wanted)


def _source_of(product: cache.Product, wanted: Pin) -> KernelSource:
    facts = product.description["facts"]
    digest = facts["sha256"]
    return KernelSource(product.path / "source.tar.xz", facts["version"], digest, digest == wanted.sha256)


def obtain_source(progress: Progress) -> KernelSource:
    """Return the kernel source from ORCH_SOURCE_DIR, the cache or the mirror, in this order. Raises TestbedError
    immediately if nothing could be built from it."""
    cache.refuse_odd_path()
    wanted = pin()
    named = os.environ.get("ORCH_SOURCE_DIR", "").strip()
    if named:
        return _from_folder(Path(os.path.expanduser(named)), wanted)
    cached = [_source_of(p, wanted) for p in cache.products() if p.kind == "kernel-source"]
    for source in cached:
        if source.pinned:
            return source
    cache.refuse_unwritable()
    with private_apt(wanted.suites) as apt:
        progress.stage("Looking for the kernel source in Debian", 6)
        suites = apt.update()
        found = choose(wanted, apt.versions(r"linux-source-\d+\.\d+"))
        if found is None:
            if cached:
                return cached[0]
            raise TestbedError(
                f"The Debian mirror carries no kernel source of series {wanted.series} or later in "
                f"{', '.join(suites)}. Put {wanted.package} {wanted.version} into a folder and name it in "
                "ORCH_SOURCE_DIR, or import a cache archive made on another machine (orch cache import)."
            )

        def fetch(folder: Path) -> Mapping[str, Any]:
            package = apt.download(found.package, found.version, folder)
            _extract_tarball(package, folder).rename(folder / "source.tar.xz")
            package.unlink()
            shutil.rmtree(folder / "x")
            digest = sha256_of(folder / "source.tar.xz")
            if found.version == wanted.version and digest != wanted.sha256:
                raise TestbedError(
                    f"{found.package} {found.version} from the mirror has the SHA-256 {digest}, and "
                    f"kernel/lab/source.yaml pins {wanted.sha256}. It was not used. Try another mirror "
                    "(ORCH_DEBIAN_MIRROR)."
                )
            return {"version": found.version, "sha256": digest, "origin": f"Debian {found.suite}"}

        inputs = {"package": found.package, "version": found.version}
        title = f"Downloading the kernel source ({found.package} {found.version}, 160 MB)"
        source = _source_of(cache.obtain("kernel-source", inputs, fetch, progress, title=title, estimate_s=20), wanted)
    if not source.pinned:
        progress.message(
            f"The mirror no longer has the pinned kernel source {wanted.version}; {source.version} is used instead, "
            "if the patches apply and the lab's check passes. Results record it."
        )
    return source
