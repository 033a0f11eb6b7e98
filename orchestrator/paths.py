# SPDX-License-Identifier: Apache-2.0
"""The one module that knows where things are: what the program reads beside its code, and the user's folders."""

import os
from importlib import metadata
from pathlib import Path

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
RESULTS = CHECKOUT / "results" if IS_CHECKOUT else Path("results")  # of a wheel, in the folder in which it is started


def licence() -> bytes:
    """The text of the licence."""
    if IS_CHECKOUT:
        return (CHECKOUT / "LICENSE").read_bytes()
    return (metadata.distribution("orch").read_text("licenses/LICENSE") or "").encode()


def state_home() -> Path:
    """The folder for what must outlast a crash: $XDG_STATE_HOME/orch, by default ~/.local/state/orch."""
    base = os.environ.get("XDG_STATE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".local" / "state"
    return root / "orch"


def cache_home() -> Path:
    """The folder for everything that is expensive to make: $XDG_CACHE_HOME/orch, by default ~/.cache/orch."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return root / "orch"
