# SPDX-License-Identifier: Apache-2.0
"""Downloading archives of a lab that was built elsewhere, and checking them against a pinned SHA-256."""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from orchestrator.errors import UserError
from orchestrator.paths import KERNEL
from orchestrator.progress import Progress

PINS = KERNEL / "lab" / "prebuilt.sha256"
_SCHEMES = ("https", "http")
_PIECE = 1 << 20
_TIMEOUT_S = 60
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_address(source: str) -> bool:
    """Return whether an argument is an address to download from rather than a file."""
    return urlsplit(source).scheme in _SCHEMES


def pinned(file: Path = PINS) -> dict[str, str]:
    """Return the pinned archives: {SHA-256: name}. Raises UserError for a line that is neither a pin nor a comment."""
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        digest, _, name = text.partition("  ")
        if not _SHA256.fullmatch(digest) or not name:
            raise UserError(f"{file}:{number}: {text!r} is not a SHA-256, two spaces and a name.")
        found[digest] = name.strip()
    return found


def digest_of(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def wanted_digests(given: str | None) -> dict[str, str]:
    """Return the acceptable SHA-256 sums of a downloaded archive: the one that the user gave, or the pinned ones.

    Raises UserError if there is none, because nothing would then identify the download.
    """
    if given is not None:
        if not _SHA256.fullmatch(given.lower()):
            raise UserError(f"--sha256 must be 64 hexadecimal digits, not {given!r}.")
        return {given.lower(): "--sha256"}
    found = pinned()
    if not found:
        raise UserError(f"No archive is pinned in {PINS}: give the SHA-256 of the one at this address with --sha256.")
    return found


def fetch(address: str, target: Path, digests: dict[str, str], progress: Progress) -> str:
    """Download an archive into ``target``, and return the name of its pin.

    Raises UserError if it cannot be downloaded or if its SHA-256 is not among ``digests``; ``target`` is then removed.
    """
    progress.stage(f"Fetching {address}")
    hashed, received = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(address, timeout=_TIMEOUT_S) as answer, target.open("wb") as out:
            whole = int(answer.headers.get("Content-Length") or 0)
            while piece := answer.read(_PIECE):
                out.write(piece)
                hashed.update(piece)
                received += len(piece)
                progress.detail(f"{received / 1e6:.0f} MB", received / whole if whole else None)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ValueError) as error:
        target.unlink(missing_ok=True)
        raise UserError(
            f"{address} cannot be fetched: {getattr(error, 'reason', error)}. Nothing was imported."
        ) from error
    if hashed.hexdigest() not in digests:
        target.unlink()
        raise UserError(
            f"{address} has the SHA-256 {hashed.hexdigest()}, which is not pinned ({', '.join(digests.values())}). "
            "Nothing was imported."
        )
    return digests[hashed.hexdigest()]
