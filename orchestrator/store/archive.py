# SPDX-License-Identifier: Apache-2.0
"""Reading a run from an archive, as `orch export` writes one: it is unpacked, so that all else sees a folder.

An archive may come from anybody. Nothing in it is written outside the folder that it is unpacked to, nothing in it is
executed, and one that would fill the disk is refused before it does.
"""

import atexit
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from orchestrator.errors import UserError

SUMS = "SHA256SUMS"
_MOST_FILES = 1_000_000
# A run's files become 5 to 30 times as large; what becomes much larger than that was made to fill a disk.
_MOST_GROWTH = 200
_SMALL_BYTES = 64 * 2**20
_HELD_BACK_BYTES = 256 * 2**20  # of the disk, for everybody else
_PIECE_BYTES = 2**20

_opened: dict[tuple[int, ...], Path] = {}


def open_archive(path: Path) -> Path:
    """A private folder with the content of an archive; it goes with this process.

    Asked again for the same file, it is the same folder. Raises UserError where the file is no archive, is damaged, or
    is not fit to be unpacked.
    """
    path = path.resolve()
    try:
        about = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    if key not in _opened:
        private = Path(tempfile.mkdtemp(prefix="orch-archive-"))
        atexit.register(_remove, private, os.getpid())
        try:
            folder = private / path.stem
            unpack(path, folder)
        except BaseException:
            shutil.rmtree(private, ignore_errors=True)
            raise
        _opened[key] = folder
    return _opened[key]


def _remove(folder: Path, owner: int) -> None:
    if os.getpid() == owner:  # not at the end of a process that was forked from the one that uses it
        shutil.rmtree(folder, ignore_errors=True)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a new folder, which is there afterwards whole or not at all.

    Raises UserError where the file is no archive, is damaged, was changed after it was exported, holds what leads out
    of the folder, or would fill the disk; also where the folder is there already, or cannot be made.
    """
    if folder.exists():
        raise UserError(f"{folder} is there already. Name another folder for what is in {archive}, or remove it.")
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
    except OSError as error:
        raise UserError(
            f"{archive} cannot be unpacked to {folder}: {error.strerror}. Name a folder that you can write to."
        ) from error
    try:
        _unpack(archive, temporary)
        temporary.rename(folder)
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked to {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    damaged = f"{archive} is damaged or cut off, or is no zip archive"
    remedy = "Get it again, and compare its checksum with the one where it was published."
    try:
        with zipfile.ZipFile(archive) as packed:
            members = [member for member in packed.infolist() if not member.filename.endswith("/")]
            _check(archive, members, folder)
            sums = {member.filename: _extract(packed, member, folder) for member in members}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, UnicodeError) as error:
        raise UserError(f"{damaged} ({error}). {remedy}") from error
    except (NotImplementedError, RuntimeError) as error:  # another compression, or a password
        raise UserError(f"{archive} cannot be unpacked ({error}). Ask for one that `orch export` made.") from error
    _compare(archive, folder, sums)


def _check(archive: Path, members: Sequence[zipfile.ZipInfo], folder: Path) -> None:
    """Raise UserError where an archive is not fit to be unpacked."""
    refused = f"{archive} was not unpacked"
    names = set()
    for member in members:
        name = PurePosixPath(member.filename)
        odd = "\\" in member.filename or any(ord(character) < 32 for character in member.filename)
        if odd or name.is_absolute() or ".." in name.parts or not name.parts:
            raise UserError(f"{refused}: its member {member.filename!r} leads out of the folder. Do not trust it.")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG):
            raise UserError(f"{refused}: its member {member.filename!r} is no ordinary file. Do not trust it.")
        names.add(name)
    if len(names) != len(members):
        raise UserError(f"{refused}: it has several members of one name. Do not trust it.")
    size = sum(member.file_size for member in members)
    if len(members) > _MOST_FILES or size > _SMALL_BYTES + _MOST_GROWTH * archive.stat().st_size:
        raise UserError(
            f"{refused}: it would become {len(members):,} files and {size / 1e9:,.1f} GB, out of all proportion to its "
            "size. It was made to fill a disk. Do not trust it."
        )
    free = shutil.disk_usage(folder).free
    if size + _HELD_BACK_BYTES > free:
        raise UserError(
            f"{refused}: it needs {size / 1e9:,.1f} GB, and {free / 1e9:,.1f} GB are free in {folder.parent}. Free "
            "some, or unpack it elsewhere (TMPDIR)."
        )


def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> str:
    """Write a member; returns its SHA-256. No more is read than the size that the archive states."""
    target = folder / member.filename
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with packed.open(member) as source, target.open("xb") as file:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _compare(archive: Path, folder: Path, sums: dict[str, str]) -> None:
    """Raise UserError where a file is not as it was exported. Files may have been added."""
    listed = folder / SUMS
    if not listed.is_file():
        return  # a zip archive of a run's folder, made by something else
    for line in listed.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if sums.get(name) != digest:
            what = "is not as it was exported" if name in sums else "is missing"
            raise UserError(
                f"{archive} was changed after it was exported: {name} {what}. Get it again from its origin."
            )
