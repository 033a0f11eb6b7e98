# SPDX-License-Identifier: Apache-2.0
"""Downloading archives of a lab that was built elsewhere, and checking them against a pinned SHA-256."""

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from pathlib import Path

from orchestrator.errors import UserError
from orchestrator.paths import KERNEL
from orchestrator.progress import Progress

PINS = KERNEL / "lab" / "prebuilt.sha256"
_SCHEMES = ("https", "http", "file")
_PIECE = 1 << 20
_TIMEOUT_S = 60
_SHA256 = re.compile(r"[0-9a-f]{64}")
_GIVEN = "the one given with --sha256"


def is_address(source: str) -> bool:
    """Return whether an argument is an address (https, http or file) rather than the path of a file."""
    scheme, separator, _ = source.partition("://")
    return bool(separator) and scheme.lower() in _SCHEMES


def pinned(file: Path = PINS) -> dict[str, str]:
    """Return the pinned archives: {SHA-256: its origin in words}. Raises UserError for a line that is neither a pin nor
    a comment."""
    found = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.split("#")[0].strip()
        if not text:
            continue
        digest, _, name = text.partition("  ")
        if not _SHA256.fullmatch(digest) or not name:
            raise UserError(f"{file}:{number}: {text!r} is not a SHA-256, two spaces and a name.")
        found[digest] = f"that of {name.strip()}, pinned in {file.name}"
    return found


def wanted_digests(given: str | None) -> dict[str, str]:
    """Return the acceptable SHA-256 sums of an archive, each with its origin: the one that the user gave, or the pinned
    ones.

    Raises UserError if there is none, because nothing would then identify the download.
    """
    if given is not None:
        if not _SHA256.fullmatch(given.lower()):
            raise UserError(f"--sha256 must be 64 hexadecimal digits, not {given!r}.")
        return {given.lower(): _GIVEN}
    found = pinned()
    if not found:
        raise UserError(f"No archive is pinned in {PINS}: give the SHA-256 of the one at this address with --sha256.")
    return found


def refuse_other(source: str, digest: str, digests: dict[str, str]) -> None:
    """Raise UserError if the SHA-256 of an archive is not among ``digests`` (see `wanted_digests`)."""
    if digest not in digests:
        raise UserError(
            f"{source} has the SHA-256 {digest}, which is not {', nor '.join(digests.values())}. Nothing was imported."
        )


def fetch(address: str, target: Path, digests: dict[str, str], progress: Progress) -> str:
    """Download an archive into ``target``, and return the origin of the SHA-256 that it matches.

    Raises UserError if it cannot be downloaded or if its SHA-256 is not among ``digests``.
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
        why = getattr(error, "reason", error)
        why = getattr(why, "strerror", None) or why
        raise UserError(f"{address} cannot be fetched: {why}. Nothing was imported.") from error
    digest = hashed.hexdigest()
    refuse_other(address, digest, digests)
    return digests[digest]
