# SPDX-License-Identifier: Apache-2.0
"""The cells of a run at which a claim is judged, chosen from the plan before any number is looked at."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from orchestrator.spec import Cell
from orchestrator.spec.claims import MANY, ClaimCells, ClaimTest, Scope
from orchestrator.spec.fields import PER_CORE


@dataclass(frozen=True, slots=True)
class ComparedCells:
    """The two cells of a test with some number of cores. ``in_scope``: whether the published number applies to it."""

    of: Cell
    to: Cell
    in_scope: bool
    distance: float

    @property
    def cores(self) -> int:
        """Return the number of cores that the number is for."""
        return self.of.cores


def places(test: ClaimTest, scope: Scope, planned: Iterable[Cell]) -> list[ComparedCells]:
    """Return all places of a test, within the scope or beyond it: one per core count, in ascending order."""
    cells = frozenset(planned)
    found = []
    for cores in sorted({key.cores for key in cells}):
        if options := list(_places(test, scope, cells, cores)):
            found.append(min(options, key=lambda place: (not place.in_scope, place.distance, place.of.tunnels)))
    return found


def judged(options: Iterable[ComparedCells]) -> ComparedCells | None:
    """Return the place that is judged: within the scope, the one nearest to the published one, and of two equally near
    the one with fewer cores. If none is within the scope, return the nearest beyond it, which is reported but not
    judged."""
    return min(options, key=lambda place: (not place.in_scope, place.distance, place.cores), default=None)


def _places(test: ClaimTest, scope: Scope, cells: frozenset[Cell], cores: int) -> Iterator[ComparedCells]:
    many = sorted({key.tunnels for key in cells if key.cores == cores and key.tunnels > 1})
    has_many = MANY in (test.of.tunnels, test.to.tunnels if test.to else None)
    for number in many if has_many else [0]:
        of = _key(test.of, cores, number)
        to = _key(test.to, cores, number) if test.to else _key(test.of, 1, number)
        if of not in cells or (test.to is not None and (to not in cells or of == to)):
            continue
        distance, in_scope = scope.cores.distance(cores), scope.cores.holds(cores)
        if has_many and scope.tunnels is not None:
            distance *= scope.tunnels.distance(number)
            in_scope = in_scope and scope.tunnels.holds(number)
        yield ComparedCells(of, to, in_scope, distance)


def _key(side: ClaimCells, cores: int, many: int) -> Cell:
    tunnels = {PER_CORE: cores, MANY: many}.get(str(side.tunnels), side.tunnels)
    return Cell(side.variant, cores, int(tunnels), more=side.more)
