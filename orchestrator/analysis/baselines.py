# SPDX-License-Identifier: Apache-2.0
"""What passes without a tunnel, which a cell is held against: near it, the generator may be what limits."""

from collections.abc import Mapping

from orchestrator.analysis.dataset import Run
from orchestrator.plan import nearest_pairs
from orchestrator.stats import summarize


def baselines_bps(run: Run) -> dict[tuple[int, int], float]:
    """{(cores, address pairs): median throughput without a tunnel, in bit/s}, of what has a valid baseline."""
    found: dict[tuple[int, int], list[float]] = {}
    for row in run.baselines[["cores", "tunnels", "throughput_bps"]].to_dict("records"):
        found.setdefault((int(row["cores"]), int(row["tunnels"])), []).append(float(row["throughput_bps"]))
    return {place: summarize(values).median for place, values in found.items()}


def baseline_of(cores: int, tunnels: int, baselines: Mapping[tuple[int, int], float]) -> float | None:
    """What a cell is held against: the baseline with its cores and as many address pairs as it has tunnels, else with
    the nearest number (see `orchestrator.plan.nearest_pairs`); None where its cores have none."""
    pairs = nearest_pairs(tunnels, [pairs for there, pairs in baselines if there == cores])
    return None if pairs is None else baselines[cores, pairs]
