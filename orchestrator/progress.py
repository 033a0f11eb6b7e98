# SPDX-License-Identifier: Apache-2.0
"""How a long operation tells what it does; the command line decides how that looks."""

from typing import Protocol


class Progress(Protocol):
    """Receives what happens. Every method returns at once and never raises."""

    def stage(self, title: str, estimate_s: float | None = None) -> None:
        """A stage begins, and the one before it is done. ``estimate_s``: how long it should take, when known."""

    def detail(self, text: str, share: float | None = None) -> None:
        """What the current stage is doing now; the next detail replaces it. ``share``: how much of the stage's work is
        done, from 0 to 1, where that is known: it corrects the estimate."""

    def message(self, text: str) -> None:
        """A sentence that the user must still be able to read at the end."""


class Silent:
    """A Progress that shows nothing."""

    def stage(self, title: str, estimate_s: float | None = None) -> None: ...

    def detail(self, text: str, share: float | None = None) -> None: ...

    def message(self, text: str) -> None: ...
