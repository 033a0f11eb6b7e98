# SPDX-License-Identifier: Apache-2.0
"""The testbeds that a run uses at the same time. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.run.work import Opened


@dataclass(frozen=True, eq=False)
class Member:
    """One testbed of a run, which carries one block at a time. ``beside``: the names of the run's other testbeds whose
    machines are on the same computer."""

    opened: Opened
    beside: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The testbed's name."""
        return self.opened.name


def members_of_run(opened: Mapping[str, Opened], computers: Mapping[str, str]) -> list[Member]:
    """Return a member for each testbed. ``computers``: the computer of each testbed that shares one."""
    return [
        Member(
            one, tuple(sorted(other for other in computers if other != name and computers[other] == computers[name]))
        )
        if name in computers
        else Member(one)
        for name, one in opened.items()
    ]
