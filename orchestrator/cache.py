# SPDX-License-Identifier: Apache-2.0
"""Products that are expensive to build, kept under XDG_CACHE_HOME by the hash of their inputs.

A product is a folder ``<cache>/<kind>/<key>`` with its files and a ``product.json``. It is built in a temporary folder,
which is renamed when it is complete, so that a failed or interrupted build leaves no partial product. With a lock, two
processes that want the same product build it only once.
"""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.hashing import hash_files
from orchestrator.learned import learn, learned
from orchestrator.listing import entries, sources_below
from orchestrator.locks import lock
from orchestrator.paths import cache_home, is_utf_8
from orchestrator.private import odd_characters
from orchestrator.progress import Progress
from orchestrator.store.files import replace_file, to_json, try_lock

KINDS = (
    *("kernel-source", "lab-kernel", "wireguard-module", "lab-image", "lab-disk"),
    *("release-module", "guest-image", "guest-disk"),
)


@dataclass(frozen=True, slots=True)
class Product:
    """A finished product: its kind, key and folder, and the content of its product.json."""

    kind: str
    key: str
    path: Path
    description: Mapping[str, Any]


def key_of(inputs: Mapping[str, Any]) -> str:
    """Return the key of a product: the first 16 hexadecimal digits of the hash of its inputs."""
    text = json.dumps(inputs, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_tree(folder: Path) -> str:
    """Return a hash of all files below a folder, except Python's caches."""
    return hash_files(sources_below(folder), folder)


def find(kind: str, key: str) -> Product | None:
    """Return the finished product if the cache has it; None if not, or if the product.json there belongs to another."""
    path = cache_home() / kind / key
    try:
        description = json.loads((path / "product.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return Product(kind, key, path, description) if is_description(description, kind, key) else None


def is_description(value: object, kind: str, key: str) -> bool:
    """Return whether a value is the content of a product's product.json, as `obtain` writes it."""
    if not isinstance(value, dict) or (value.get("kind"), value.get("key")) != (kind, key):
        return False
    shape = {"inputs": dict, "facts": dict, "made_at": str, "seconds": int | float}
    return all(isinstance(value.get(name), kind_of) for name, kind_of in shape.items())


def products() -> list[Product]:
    """Return every finished product in the cache, the newest of each kind first."""
    found = []
    for kind in KINDS:
        folder = cache_home() / kind
        names = [entry.name for entry in entries(folder)] if folder.is_dir() else []
        mine = [product for name in names if (product := find(kind, name))]
        found += sorted(mine, key=lambda product: str(product.description.get("made_at")), reverse=True)
    return found


def _clear_abandoned(kind: str) -> None:
    """Remove what killed builds of a kind left behind; a build that is still running holds its lock."""
    for left in (cache_home() / kind).glob(".*.building"):
        key = left.name.removeprefix(".").removesuffix(".building")
        with (cache_home() / "locks" / f"{kind}-{key}").open("w") as file:
            if try_lock(file.fileno()):
                shutil.rmtree(left, ignore_errors=True)


def refuse_odd_path() -> None:
    """Raise TestbedError if the cache's path has a character that make or a lab machine takes for a separator, or is
    not UTF-8."""
    if odd := odd_characters(cache_home()):
        why = "make and User-Mode Linux take for a separator" if is_utf_8(odd) else "is not UTF-8"
        raise TestbedError(
            f"The lab cannot be built or booted from {cache_home()}: its path has {odd!r} in it, which {why}. Name "
            "another folder in XDG_CACHE_HOME."
        )


def refuse_unwritable() -> None:
    """Raise TestbedError if nothing can be written to the cache; its folder is created if necessary."""
    home = cache_home()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
    except OSError as error:
        raise TestbedError(
            f"What is built for the lab goes to {home}, and nothing can be written there: {error.strerror}. Name "
            "another folder in XDG_CACHE_HOME."
        ) from error


def obtain(
    kind: str,
    inputs: Mapping[str, Any],
    build: Callable[[Path], Mapping[str, Any]],
    progress: Progress,
    *,
    title: str,
    estimate_s: float,
) -> Product:
    """Return the product made from ``inputs``: from the cache, or built now by ``build(folder)``.

    ``build`` fills the folder and returns the facts to record in product.json. ``estimate_s``: the expected duration
    until a build on this computer has been timed. Raises TestbedError if the cache cannot be used.
    """
    refuse_odd_path()
    key = key_of(inputs)
    if product := find(kind, key):
        return product
    waiting = f"Waiting for another process that builds the same: {title}"
    with lock(f"{kind}-{key}", on_wait=lambda: progress.stage(waiting)):
        if product := find(kind, key):
            return product
        progress.stage(title, learned(kind, estimate_s))
        folder = cache_home() / kind
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{key}.building"
        _clear_abandoned(kind)
        shutil.rmtree(temporary, ignore_errors=True)  # what an interrupted build left; the lock makes it ours
        temporary.mkdir()
        began = time.monotonic()
        try:
            facts = build(temporary)
            seconds = time.monotonic() - began
            made_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            record = {"kind": kind, "key": key, "inputs": inputs, "facts": facts, "made_at": made_at}
            replace_file(temporary / "product.json", to_json({**record, "seconds": round(seconds, 1)}))
            final = folder / key
            shutil.rmtree(final, ignore_errors=True)  # a folder without a product.json is no product
            temporary.rename(final)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise TestbedError(f"{title}: {error}. No partial result was left in {folder}.") from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        learn(kind, seconds)
    made = find(kind, key)
    assert made is not None
    return made
