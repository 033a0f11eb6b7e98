# SPDX-License-Identifier: Apache-2.0
"""Where a run comes from: the checkout's commit or a hash of its tree, and the versions of what it used."""

import platform
import subprocess
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator import __version__, cache
from orchestrator.extensions import Extension
from orchestrator.paths import CHECKOUT, HOME, IS_CHECKOUT
from orchestrator.run.program import program_hash, program_packages

_PACKAGES = (
    "ansible-core",
    "ansible-runner",
    "fabric",
    "paramiko",
    "pyarrow",
    "pandas",
    "papermill",
    "pydantic",
)
_SOURCES = ("orchestrator", "playbooks", "kernel", "notebooks", "experiments")


def _git(*arguments: str) -> str | None:
    if not IS_CHECKOUT:
        return None
    try:
        done = subprocess.run(
            ["git", "-C", CHECKOUT, *arguments],
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _folder(name: str) -> Path:
    return (CHECKOUT if name.startswith("orchestrator") else HOME) / name


def source_identity(extensions: Collection[Extension] = ()) -> dict[str, Any]:
    """The commit and whether the checkout differs from it; in any case a hash of the tree, and of the part of it that
    measures, with the versions of the packages that this part uses. ``extensions``: what is used beside it, each under
    its kind and name with where it is from and a hash of its files. Raises UserError where one cannot be read."""
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain") if commit else None
    tree = cache.key_of({name: cache.hash_tree(_folder(name)) for name in _SOURCES})
    dirty = bool(changes) if commit else None
    return {
        "commit": commit,
        "dirty": dirty,
        "tree_hash": tree,
        "program_hash": program_hash(),
        "packages": program_packages(),
        **({"extensions": {f"{one.kind} {one.name}": one.to_json() for one in extensions}} if extensions else {}),
    }


def versions() -> dict[str, str]:
    """Versions of this program, of Python and of the packages that touch results."""
    found = {"orch": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
