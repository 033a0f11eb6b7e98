# SPDX-License-Identifier: Apache-2.0
"""The Python packages that this program needs, as its installed metadata declares them.

An environment that only reads runs may lack those that measure (docs/install.md): such as Ansible and Fabric.
"""

import re
from collections.abc import Sequence
from importlib import metadata

from orchestrator.errors import TestbedError

_PROGRAM = "orch"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
REMEDY = "Install the program with its dependencies: run `pip install .` in its source folder."


def absent_packages() -> tuple[str, ...]:
    """Return the names of the declared packages that are not installed, in the order of pyproject.toml.

    Optional ones (extras) do not count. The result is empty if the program itself is not an installed package.
    """
    try:
        declared = metadata.requires(_PROGRAM) or []
    except metadata.PackageNotFoundError:
        return ()
    needed = [found[0] for line in declared if "extra ==" not in line and (found := _NAME.match(line))]
    return tuple(name for name in needed if not _is_installed(name))


def lacking(packages: Sequence[str]) -> str:
    """Return a sentence on packages that are not installed."""
    return f"This Python environment lacks {', '.join(packages)}."


def refuse_without_packages() -> None:
    """Raise TestbedError if the environment lacks packages, as one that is only for reading runs does."""
    if absent := absent_packages():
        raise TestbedError(f"{lacking(absent)} It can read runs, but not measure. {REMEDY}")


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return False
    return True
