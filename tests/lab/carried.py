# SPDX-License-Identifier: Apache-2.0
"""Debian packages for a host without network: fetched here, carried there, installed there by apt as from a mirror."""

import hashlib
import subprocess
from collections.abc import Sequence
from pathlib import Path

from orchestrator.debian import PrivateApt

FOLDER = "/var/lib/carried"
SOURCE = f"deb [trusted=yes] file:{FOLDER} ./"


class Fetcher(PrivateApt):
    """apt-get as if it ran on the host, of which ``status`` is dpkg's own list of what is installed."""

    def fetch(self, packages: Sequence[str], status: str) -> list[Path]:
        """The packages and what they need beside what the host has, checked against Debian's signed lists."""
        (self._folder / "status").write_text(status)
        self.update()
        command = ("apt-get", "install", "-q", "--yes", "--download-only", "--no-install-recommends")
        self._run(*command, *packages)
        return sorted((self._folder / "cache" / "archives").glob("*.deb"))


def index_of(packages: Sequence[Path]) -> str:
    """What apt reads of an archive without a folder structure (its file Packages)."""
    entries = []
    for file in packages:
        fields = subprocess.run(["dpkg-deb", "--field", file], capture_output=True, text=True, check=True).stdout
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        entries.append(f"{fields}Filename: ./{file.name}\nSize: {file.stat().st_size}\nSHA256: {digest}\n")
    return "\n".join(entries)


def pack(packages: Sequence[Path], tar: Path) -> None:
    """One file with the packages and their index, for FOLDER on a host."""
    folder = packages[0].parent
    (folder / "Packages").write_text(index_of(packages))
    names = [file.name for file in packages]
    subprocess.run(["tar", "--create", "--file", tar, "--directory", folder, "Packages", *names], check=True)
