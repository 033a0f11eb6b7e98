# SPDX-License-Identifier: Apache-2.0
"""Consoles on the standard streams, for tables and sentences."""

import os
import sys
from typing import Any

from rich.console import Console

WIDE = 10_000  # columns: wider than any table


def output() -> Console:
    """Return a console for standard output, as wide as the terminal or COLUMNS. Texts are shown as they are: rich's
    markup has a meaning only where a print asks for it."""
    kind = Console if sys.stdout.isatty() else _Plain
    return kind(highlight=False, markup=False, emoji=False, **_attributes())


def errors() -> Console:
    """Return a console for standard error, which interprets markup in texts."""
    return Console(stderr=True, emoji=False, **_attributes())


def _attributes() -> dict[str, Any]:
    """Return attributes of a console: with NO_COLOR set (https://no-color.org), text has none at all, since many
    terminals show bold and dim as colours."""
    return {"color_system": None} if os.environ.get("NO_COLOR") else {}


class _Plain(Console):
    """A console for output that is not a terminal."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(width=None if os.environ.get("COLUMNS") else WIDE, **settings)

    def print(self, *objects: Any, **settings: Any) -> None:
        """Print as rich does, without its trailing blanks."""
        with self.capture() as captured:
            super().print(*objects, **settings)
        lines = captured.get().split("\n")
        sys.stdout.write("\n".join(line.rstrip(" ") for line in lines))
