# SPDX-License-Identifier: Apache-2.0
"""Listing folders without silently leaving out what cannot be read, as `Path.glob`, `Path.rglob` and `os.walk` do."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator.paths import is_utf_8


def entries(folder: Path | str) -> list["os.DirEntry[str]"]:
    """Return the entries of a folder, sorted by name. Raises OSError if it cannot be read."""
    with os.scandir(folder) as found:
        return sorted(found, key=lambda entry: entry.name)


def ending_in(folder: Path, ending: str) -> list[Path]:
    """Return the paths in a folder whose names have an ending such as ``.yaml``, sorted; none if there is no folder.

    Hidden files are left out: some systems keep one beside each file. Raises OSError if the folder cannot be read.
    """
    try:
        names = [entry.name for entry in entries(folder)]
    except FileNotFoundError:
        return []
    return [folder / name for name in names if name.endswith(ending) and not name.startswith(".")]


def walk(folder: Path | str) -> Iterator["os.DirEntry[str]"]:
    """Yield everything below a folder, each folder before its content; links are not followed. Raises OSError if a
    folder cannot be read."""
    for entry in entries(folder):
        yield entry
        if entry.is_dir(follow_symlinks=False):
            yield from walk(entry.path)


def files_below(folder: Path) -> list[Path]:
    """Return the regular files below a folder, and links to such, sorted. Raises OSError if a folder cannot be read."""
    return sorted(Path(entry.path) for entry in walk(folder) if entry.is_file())


def sources_below(folder: Path) -> list[Path]:
    """Return `files_below`, except Python's caches."""
    return [file for file in files_below(folder) if "__pycache__" not in file.parts]


def named_in_utf8(files: list[Path], folder: Path) -> list[Path]:
    """Return the files below a folder. Raises OSError if the name of one is not UTF-8, so that it cannot be stored as
    text."""
    for file in files:
        if not is_utf_8(file.relative_to(folder)):
            raise OSError(errno.EILSEQ, "its name is not UTF-8", str(file))
    return files
