# SPDX-License-Identifier: Apache-2.0
"""The stopping rule: when a block has enough rounds, and the reason for each cell's number of rounds. Pure.

The confidence interval of each cell's ratio to the reference variant, paired by boot and round, must be narrow; if a
cell has no reference (or the spec says so), that of its median. The values of all boots of a cell count, so that later
boots end sooner; but each boot has at least the minimum number of rounds.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.plan import Block, Plan
from orchestrator.run.ledger import Ledger
from orchestrator.spec import Cell
from orchestrator.stats import is_narrow, relative_width

MEDIAN, RATIO, REFERENCE = "median", "ratio", "reference"
Values = Mapping[Cell, Mapping[Hashable, float]]


@dataclass(frozen=True, slots=True)
class Watched:
    """The quantity that the rule watches in a cell: ``values`` in the order of their measurement.

    ``of``: median or ratio; reference for a cell that serves as the reference of ratios and never prevents stopping.
    """

    of: str
    values: Sequence[float]


def watched(values: Values, reference: str | None) -> dict[Cell, Watched]:
    """Return the watched quantity of each cell. ``values``: those of each cell, by boot and round; ``reference``: a
    variant, or None for medians.

    The median is watched for a cell without a pair, and for a reference cell to which no other has a ratio.
    """
    ratios = {levels: _ratios(values, levels, reference) for levels in values}
    found = {}
    for levels, mine in values.items():
        if ratios[levels]:
            found[levels] = Watched(RATIO, ratios[levels])
        elif levels.variant == reference and any(ratios[one] for one in values if one.place == levels.place):
            found[levels] = Watched(REFERENCE, list(mine.values()))
        else:
            found[levels] = Watched(MEDIAN, list(mine.values()))
    return found


def _ratios(values: Values, levels: Cell, reference: str | None) -> list[float]:
    """Return the ratios of a cell's values to the reference's of the same boot and round; empty for the reference
    itself."""
    if reference is None or levels.variant == reference:
        return []
    below = values.get(levels.replaced(variant=reference), {})
    return [value / below[turn] for turn, value in values[levels].items() if below.get(turn, 0.0) > 0]


def enough(ledger: Ledger, plan: Plan, block: Block, rounds: int) -> bool:
    """Return whether a block may end after a number of rounds.

    Only whole rounds count, so that drift affects all its cells alike; a cell without any value does not prevent
    stopping.
    """
    rule = plan.repetitions
    if rule.width is None or rounds < rule.min or rounds >= rule.max:
        return rounds >= rule.max
    cells = watched(_of_all_boots(ledger, plan, block, rounds), rule.reference).values()
    return all(is_narrow(cell.values, rule.width) for cell in cells if cell.values and cell.of != REFERENCE)


def stopping_of(ledger: Ledger, plan: Plan, block: Block, rounds: int) -> list[dict[str, Any]]:
    """Return a block's rows of stopping.json: for each cell, the number of rounds and the reason for it.

    ``reason``: fixed, narrow, most (``max`` rounds and not narrow), reference (ratios are taken to it) or no-value.
    ``width``: that of the interval of what ``of`` names, over all boots so far, as a share of the median.
    """
    rule = plan.repetitions
    own = ledger.values(block, rounds)
    rows = []
    for levels, cell in watched(_of_all_boots(ledger, plan, block, rounds), rule.reference).items():
        width = relative_width(cell.values)
        if not cell.values:
            reason = "no-value"
        elif rule.width is None:
            reason = "fixed"
        elif cell.of == REFERENCE:
            reason = REFERENCE
        else:
            reason = "narrow" if is_narrow(cell.values, rule.width) else "most"
        row: dict[str, Any] = {"block": block.index, "boot": block.boot, **levels.to_json()}
        row |= {"rounds": rounds, "ok": len(own[levels]), "reason": reason, "of": cell.of}
        rows.append({**row, "width": None if width is None else round(width, 4), "goal": rule.width})
    return rows


def _of_all_boots(ledger: Ledger, plan: Plan, block: Block, rounds: int) -> Values:
    """Return what each cell of a block carried, by (boot, round): up to ``rounds`` for the block itself, everything for
    its other boots."""
    found: dict[Cell, dict[Hashable, float]] = {}
    for one in plan.boots_of(block):
        for levels, mine in ledger.values(one, rounds if one.index == block.index else None).items():
            found.setdefault(levels, {}).update({(one.boot, round_): value for round_, value in mine.items()})
    return found
