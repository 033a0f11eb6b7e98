# SPDX-License-Identifier: Apache-2.0
"""A testbed on its way through a run: which block it has, and which others work beside it on its computer. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from orchestrator.plan import Block
from orchestrator.run.work import Opened


@dataclass(eq=False)
class Lane:
    """One testbed of a run. ``neighbours``: those on the same computer. ``beside``: the names of neighbours that have
    had a block at any moment since an attempt began here."""

    opened: Opened
    neighbours: list["Lane"] = field(default_factory=list)
    block: Block | None = None
    beside: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        """The testbed's."""
        return self.opened.name

    def take(self, block: Block) -> None:
        """Have a block from now on."""
        self.block = block
        for neighbour in self.neighbours:
            neighbour.beside.add(self.name)

    def drop(self) -> None:
        """Have no block any more."""
        self.block = None

    def begin_attempt(self) -> bool:
        """Note who works beside it from now on; whether anybody does."""
        self.beside = {neighbour.name for neighbour in self.neighbours if neighbour.block is not None}
        return bool(self.beside)


def lanes_of(opened: Mapping[str, Opened], computers: Mapping[str, str]) -> list[Lane]:
    """A lane for each testbed. ``computers``: of those that share one, which."""
    lanes = [Lane(one) for one in opened.values()]
    for lane in lanes:
        here = computers.get(lane.name)
        lane.neighbours = [
            other for other in lanes if other is not lane and here is not None and computers.get(other.name) == here
        ]
    return lanes
