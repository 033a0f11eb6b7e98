# SPDX-License-Identifier: Apache-2.0
"""The baseline of a cell: the same traffic without a tunnel, over as many address pairs as it has tunnels."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from orchestrator.analysis import figures
from orchestrator.analysis.baselines import baseline_of, baselines_of
from orchestrator.analysis.cells import cells
from orchestrator.analysis.dataset import Run, load
from orchestrator.analysis.packets import packet_cells
from orchestrator.spec import Cell
from tests.unit.synthetic_run import write_run


def with_baselines(run: Run, share: float, column: str = "throughput_bps") -> Run:
    """Return a run that has, for each baseline over the most pairs, another over a single pair with ``share`` of its
    rate."""
    trials = run.trials
    single = trials[trials["kind"] == "baseline"].assign(tunnels=1)
    single[column] *= share
    return replace(run, trials=pd.concat([single, trials], ignore_index=True))


def test_one_pair_that_is_the_limit_is_seen(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(2,), tunnels=(1, 4), rounds=6, variants=("vanilla",)))
    old = cells(run).set_index("tunnels")
    assert not old["generator_bound"].any()
    assert old["baseline_bps"].nunique() == 1  # of a run that has one a block
    one_tunnel = old.loc[1, "median_bps"]
    found = cells(with_baselines(run, 1.05 * one_tunnel / old.loc[1, "baseline_bps"])).set_index("tunnels")
    assert found["generator_bound"].to_dict() == {1: True, 4: False}
    assert found.loc[4, "baseline_bps"] == old.loc[4, "baseline_bps"]
    assert found.loc[1, "of_baseline"] == pytest.approx(1 / 1.05)


def test_of_several_boots_the_baseline_is_the_median(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(2,), tunnels=(4,)))
    bare = run.trials[run.trials["kind"] == "baseline"]
    boots = [bare.assign(throughput_bps=speed, block=block) for block, speed in enumerate((9e9, 5e9, 7e9), 1)]
    trials = run.trials[run.trials["kind"] != "baseline"]
    assert baselines_of(replace(run, trials=pd.concat([*boots, trials]))) == {Cell("none", 2, 4): 7e9}


def test_other_core_counts_are_no_baseline() -> None:
    cell, far = Cell("vanilla", 2, 1), {Cell("none", 4, 1): 1e9}
    assert baseline_of(cell, far) is None
    assert baseline_of(cell, {**far, Cell("none", 2, 8): 3e9, Cell("none", 2, 2): 2e9}) == 2e9


def test_a_baseline_has_the_factors_of_the_cell_but_those_of_tunnels() -> None:
    cell = Cell("vanilla", 2, 4, more={"traffic.streams": 8, "tunnel.mtu": 1280})
    one, eight = (Cell("none", 2, 4, more={"traffic.streams": streams}) for streams in (1, 8))
    assert baseline_of(cell, {one: 1e9}) is None
    assert baseline_of(cell, {one: 1e9, eight: 2e9}) == 2e9


def test_of_packets_the_same(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(2,), tunnels=(1, 4), packet_sizes=(64,), variants=("vanilla",)))
    rates = [name for name in run.trials if name.endswith("_lower_pps")]
    for name in rates:
        run = with_baselines(run, 0.5, name) if name == rates[0] else run
    found = packet_cells(run)
    pdr = found[found["goal"] == rates[0].removesuffix("_lower_pps")].set_index("tunnels")["baseline_pps"]
    assert pdr[1] == pytest.approx(0.5 * pdr[4])


def test_the_figure_against_tunnels_draws_the_baseline_of_each_number(tmp_path: Path) -> None:
    run = load(write_run(tmp_path, cores=(2,), tunnels=(1, 2, 4), speed=lambda variant, *rest: 3e9))

    def dotted(one: Run) -> list[list[float]]:
        axes = figures.throughput_tunnels(one).figure.axes[0]
        return [list(map(float, line.get_ydata())) for line in axes.lines if line.get_linestyle() == ":"]

    assert dotted(run) == [[3.0, 3.0]]  # one baseline is a line across the axes
    assert dotted(with_baselines(run, 0.5)) == [[1.5, 3.0, 3.0]]
