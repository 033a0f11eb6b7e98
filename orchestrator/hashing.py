# SPDX-License-Identifier: Apache-2.0
"""Hashes of files, which depend on names and contents but not on the location."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of a file's content as sha256sum prints it: 64 hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def hash_files(files: Iterable[Path], relative_to: Path) -> str:
    """Return a hash of the names, modes (executable or not) and contents of files: 64 hexadecimal digits."""
    return hash_contents(
        (str(file.relative_to(relative_to)), os.access(file, os.X_OK), file.read_bytes()) for file in sorted(files)
    )


def hash_contents(contents: Iterable[tuple[str, bool, bytes]]) -> str:
    """Return a hash of (path, whether it is executable, content) triples in this order: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path, executable, content in contents:
        about = f"{path}\0{'x' if executable else '-'}{len(content)}\0"
        digest.update(about.encode(errors="surrogateescape") + content)
    return digest.hexdigest()
