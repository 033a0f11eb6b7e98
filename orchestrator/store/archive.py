# SPDX-License-Identifier: Apache-2.0
"""Reading a run from an archive of `orch export`: the archive is unpacked, so that all other code sees a folder.

An archive may come from anybody. Nothing is written outside the folder to which it is unpacked, nothing in it is
executed, and an archive that would fill the disk is refused before it is unpacked.
"""

import atexit
import codecs
import contextlib
import functools
import hashlib
import os
import re
import secrets
import shutil
import stat
import sys
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from orchestrator.errors import UserError
from orchestrator.hashing import sha256_of
from orchestrator.private import private_folder

SUMS = "SHA256SUMS"
_MOST_FILES = 1_000_000
# A run's files grow by a factor of 5 to 30 when unpacked; an archive that grows much more was made to fill a disk.
_MOST_GROWTH = 200
_ENCRYPTED = 0x1  # in the flags of a member
_SMALL_BYTES = 64 * 2**20
_HELD_BACK_BYTES = 256 * 2**20  # disk space to leave for other programs
_PIECE_BYTES = 2**20
_LONGEST_NAME_BYTES = 200  # for a folder's name; its temporary name is longer

_OTHER_KINDS = {  # by their first bytes
    b"\x1f\x8b": "compressed by gzip",
    b"BZh": "compressed by bzip2",
    b"\xfd7zXZ\0": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a RAR archive",
}
_TAR_MARK, _TAR_MARK_AT = b"ustar", 257

# The formats that `sha256sum --check` takes: DIGEST, a blank, a blank or an asterisk, NAME, where BSD's `sha256 -r` has
# one blank; and that of --tag and of BSD, SHA256 (NAME) = DIGEST, which `openssl dgst` writes with fewer blanks.
_SUM = re.compile(r"(?P<escaped>\\?)(?P<digest>[0-9a-fA-F]{64}) [ *]?(?P<name>.+)")
_TAGGED = re.compile(r"(?P<escaped>\\?)SHA(?:2-)?256 ?\((?P<name>.+)\) ?= (?P<digest>[0-9a-fA-F]{64})")

# The measurements of a run, beside run.json; the other files are derived from these or describe the run.
TRIALS = "trials"
_MEASURED = (TRIALS, "stopping.json", "journal.jsonl")
_OF_FILE_MANAGERS = ("thumbs.db", "ehthumbs.db", "desktop.ini")  # of Windows; elsewhere theirs are hidden

_opened: dict[tuple[int, ...], Path] = {}


def open_archive(path: Path) -> Path:
    """Return a private folder with the content of an archive; it is removed when this process ends.

    Further calls for the same file return the same folder. Raises UserError if the file is not an archive, is damaged,
    or is not safe to unpack.
    """
    path = path.resolve()
    try:
        about = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    key = (about.st_dev, about.st_ino, about.st_size, about.st_mtime_ns)
    if key not in _opened:
        with contextlib.ExitStack() as stack:
            stem = os.fsdecode(os.fsencode(path.stem)[:_LONGEST_NAME_BYTES])
            folder = stack.enter_context(private_folder("unpacked")).path / stem
            unpack(path, folder)
            atexit.register(stack.pop_all().close)
        _opened[key] = folder
    return _opened[key]


def checksums_of(run: Path, archive: Path | None = None) -> str | None:
    """Return how a run's measurements compare with the list of checksums beside it, or above it in its archive.

    "match"; "changed"; "none" if an archive has no list; None for a folder without a list.
    """
    above = [folder for base in _opened.values() for folder in (run, *run.parents) if folder.is_relative_to(base)]
    if any((folder / SUMS).is_file() for folder in above):
        return "match"
    if archive is None and (run / SUMS).is_file():
        return "changed" if say_if_changed(run) else "match"
    return None if archive is None else "none"


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive into a new folder, completely or not at all.

    Raises UserError if the file is not an archive, is damaged, was changed after it was exported, has members that lead
    out of the folder, or would fill the disk; also if the folder already exists or cannot be made.
    """
    if folder.exists():
        raise UserError(f"{folder} already exists. Name another folder for the contents of {archive}, or remove it.")
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
    except OSError as error:
        raise UserError(
            f"Cannot unpack {archive} to {folder}: {error.strerror}. Name a folder that you can write to."
        ) from error
    try:
        _unpack(archive, temporary)
        temporary.rename(folder)
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked to {folder}: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _unpack(archive: Path, folder: Path) -> None:
    if other := _other_kind(archive):
        raise UserError(f"{archive} is {other}, and orch reads zip archives. Unpack it, and name the run's folder.")
    try:
        with zipfile.ZipFile(archive) as packed:
            files = [member for member in packed.infolist() if not _is_folder(member)]
            members = {_name(member): member for member in files}
            if len(members) != len(files):
                raise UserError(
                    f"{archive} was not unpacked: it has several members with the same name. Do not trust it."
                )
            _check(archive, members, folder)
            sums = {name: _extract(packed, member, folder / name) for name, member in members.items()}
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, UnicodeError) as error:
        raise UserError(
            f"{archive} is damaged or cut off, or is no zip archive ({error}). Get it again, and compare its checksum "
            "with the one where it was published."
        ) from error
    except (NotImplementedError, RuntimeError) as error:  # another compression, or a password
        raise UserError(f"{archive} cannot be unpacked ({error}). Unpack it yourself, and name the folder.") from error
    _compare(archive, folder, sums)


def _other_kind(file: Path) -> str | None:
    """Return what an archive is that is no zip archive; None if that is not known."""
    if zipfile.is_zipfile(file):
        return None
    with file.open("rb") as opened:
        begin = opened.read(_TAR_MARK_AT + len(_TAR_MARK))
    if begin[_TAR_MARK_AT:] == _TAR_MARK:
        return "a tar archive"
    return next((kind for mark, kind in _OTHER_KINDS.items() if begin.startswith(mark)), None)


def _name(member: zipfile.ZipInfo) -> str:
    """Return a member's name without ``./``, and with single slashes where some Windows programs write backslashes."""
    return str(PurePosixPath(member.filename.replace("\\", "/")))


