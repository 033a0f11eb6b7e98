# SPDX-License-Identifier: Apache-2.0
"""A requirement of a computer or host, and what looking at it showed."""

import enum
from collections.abc import Callable
from dataclasses import dataclass


class Need(enum.StrEnum):
    """How much depends on a requirement."""

    REQUIRED = "required"  # without it nothing runs
    BUILD = "build"  # without it the lab cannot be built; a lab in the cache still runs
    ADVICE = "advice"  # without it trials run, and their results are worse
    INFORMATION = "information"  # good to know


@dataclass(frozen=True, slots=True)
class Observation:
    """What a check saw. ``remedy``: what to do, where the check knows better than its requirement."""

    found: bool
    what: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One line of the table; ``check`` changes nothing here."""

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
        """True if nothing can be measured until this is put right."""
        return not self.found and self.need in (Need.REQUIRED, Need.BUILD)

    @classmethod
    def of(cls, name: str, need: Need, found: bool, what: str, remedy: str = "") -> "Checked":
        """A finding that has its remedy only where the requirement was not found."""
        return cls(name, need, found, what, "" if found else remedy)

    def sentence(self) -> str:
        """The finding as one sentence for a person."""
        return f"{self.name}: {self.what.rstrip('.')}. {self.remedy}".strip()
