# SPDX-License-Identifier: Apache-2.0
"""Exporting a run to one zip archive with all its files, a description of them, and their checksums.

Equal input gives equal bytes: names are sorted, times and modes are fixed, and nothing depends on when, where or by
whom the run is exported. (Another zlib may give other compressed bytes; the checksums inside stay the same.)
"""

import contextlib
import hashlib
import os
import re
import secrets
import zipfile
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import UserError
from orchestrator.listing import walk
from orchestrator.paths import CHECKOUT, licence
from orchestrator.publish import crate
from orchestrator.publish.secrecy import SecretFound, search, search_paths
from orchestrator.store.archive import SUMS, TRIALS, first_change
from orchestrator.store.files import sync_directory, to_json, try_lock
from orchestrator.store.reading import JOURNAL, read_journal, read_run

DIRTY, PATHS = "dirty", "paths"
ALLOWABLE = (DIRTY, PATHS)
_MADE_HERE = (crate.METADATA, crate.README, crate.SPEC, crate.LICENSE, SUMS)
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip archive can hold
_SHOWN = 10
_UNFIT = re.compile(r"[\\\x00-\x1f\x7f\ud800-\udfff]")  # in a file's name


@dataclass(frozen=True, slots=True)
class Exported:
    """An archive that was written. ``doubts``: sentences about what cannot be known from it, which it also contains."""

    path: Path
    files: int
    size_bytes: int
    doubts: tuple[str, ...]


def export_run(run: Path, target: Path, allow: Collection[str] = ()) -> Exported:
    """Write a run's directory to a zip archive. An existing file is replaced only by a complete new one.

    ``allow``: `dirty` permits a run whose source is not a commit, which the archive then states; `paths` permits paths
    in a home folder. Raises UserError if either is found and not allowed, if a file holds a secret, if the run is being
    written, or if the archive cannot be written.
    """
    _check_target(run, target)
    with _not_written(run):
        meta = read_run(run)
        doubts = tuple(_doubts(meta))
        if doubts and DIRTY not in allow:
            raise UserError(
                f"{run} is not fit for an archive. {' '.join(doubts)} Measure again from a commit, or use --allow "
                f"{DIRTY}: then the archive says so."
            )
        files = _files(run)
        _refuse_lost(run, files)
        _refuse_changed(run)
        added = {crate.SPEC: str(meta.get("spec_text") or "").encode()}
        added[crate.LICENSE] = licence()
        names = sorted([*files, *added, crate.README, SUMS])
        added[crate.README] = crate.readme(meta, names, doubts).encode()
        sizes, sums = _examine(run, files, added, allow)
        added[SUMS] = "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()
        sizes = {**sizes, SUMS: len(added[SUMS])}
        added[crate.METADATA] = to_json(crate.metadata(meta, dict(sorted(sizes.items())), doubts)).encode()
        size = _write(target, files, added, sums)
    return Exported(target, len(files) + len(added), size, doubts)


def _check_target(run: Path, target: Path) -> None:
    parent = target.resolve().parent
    if target.suffix != ".zip":
        raise UserError(f"{target} is not a valid archive name: it must end in .zip.")
    if target.is_dir():
        raise UserError(f"{target} is a folder. Name a file for the archive.")
    if not parent.is_dir():
        raise UserError(f"Cannot write {target}: {parent} does not exist. Name a file in an existing folder.")
    if parent.is_relative_to(run.resolve()):
        raise UserError(f"{target} is inside the run that is exported. Name a file elsewhere.")


def _doubts(meta: dict[str, Any]) -> Iterator[str]:
    """Yield sentences on why the source that measured cannot be identified or obtained, for all sessions of the run."""
    earlier = [(session.get("was") or {}).get("source") for session in meta.get("sessions") or ()]
    for source in [*filter(None, earlier), meta.get("source") or {}]:
        commit = source.get("commit")
        if not commit:
            yield "The source that measured it is not a commit: there was no Git repository."
        elif not re.fullmatch(r"[0-9a-f]{40}(?:[0-9a-f]{24})?", str(commit)):
            yield f"It was measured by the source {commit!r}, which can move: only a commit's hash stays what it is."
        elif source.get("dirty") is not False:
            files = ", ".join(map(str, source.get("changes") or ()))
            yield (
                f"It was measured by a source with changes that were not committed (after {commit[:12]}"
                f"{': ' if files else ''}{files}), which nobody else can get."
            )


