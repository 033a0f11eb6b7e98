# SPDX-License-Identifier: Apache-2.0
"""The campaign: carries out a plan's blocks, rounds and attempts on their testbeds. Only this package writes to a run's
directory."""

import inspect
import sys
from types import ModuleType
from typing import Any


class _Run(ModuleType):
    """This package, which can also be called: it is the function `orchestrator.run` of scripts and notebooks."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Call `orchestrator.running.run_experiment`."""
        from orchestrator.running import run_experiment

        return run_experiment(*arguments, **options)

    @property
    def __signature__(self) -> inspect.Signature:
        """The signature of `run_experiment`, for help in notebooks."""
        from orchestrator.running import run_experiment

        return inspect.signature(run_experiment)


sys.modules[__name__].__class__ = _Run