def _is_folder(member: zipfile.ZipInfo) -> bool:
    """Return whether a member is a folder; it may be the root ``./``, which bsdtar writes."""
    return member.filename.replace("\\", "/").endswith("/")


def _check(archive: Path, members: Mapping[str, zipfile.ZipInfo], folder: Path) -> None:
    """Raise UserError if an archive is not safe to unpack."""
    refused = f"{archive} was not unpacked"
    for name, member in members.items():
        path = PurePosixPath(name)
        if any(ord(character) < 32 for character in name) or path.is_absolute() or ".." in path.parts or not path.parts:
            raise UserError(f"{refused}: its member {member.filename!r} leads out of the folder. Do not trust it.")
        if member.flag_bits & _ENCRYPTED:
            raise UserError(
                f"{refused}: its member {member.filename!r} is encrypted. Unpack it with its password, and name the "
                "folder."
            )
        if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG):
            raise UserError(f"{refused}: its member {member.filename!r} is not a regular file. Do not trust it.")
    size = sum(member.file_size for member in members.values())
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


def _extract(packed: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> str:
    """Write a member to a file; return its SHA-256. Never reads more than the size that the archive states."""
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with packed.open(member) as source, target.open("xb") as file:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def _compare(archive: Path, folder: Path, sums: Mapping[str, str]) -> None:
    """Raise UserError if a file differs from the checksums beside it, or a measurement is not listed there, at any
    depth.

    Other files may have been added. An archive without checksums was made by something other than `orch export`;
    standard error says so.
    """
    proven: set[str] = set()
    for listed in sorted(name for name in sums if PurePosixPath(name).name == SUMS):
        parent = PurePosixPath(listed).parent
        digests = {str(parent / name): one for name, one in read_sums((folder / listed).read_bytes(), listed).items()}
        changed = f"{archive} was changed after it was exported"
        run = str(parent / "run.json")
        if run in sums and run not in digests:
            raise UserError(
                f"{changed}: {listed} does not list {run}, so that nothing says what the run was. Get it again from "
                "its origin."
            )
        for member, digest in digests.items():
            if sums.get(member) != digest:
                what = "is not as it was exported" if member in sums else "is missing"
                raise UserError(f"{changed}: {member} {what}. Get it again from its origin.")
        for member in sorted(sums.keys() - digests.keys()) if run in sums else ():
            if _is_measured(PurePosixPath(member), parent):
                raise UserError(f"{changed}: {listed} does not list {member}. Get it again from its origin.")
        proven |= digests.keys()
    for run in sorted(name for name in sums.keys() - proven if PurePosixPath(name).name == "run.json"):
        print(
            f"orch: {archive} has no {SUMS} for {run}: nothing shows whether its files are as they were measured.",
            file=sys.stderr,
        )


@functools.cache
def say_if_changed(run: Path) -> bool:
    """Return whether a measurement of a run from an archive differs from its checksums; if so, name it on standard
    error, once."""
    change = first_change(run)
    if change:
        print(
            f"orch: {change} since the archive that the run came in ({SUMS}). Get it again from its origin; or remove "
            f"{run / SUMS} if the change is yours, and say so where you publish it.",
            file=sys.stderr,
        )
    return change is not None


def first_change(run: Path) -> str | None:
    """Return a clause about an attempt that is missing or differs from the checksums beside the run; None if there is
    none, or no list of checksums.

    Only attempts are compared, which never change: redrawing and later sessions change other files.
    """
    listed = run / SUMS
    if not listed.is_file():
        return None
    for name, digest in read_sums(listed.read_bytes(), listed).items():
        if name.split("/", 1)[0] == TRIALS:
            file = run / name
            if not file.is_file():
                return f"{file} is missing"
            if sha256_of(file) != digest:
                return f"{file} is changed"
    return None


def _is_measured(member: PurePosixPath, run: PurePosixPath) -> bool:
    """Return whether a member is a file of a run's measurements. File managers add hidden files, which are not."""
    if not member.is_relative_to(run) or member.name.startswith(".") or member.name.lower() in _OF_FILE_MANAGERS:
        return False
    return member.relative_to(run).parts[0] in _MEASURED


def read_sums(data: bytes, where: Path | str) -> dict[str, str]:
    """Return {file: SHA-256 in lower case} from a list of checksums; the names are relative to the list's folder.

    Accepts the formats of sha256sum and similar tools: text and binary, with ``./``, with ``--tag``, with escaped
    names, with lines that end in CRLF, or in NUL. A line about the list itself, which is written before the list is
    complete, is left out. Raises UserError, with the line's number, if a line has none of these formats.
    """
    found = {}
    in_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # as PowerShell writes
    text = data.decode("utf-16", "replace") if in_utf_16 else data.decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(re.split("[\n\0]", text), 1):
        line = line.removesuffix("\r")
        if not line.strip() or line.startswith("#"):
            continue
        match = _SUM.fullmatch(line) or _TAGGED.fullmatch(line)
        if match is None:
            raise UserError(f"{where}: line {number} is not a checksum line. Download the archive again.")
        name = match["name"]
        if match["escaped"]:
            name = re.sub(r"\\(.)", lambda found: {"n": "\n", "r": "\r"}.get(found[1], found[1]), name)
        else:
            name = name.replace("\\", "/")
        found[str(PurePosixPath(name))] = match["digest"].lower()
    found.pop(SUMS, None)
    return found
