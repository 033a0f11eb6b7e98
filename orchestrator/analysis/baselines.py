# SPDX-License-Identifier: Apache-2.0
"""The throughput without a tunnel, with which a cell is compared: near it, the generator may be the limit."""

from collections.abc import Mapping

from orchestrator.analysis.dataset import Run
from orchestrator.plan import nearest_baseline
from orchestrator.spec import Cell
from orchestrator.spec.links import shape_of
from orchestrator.stats import summarize


def baselines_of(run: Run) -> dict[Cell, float]:
    """Return {baseline: median without a tunnel, in the unit of the run's quantity (bit/s)} for valid baselines."""
    found: dict[Cell, list[float]] = {}
    for row in run.baselines[[*run.levels, run.quantity.column]].to_dict("records"):
        found.setdefault(Cell.of(row), []).append(float(row[run.quantity.column]))
    return {cell: summarize(values).median for cell, values in found.items()}


def baseline_of(cell: Cell, baselines: Mapping[Cell, float]) -> float | None:
    """Return the baseline of a cell (see `orchestrator.plan.nearest_baseline`); None if it has none."""
    found = nearest_baseline(cell, baselines.keys())
    return None if found is None else baselines[found]


def is_generator_bound(cell: Cell, of_baseline: float, headroom: float) -> bool:
    """Return whether the generator may limit a cell: its value is within ``headroom`` (a share) of its baseline.

    A shaped link limits both, so that nothing follows from their being close.
    """
    return bool(of_baseline > 1 - headroom) and shape_of(cell) is None
