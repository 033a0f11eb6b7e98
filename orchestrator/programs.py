# SPDX-License-Identifier: Apache-2.0
"""What systems and tools need of hosts: programs, and modules of the kernel."""

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


@dataclass(frozen=True, slots=True)
class Needs:
    """What a system or a tool needs of hosts.

    ``who``: its label, for sentences; ``programs``: on every host; ``kernel_modules``: on gateways, by the names that
    modprobe takes.
    """

    who: str
    programs: tuple[Program, ...] = ()
    kernel_modules: tuple[str, ...] = ()
