# SPDX-License-Identifier: Apache-2.0
"""The provenance of a run: the checkout's commit, a hash of its tree, and the versions of the packages it used."""

import os
import platform
from collections.abc import Collection
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator import __version__, cache
from orchestrator.commands import capture
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
# The files that must be as committed, so that others can get the program that measured. A run stores its spec with the
# files that the spec names, its executed notebooks and its verdicts; so changes to specs and notebooks do not matter.
_MEASURES = ("orchestrator", "playbooks", "kernel", "orch", "pyproject.toml", "requirements.lock")
_MOST_CHANGES = 20
# Of the caller's environment: which repository Git works on, as Git sets it for its hooks.
_OTHER_REPOSITORY = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_PREFIX"),
    *(
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_NAMESPACE",
        "GIT_CEILING_DIRECTORIES",
        "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    ),
)


def _git(*arguments: str) -> str | None:
    if not IS_CHECKOUT:
        return None
    try:
        done = capture(
            # The checkout may be another user's, as with sudo or in a container; this program executes its code anyway.
            ["git", "-c", "safe.directory=*", "-C", CHECKOUT, *arguments],
            environment={name: value for name, value in os.environ.items() if name not in _OTHER_REPOSITORY},
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _folder(name: str) -> Path:
    return (CHECKOUT if name.startswith("orchestrator") else HOME) / name


def source_identity(extensions: Collection[Extension] = ()) -> dict[str, Any]:
    """Return the identity of the source that measures.

    It has the commit; whether the measuring part of the checkout differs from it, with the files that do; hashes of the
    tree and of that part; and the versions of the packages that the part uses. ``extensions``: code from outside this
    program, stored under kind and name with its origin and a hash of its files. Raises UserError if one cannot be read.
    """
    commit = _commit()
    changes = changed_files() if commit else None
    tree = cache.key_of({name: cache.hash_tree(_folder(name)) for name in _SOURCES})
    return {
        "commit": commit,
        "dirty": None if changes is None else bool(changes),
        **({"changes": changes[:_MOST_CHANGES]} if changes else {}),
        "tree_hash": tree,
        "program_hash": program_hash(),
        "packages": program_packages(),
        **({"extensions": {f"{one.kind} {one.name}": one.to_json() for one in extensions}} if extensions else {}),
    }


def _commit() -> str | None:
    """Return the commit of the checkout. None if it is in no repository, or only lies in the folder of one that does
    not have its files."""
    return None if _git("ls-files", "--error-unmatch", "--", "orchestrator") is None else _git("rev-parse", "HEAD")


def changed_files() -> list[str] | None:
    """Return the files of the measuring part of the checkout that differ from the commit or are not in it, sorted. None
    if Git cannot say."""
    changed = _git("diff", "--name-only", "--relative", "HEAD", "--", *_MEASURES)
    added = _git("ls-files", "--others", "--exclude-standard", "--", *_MEASURES)
    if changed is None or added is None:
        return None
    return sorted({*changed.splitlines(), *added.splitlines()})


def versions() -> dict[str, str]:
    """Return the versions of this program, of Python and of the packages that touch results."""
    found = {"orch": __version__, "python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
