# SPDX-License-Identifier: Apache-2.0
"""orch: reproduce a networking paper from a declarative spec."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.analysis.dataset import Run, load
    from orchestrator.analysis.several import Runs, load_all
    from orchestrator.running import run_experiment as run

__version__ = "0.1.0"
__all__ = ["Run", "Runs", "load", "load_all", "run"]


def __getattr__(name: str) -> Any:
    if name == "run":
        import importlib

        return importlib.import_module("orchestrator.run")  # a package that can be called
    # Imported when used: pandas takes a second, and most commands need none of it.
    if name in __all__:
        from orchestrator.analysis import dataset, several

        return getattr(several, name) if name in ("Runs", "load_all") else getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
