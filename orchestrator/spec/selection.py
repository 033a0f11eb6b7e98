# SPDX-License-Identifier: Apache-2.0
"""The cells of a spec: the cross product of its factors, the cells of ``include``, and the rules of ``exclude``."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from orchestrator.spec.cells import Cell
from orchestrator.spec.experiment import ExtraCell, Factors, Rule
from orchestrator.spec.factors import Level
from orchestrator.spec.fields import MAX, MOST_TUNNELS, PER_CORE


def cells(factors: Factors) -> Iterator[Cell]:
    """Yield the cells of the cross product in the order of the spec, before ``exclude`` and ``include``."""
    more = factors.more
    for cores in factors.cores:
        for variant in factors.variant:
            for tunnels in factors.tunnels:
                for packet_size in factors.packet_size or (None,):
                    for levels in product(*more.values()):
                        yield Cell(variant, cores, tunnels, packet_size, dict(zip(more, levels, strict=True)))


def extra_cells(extras: Iterable[ExtraCell]) -> Iterator[Cell]:
    """Yield the cells of ``include``."""
    for extra in extras:
        yield Cell(extra.variant, extra.cores, extra.tunnels, extra.packet_size, extra.more)


def excluded(rule: Rule, cell: Cell, max_cores: int) -> bool:
    """Return whether a rule matches a cell, on a testbed with ``max_cores`` processors.

    A rule's ``max`` means that number and its ``per-core`` as many tunnels as cores, however the cell was written.
    """
    found = cell.resolved(max_cores)
    if rule.variant is not None and found.variant not in rule.variant:
        return False
    if rule.cores is not None and found.cores not in {max_cores if level == MAX else level for level in rule.cores}:
        return False
    if rule.packet_size is not None and found.packet_size not in rule.packet_size:
        return False
    if any(found.get(path) not in levels for path, levels in rule.more.items()):
        return False
    return rule.tunnels is None or found.tunnels in {
        found.cores if level == PER_CORE else level for level in rule.tunnels
    }


def deciding_maxima(factors: Factors, rules: Iterable[Rule]) -> list[int]:
    """Return numbers of processors that suffice to decide the rules: what a rule matches on any testbed, it matches on
    one with one of these numbers.

    They are all numbers with which levels can be compared, and one that differs from all of them.
    """
    levels = [*factors.cores, *factors.tunnels]
    for rule in rules:
        levels += [*(rule.cores or ()), *(rule.tunnels or ())]
    return sorted({level for level in levels if isinstance(level, int)} | {MOST_TUNNELS + 1})


@dataclass(frozen=True)
class Selection:
    """The factors, rules and further cells by which a spec selects its cells.

    ``rules``: those under ``exclude``; ``extras``: the cells under ``include``.
    """

    factors: Factors
    rules: Sequence[Rule] = ()
    extras: Sequence[ExtraCell] = ()

    @property
    def variants(self) -> list[str]:
        """The variants of all cells, each once."""
        return list(dict.fromkeys([*self.factors.variant, *(extra.variant for extra in self.extras)]))

    def levels(self, path: str) -> list[Level]:
        """Return the levels of a spec key that is a factor, each once; none if it is not one."""
        of_extras = (extra.more[path] for extra in self.extras if path in extra.more)
        return list(dict.fromkeys([*self.factors.more.get(path, ()), *of_extras]))

    def has(self, meant: Callable[[Cell], bool]) -> bool:
        """Return whether there is a cell that is meant, on any testbed."""
        maxima = deciding_maxima(self.factors, self.rules)
        return any(map(meant, extra_cells(self.extras))) or any(
            any(not any(excluded(rule, cell, most) for rule in self.rules) for most in maxima)
            for cell in cells(self.factors)
            if meant(cell)
        )
