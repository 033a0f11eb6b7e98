# SPDX-License-Identifier: Apache-2.0
"""The cells that are measured a second time in each round, for the noise floor of a run."""

from collections.abc import Sequence

from orchestrator.spec import Cell
from orchestrator.spec.noise_floor import held_against

NOISE_FLOOR = "noise-floor"  # the kind of these trials


def second_cells(variant: str | None, cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells that each round of a block measures again with ``variant``; empty if it is None."""
    against = held_against(variant, (levels.variant for levels in cells)) if variant else None
    return [levels.replaced(variant=variant) for levels in cells if variant and levels.variant == against]