@contextlib.contextmanager
def _not_written(run: Path) -> Iterator[None]:
    """Context manager that keeps writers away from a run. Raises UserError if another process is writing it."""
    lock = os.open(run, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if not try_lock(lock, shared=True):
            raise UserError(f"Another process is writing {run}. Wait until it has ended, or end it.")
        yield
    finally:
        os.close(lock)


def _files(run: Path) -> dict[str, Path]:
    """Return the files of a run by their names in the archive, sorted. Hidden names are temporary, and are left out.

    Raises UserError if there is a link or another special file, because its content is not the run's, or if a folder
    cannot be read, because its files would silently be left out.
    """
    found: dict[str, Path] = {}
    try:
        for entry in walk(run):
            path = Path(entry.path)
            relative = path.relative_to(run)
            if any(part.startswith(".") for part in relative.parts[:-1]):
                continue
            is_file = entry.is_file(follow_symlinks=False)
            if not is_file and not entry.is_dir(follow_symlinks=False):
                raise UserError(f"{path} is not a regular file. Replace it with a file, or remove it.")
            if is_file and not entry.name.startswith(".") and relative.as_posix() not in _MADE_HERE:
                _check_name(path, relative.as_posix())
                found[relative.as_posix()] = path
    except OSError as error:
        raise UserError(
            f"{run} was not exported: {error.filename} cannot be read ({error.strerror}), and an archive without it "
            "would not be the run. Change its permissions."
        ) from error
    return dict(sorted(found.items()))


def _check_name(path: Path, name: str) -> None:
    """Raise UserError if a file's name has another meaning, or none, in a list of checksums or on another system."""
    if _UNFIT.search(name):
        raise UserError(
            f"{str(path)!r} has a backslash, a control character or a byte that is not UTF-8 in its name, which a list "
            "of checksums and other systems would read differently. Rename it."
        )


def _refuse_lost(run: Path, files: Collection[str]) -> None:
    """Raise UserError if an attempt that was stored, as the journal records, is not among the files, or the journal."""
    if JOURNAL not in files:
        raise UserError(
            f"{run} was not exported: it has no {JOURNAL}, which says what was stored. Restore it from a copy of the "
            "run; or create an empty one if it is lost, and say so where you publish the run."
        )
    stored: dict[str, None] = {}
    for event in read_journal(run):
        match event:
            case {"event": "attempt", "trial_id": str(trial), "attempt": int(number)}:
                stored[f"{TRIALS}/{trial}/{number}/attempt.json"] = None
            case {"event": "attempt-damaged", "attempt": str(folder)}:  # it was set aside
                stored.pop(f"{folder}/attempt.json", None)
    if lost := [name for name in stored if name not in files]:
        more = f" So are {len(lost) - 1} others." if len(lost) > 1 else ""
        raise UserError(
            f"{run} was not exported: {lost[0]} is missing, which {JOURNAL} says was stored.{more} Restore it from a "
            f"copy of the run; or remove its line from {JOURNAL} if it is lost, and say so where you publish the run."
        )


def _refuse_changed(run: Path) -> None:
    """Raise UserError if a measurement of a run that came in an archive differs from its checksums."""
    if change := first_change(run):
        raise UserError(
            f"{run} was not exported: {change} since the archive that the run came in ({SUMS}). Get it again from its "
            f"origin; or remove {run / SUMS} if the change is yours, and say so where you publish it."
        )


def _examine(
    run: Path, files: dict[str, Path], added: dict[str, bytes], allow: Collection[str]
) -> tuple[dict[str, int], dict[str, str]]:
    """Return the size in bytes and the SHA-256 of each file. Raises UserError if a file has content that must not leave
    this computer."""
    sizes, sums = {}, {}
    secret: list[SecretFound] = []
    personal: list[SecretFound] = []
    # Without a home folder this gives "~"; /root names nobody.
    folders = [folder for folder in (str(CHECKOUT), os.path.expanduser("~")) if folder.count("/") > 1]
    for name in sorted([*files, *added]):
        data = added[name] if name in added else files[name].read_bytes()
        sizes[name], sums[name] = len(data), hashlib.sha256(data).hexdigest()
        secret += search(name, data)
        personal += search_paths(name, data, folders)
    if secret:
        raise UserError(
            f"{run} was not exported: it holds what looks like a secret.\n{_listed(secret)}\n"
            "Make the secret useless (a new key or token), take it out of the file, and export again."
        )
    if personal and PATHS not in allow:
        raise UserError(
            f"{run} was not exported: it holds paths that tell who measured.\n{_listed(personal)}\n"
            f"Take them out of the files, or use --allow {PATHS} to publish them."
        )
    return sizes, sums


def _listed(findings: list[SecretFound]) -> str:
    lines = [f"  {finding}" for finding in dict.fromkeys(findings)]
    more = [f"  … and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join([*lines[:_SHOWN], *more])


def _members(files: Collection[str], added: Collection[str]) -> list[str]:
    """Return the names in the archive in order: the description first, then the files, with the folders that it
    describes."""
    folders = {f"{name.split('/', 1)[0]}/" for name in files if "/" in name}
    return sorted([*files, *added, *folders], key=lambda name: (name != crate.METADATA, name))


def _as_examined(file: Path, digest: str) -> bytes:
    """Return the content of a file. Raises UserError if it is no longer what its checksum was made of."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UserError(f"The run was not exported: {file} cannot be read ({error.strerror}).") from error
    if hashlib.sha256(data).hexdigest() != digest:
        raise UserError(
            f"The run was not exported: {file} was changed meanwhile, perhaps by a report that is drawn. Wait until "
            "that has ended, and export again."
        )
    return data


def _write(target: Path, files: dict[str, Path], added: dict[str, bytes], sums: dict[str, str]) -> int:
    """Write the archive; return its size in bytes. ``sums``: the SHA-256 of each file."""
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            with zipfile.ZipFile(file, "w", compresslevel=6) as packed:
                for name in _members(files, added):
                    about = zipfile.ZipInfo(name, _EPOCH)
                    about.create_system = 3  # Unix, so that the modes have their meaning
                    if name.endswith("/"):
                        about.external_attr = (0o40755 << 16) | 0x10
                        packed.writestr(about, b"")
                    else:
                        about.external_attr, about.compress_type = 0o100644 << 16, zipfile.ZIP_DEFLATED
                        data = added[name] if name in added else _as_examined(files[name], sums[name])
                        packed.writestr(about, data)
            file.flush()
            os.fsync(file.fileno())
            size = file.tell()
        temporary.replace(target)
        sync_directory(target.resolve().parent)
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror or error}. Name a file elsewhere.") from error
    finally:
        with contextlib.suppress(OSError):  # it is not there, or the error above says why it cannot be removed
            temporary.unlink()
    return size
