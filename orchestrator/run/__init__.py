# SPDX-License-Identifier: Apache-2.0
"""The campaign: blocks, rounds and attempts of a plan on their testbeds. It alone writes a run's directory."""

import inspect
import sys
from types import ModuleType
from typing import Any


class _Run(ModuleType):
    """This package, which is also the function `orchestrator.run` of scripts and notebooks."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """As `orchestrator.running.run_experiment`."""
        from orchestrator.running import run_experiment

        return run_experiment(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """That of the function, for help in notebooks."""
        from orchestrator.running import run_experiment

        return inspect.signature(run_experiment)


sys.modules[__name__].__class__ = _Run
