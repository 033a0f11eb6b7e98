# SPDX-License-Identifier: Apache-2.0
"""A requirement on a computer or host, and the result of checking it."""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Need(enum.StrEnum):
    """How much depends on a requirement."""

    REQUIRED = "required"  # without it, nothing runs
    BUILD = "build"  # without it the lab cannot be built; a lab in the cache still runs
    ADVICE = "advice"  # without it, trials run, but their results are worse
    INFORMATION = "information"  # good to know


@dataclass(frozen=True, slots=True)
class Observation:
    """The result of a check. ``remedy``: what to do, if the check knows better than its requirement."""

    found: bool
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One row of the table of requirements; ``check`` changes nothing on this computer."""

    name: str
    need: Need
    check: Callable[[], Observation]
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a requirement. ``remedy`` is empty when it was found."""

    name: str
    need: Need
    found: bool
    what: str
    remedy: str

    @property
    def blocks(self) -> bool:
        """Return whether nothing can be measured until this is fixed."""
        return not self.found and self.need in (Need.REQUIRED, Need.BUILD)

    @classmethod
    def of(cls, name: str, need: Need, found: bool, what: str, remedy: str = "") -> "Checked":
        """Return a result, with the remedy only if the requirement was not found."""
        return cls(name, need, found, what, "" if found else remedy)

    def sentence(self) -> str:
        """Return the result as one sentence."""
        return f"{self.name}: {self.what.rstrip('.')}. {self.remedy}".strip()
