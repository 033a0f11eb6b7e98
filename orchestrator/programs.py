# SPDX-License-Identifier: Apache-2.0
"""Programs that hosts must have."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """A program that hosts must have.

    ``name``: its command; ``package``: Debian's package of it; ``version``: the arguments with which it prints its
    version.
    """

    name: str
    package: str
    version: tuple[str, ...] = ("--version",)
