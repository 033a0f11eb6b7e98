# SPDX-License-Identifier: Apache-2.0
"""Requirements of systems and tools on hosts: programs and kernel modules."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Program:
    """A program that hosts must have.

    ``name``: its command; ``package``: its Debian package; ``version``: the arguments that make it print its version.
    """

    name: str
    package: str
    version: tuple[str, ...] = ("--version",)


@dataclass(frozen=True, slots=True)
class Needs:
    """The requirements of a system or a tool on hosts.

    ``who``: its label, for messages; ``programs``: on every host; ``kernel_modules``: on gateways, by the names that
    modprobe takes.
    """

    who: str
    programs: tuple[Program, ...] = ()
    kernel_modules: tuple[str, ...] = ()
