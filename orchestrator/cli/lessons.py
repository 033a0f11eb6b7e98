# SPDX-License-Identifier: Apache-2.0
"""What earlier runs on this computer taught about how long trials take, for estimates."""

from orchestrator import cache
from orchestrator.plan import Lessons

# Until a run on this computer has taught better: measured on the lab with two cores.
_DEFAULTS = {"overhead": 0.8, "prepare": 3.0, "disk": 40_000.0}
UNTAUGHT = Lessons(*_DEFAULTS.values())


def lessons(provider: str) -> Lessons:
    """For testbeds of a provider."""
    return Lessons(*(cache.learned(f"{name}/{provider}", value) or value for name, value in _DEFAULTS.items()))
