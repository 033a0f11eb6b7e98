# SPDX-License-Identifier: Apache-2.0
"""Cells: the cross product of the factors, and which of them a rule of ``exclude`` means."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.spec.experiment import Experiment, Rule
from orchestrator.spec.fields import MAX, PER_CORE


class Cell(NamedTuple):
    """One level of each factor. ``cores`` is ``max`` and ``tunnels`` ``per-core`` until a testbed resolves them."""

    variant: str
    cores: int | str
    tunnels: int | str

    def resolved(self, max_cores: int | None) -> "Cell":
        """With numbers as far as they are known; ``max_cores`` None: the testbed is not known."""
        cores = max_cores if self.cores == MAX and max_cores is not None else self.cores
        return Cell(self.variant, cores, cores if self.tunnels == PER_CORE else self.tunnels)


def cells(experiment: Experiment) -> Iterator[Cell]:
    """The cross product in the order of the spec, before ``exclude`` and ``include``."""
    factors = experiment.factors
    for cores in factors.cores:
        for variant in factors.variant:
            for tunnels in factors.tunnels:
                yield Cell(variant, cores, tunnels)


def extra_cells(experiment: Experiment) -> Iterator[Cell]:
    """The cells of ``include``."""
    for extra in experiment.include:
        yield Cell(extra.variant, extra.cores, extra.tunnels)


def excluded(rule: Rule, cell: Cell, max_cores: int | None, unknown: bool = False) -> bool:
    """Whether a rule means a cell.

    A rule's ``max`` means the testbed's maximum and its ``per-core`` as many tunnels as cores, however the cell was
    written. With ``max_cores`` None the answer can depend on the testbed: then it is ``unknown``.
    """
    found = cell.resolved(max_cores)
    if rule.variant is not None and found.variant not in rule.variant:
        return False
    certain = True
    for levels, value in ((rule.cores, found.cores), (rule.tunnels, found.tunnels)):
        if levels is None:
            continue
        meant = {
            max_cores or MAX if level == MAX else found.cores if level == PER_CORE else level
            for level in levels
        }
        if value in meant:
            continue
        if value != MAX and MAX not in meant:
            return False
        certain = False
    return certain or unknown
