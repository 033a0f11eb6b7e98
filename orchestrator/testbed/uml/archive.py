# SPDX-License-Identifier: Apache-2.0
"""Exporting and importing an archive of everything a lab boots from (kernel, modules, provisioned disk), so that
another computer need not build it.

It is a tar file compressed with xz. Its members are the products' folders as in the cache, and ``manifest.json`` with
the SHA-256 of every file. They include what modules of one's own are built with: headers, and WireGuard's source.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orchestrator import cache
from orchestrator.commands import capture, environment_of_tools
from orchestrator.errors import UserError
from orchestrator.hashing import sha256_of
from orchestrator.listing import files_below
from orchestrator.locks import lock
from orchestrator.paths import cache_home
from orchestrator.progress import Progress, Silent
from orchestrator.store.files import to_json

LIMIT_BYTES = 60 * 2**20


def export_archive(products: Sequence[cache.Product], target: Path, progress: Progress | None = None) -> int:
    """Write the archive and return its size in bytes. An existing file is replaced only when the new one is
    complete."""
    progress = progress or Silent()
    progress.stage(f"Compressing what was built for the lab into {target}")
    root = cache_home()
    with tempfile.TemporaryDirectory(prefix="orch-export-", dir=target.resolve().parent) as name:
        folder = Path(name)
        members = [file for product in products for file in files_below(product.path)]
        manifest = {str(file.relative_to(root)): sha256_of(file) for file in members}
        (folder / "manifest.json").write_text(to_json({"form": 1, "files": manifest}), encoding="utf-8")
        (folder / "members").write_text("".join(f"{name}\n" for name in manifest))
        packed = folder / "archive"
        with packed.open("wb") as out:
            tar = subprocess.Popen(
                [
                    *("tar", "--create", "--sparse", "--owner=0", "--group=0", "--numeric-owner"),
                    *("-C", folder, "manifest.json", "-C", root, f"--files-from={folder / 'members'}"),
                ],
                stdout=subprocess.PIPE,
                env=environment_of_tools(),
            )
            xz = subprocess.run(
                ["xz", "-6", "--threads=0"], stdin=tar.stdout, stdout=out, env=environment_of_tools(), check=False
            )
            if tar.wait() or xz.returncode:
                raise UserError(f"The archive could not be written to {target}; is the disk full?")
        size = packed.stat().st_size
        packed.replace(target)
    return size


def import_archive(source: Path) -> list[cache.Product]:
    """Check every file of an archive, put its products into the cache, and return them. Raises UserError if the archive
    is damaged or not one of `orch cache export`."""
    root = cache_home()
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".import-", dir=root) as name:
        folder = Path(name)
        file = str(source.absolute())  # tar takes a:b for a file b on a host a
        unpack = ["tar", "--extract", "--xz", "--no-same-owner", "-C", str(folder), "-f", file]
        done = capture(unpack, environment=environment_of_tools())
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise UserError(f"{source} cannot be unpacked ({said}). Is it an archive made by `orch cache export`?")
        _verify(folder, source)
        taken = []
        for description in sorted(folder.glob("*/*/product.json")):
            taken.append(_take(description, root, source))
    return taken


def _verify(folder: Path, source: Path) -> None:
    try:
        files = dict[str, str](json.loads((folder / "manifest.json").read_bytes())["files"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{source} has no manifest; it was not made by `orch cache export`.") from error
    present = {str(path.relative_to(folder)) for path in files_below(folder)} - {"manifest.json"}
    if present != set(files):
        raise UserError(f"{source} does not have the files that its manifest lists; it was not imported.")
    for name, digest in files.items():
        if sha256_of(folder / name) != digest:
            raise UserError(f"{source} is damaged: {name} is not what the manifest says; it was not imported.")


def _take(description: Path, root: Path, source: Path) -> cache.Product:
    kind, key = description.parent.parent.name, description.parent.name
    try:
        content: Any = json.loads(description.read_bytes())
    except (ValueError, RecursionError):
        content = None
    is_one = kind in cache.KINDS and cache.is_description(content, kind, key)
    if not is_one or key != cache.key_of(content["inputs"]):
        raise UserError(f"{source}: {key} is not the product that it claims to be.")
    with lock(f"{kind}-{key}"):
        if cache.find(kind, key) is None:
            final = root / kind / key
            final.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(final, ignore_errors=True)
            description.parent.rename(final)
    found = cache.find(kind, key)
    assert found is not None
    return found
