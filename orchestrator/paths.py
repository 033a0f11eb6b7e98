# SPDX-License-Identifier: Apache-2.0
"""The locations of the files that the program reads besides its code, and of the user's folders."""

import os
import shlex
from importlib import metadata
from pathlib import Path

from orchestrator.errors import UserError

_PACKAGE = Path(__file__).resolve().parent
_SHIPPED = _PACKAGE / "shipped"  # of an installed wheel; pyproject.toml says what goes there
IS_CHECKOUT = not _SHIPPED.is_dir()
CHECKOUT = _PACKAGE.parent  # of a wheel: the folder into which it was installed
HOME = CHECKOUT if IS_CHECKOUT else _SHIPPED
EXPERIMENTS = HOME / "experiments"
TESTBEDS = EXPERIMENTS / "testbeds"
CLAIMS = EXPERIMENTS / "claims"
PLAYBOOKS = HOME / "playbooks"
KERNEL = HOME / "kernel"
NOTEBOOKS = HOME / "notebooks"
RESULTS = CHECKOUT / "results" if IS_CHECKOUT else Path("results")  # of a wheel: below the current folder


def licence() -> bytes:
    """Return the text of the licence."""
    if IS_CHECKOUT:
        return (CHECKOUT / "LICENSE").read_bytes()
    return (metadata.distribution("orch").read_text("licenses/LICENSE") or "").encode()


def as_argument(path: Path | str) -> str:
    """Return a path as an argument of a command line for a shell, which no program takes for an option."""
    text = str(path)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


def is_utf_8(path: Path | str) -> bool:
    """Return whether a path is text in UTF-8, so that a file can record it; the system allows any bytes."""
    try:
        return bool(str(path).encode())
    except UnicodeEncodeError:
        return False


def _home() -> Path:
    """Return the user's home folder. Raises UserError if it is unknown, as for a user id without a name."""
    if not os.path.isabs(told := os.environ.get("HOME", "/")):
        raise UserError(f"HOME is {told!r}, which is not an absolute path. Set it to your home folder.")
    try:
        return Path.home()
    except RuntimeError as error:
        raise UserError(
            "Your home folder is not known: HOME is not set, and the system has no entry for your user id. Set HOME, "
            "or XDG_CACHE_HOME and XDG_STATE_HOME."
        ) from error


def state_home() -> Path:
    """Return the folder for data that must survive a crash: $XDG_STATE_HOME/orch, by default ~/.local/state/orch."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if os.path.isabs(base) else _home() / ".local" / "state"
    return root / "orch"


def cache_home() -> Path:
    """Return the folder for everything that is expensive to make: $XDG_CACHE_HOME/orch, by default ~/.cache/orch."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else _home() / ".cache"
    return root / "orch"
