# SPDX-License-Identifier: Apache-2.0
"""The interface through which a long operation reports its progress; the command line decides how to show it."""

from typing import Protocol


class Progress(Protocol):
    """Receives progress. Every method returns at once and never raises."""

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        """Start a stage, which ends the one before it. ``estimate_s``: its expected duration, if known."""

    def detail(self, text: str, share: float | None = None) -> None:
        """Replace the current step of the stage. ``share``: the fraction (0 to 1) of the stage's work that is done, if
        known; it corrects the estimate."""

    def message(self, text: str) -> None:
        """Show a sentence that must remain readable at the end."""


class Silent:
    """A Progress that shows nothing."""

    def stage(self, title: str, estimate_s: float | None = None) -> None: ...

    def detail(self, text: str, share: float | None = None) -> None: ...

    def message(self, text: str) -> None: ...
