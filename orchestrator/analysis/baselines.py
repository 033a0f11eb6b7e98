# SPDX-License-Identifier: Apache-2.0
"""What passes without a tunnel, which a cell is held against: near it, the generator may be what limits."""

from collections.abc import Mapping

from orchestrator.analysis.dataset import Run
from orchestrator.plan import nearest_baseline
from orchestrator.spec import Cell
from orchestrator.spec.links import shape_of
from orchestrator.stats import summarize


def baselines_of(run: Run) -> dict[Cell, float]:
    """{baseline: median without a tunnel, in the unit of the run's quantity (bit/s)}, of what has a valid baseline."""
    found: dict[Cell, list[float]] = {}
    for row in run.baselines[[*run.levels, run.quantity.column]].to_dict("records"):
        found.setdefault(Cell.of(row), []).append(float(row[run.quantity.column]))
    return {cell: summarize(values).median for cell, values in found.items()}


def baseline_of(cell: Cell, baselines: Mapping[Cell, float]) -> float | None:
    """What a cell is held against (see `orchestrator.plan.nearest_baseline`); None where it has no baseline."""
    found = nearest_baseline(cell, baselines.keys())
    return None if found is None else baselines[found]


def is_generator_bound(cell: Cell, of_baseline: float, headroom: float) -> bool:
    """Whether the generator may be what limits a cell: it comes as near to its baseline as ``headroom`` (a share) says.
    A shaped link limits both, so that being near says nothing there."""
    return bool(of_baseline > 1 - headroom) and shape_of(cell) is None
