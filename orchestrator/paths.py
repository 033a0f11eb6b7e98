# SPDX-License-Identifier: Apache-2.0
"""The one module that knows where things are: the checkout's folders and the user's cache."""

import os
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
EXPERIMENTS = CHECKOUT / "experiments"
TESTBEDS = EXPERIMENTS / "testbeds"
CLAIMS = EXPERIMENTS / "claims"
PLAYBOOKS = CHECKOUT / "playbooks"
KERNEL = CHECKOUT / "kernel"
NOTEBOOKS = CHECKOUT / "notebooks"
RESULTS = CHECKOUT / "results"


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
