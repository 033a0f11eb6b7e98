# SPDX-License-Identifier: Apache-2.0
"""Samples during a trial: read by the agent, stored with the attempt, a frame, a figure and the growth."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

import orchestrator as orch
from orchestrator.agent import probes as of_agent
from orchestrator.analysis import figures, long_runs
from orchestrator.measure import probes
from orchestrator.spec import SpecError, load_experiment
from tests.unit.synthetic_run import write_run

MIB = 2**20
HEAD = "Inter-|   Receive                                                |  Transmit\n face |bytes\n"


def net_dev(rx_drops: int, rx_fifo: int, tx_drops: int) -> str:
    return HEAD + f"  wan0: 10 2 0 {rx_drops} {rx_fifo} 0 0 0 20 3 0 {tx_drops} 0 0 0 0\n"


def reading(at_s: float, available: int, slab: int, *drops: int) -> dict[str, Any]:
    interfaces = {"gateway-a": net_dev(*drops), "gateway-b": net_dev(0, 0, 0)}
    return {"at_monotonic_s": at_s, "available": available, "slab": slab, "interfaces": interfaces}


def test_rows_are_against_the_begin_of_the_window() -> None:
    readings = [reading(100.0, 9 * MIB, MIB, 5, 1, 2), reading(110.5, 8 * MIB, 2 * MIB, 7, 2, 4)]
    assert probes.over_time({"lab1": {"readings": readings}, "other": {}}) == [
        {"host": "lab1", "at_s": 0.0, "memory_available": 9 * MIB, "slab": MIB, "drops": 0},
        {"host": "lab1", "at_s": 10.5, "memory_available": 8 * MIB, "slab": 2 * MIB, "drops": 5},
    ]


def test_a_reading_has_the_memory_of_this_computer() -> None:
    found = of_agent.reading([])
    assert 0 < found["slab"] < found["available"] + found["slab"]
    assert found["interfaces"] == {}
    assert found["at_monotonic_s"] <= time.monotonic()


def sampled(folder: Path) -> Path:
    """Return a run whose trials of `inline` lose 3 MiB and a tenth of their rate, and drop packets late."""
    run = write_run(folder, variants=["vanilla", "inline"], cores=(2,), tunnels=(2,), rounds=2)
    for file in run.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        if attempt["kind"] != "measure":
            continue
        worse = attempt["levels"]["variant"] == "inline"
        attempt["measurements"]["rates_bps"] = [1e9] * 15 + [0.9e9 if worse else 1e9] * 5
        attempt["probes"]["over_time"] = [
            {
                "host": "lab1",
                "at_s": 5.0 * number,
                "memory_available": 900 * MIB - number * MIB * worse,
                "slab": 30 * MIB + number * MIB // 2 * worse,
                "drops": 7 * worse * (number == 3),
            }
            for number in range(4)
        ]
        file.write_text(json.dumps(attempt))
    return run


def test_what_grew_and_what_became_slower_is_told_by_trial(tmp_path: Path) -> None:
    run = orch.load(sampled(tmp_path))
    assert len(run.over_time) == 2 * 2 * 4
    table = long_runs.first_and_last(run).set_index("variant")
    assert table.loc["inline", "throughput_ratio"].tolist() == pytest.approx([0.9, 0.9])
    assert table.loc["inline", "memory_lost_mib"].tolist() == [3.0, 3.0]
    assert table.loc["inline", "slab_grown_mib"].tolist() == [1.5, 1.5]
    assert table.loc["inline", "drops"].tolist() == [7, 7]
    assert table.loc["vanilla", ["memory_lost_mib", "slab_grown_mib", "drops"]].to_numpy().sum() == 0
    drawing = figures.over_time(run)
    assert "n = 2 per variant" in drawing.caption
    drawing.save(tmp_path)


def test_a_run_without_samples_is_drawn_all_the_same(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path))
    assert "no ok trial was sampled over time" in figures.over_time(run).caption
    assert long_runs.first_and_last(run).empty


SPEC = """
experiment: long
testbed: lab
factors: {variant: [vanilla], cores: [1], tunnels: [1]}
sample_every: 10s
"""


def test_a_spec_says_how_often_and_only_beside_tools_that_are_sampled(tmp_path: Path) -> None:
    file = tmp_path / "long.yaml"
    file.write_text(SPEC + "traffic: {tool: iperf3, duration: 1 min}\n")
    spec = load_experiment(file)
    assert spec.sample_every_s == 10.0
    file.write_text(SPEC.replace("sample_every: 10s", "") + "traffic: {tool: iperf3, duration: 1 min}\n")
    assert load_experiment(file).spec_hash != spec.spec_hash
    assert "sample_every" not in json.dumps(load_experiment(file).model_dump(mode="json"))
    file.write_text(SPEC + "traffic: {tool: pktgen, rate: max, duration: 10s}\n")
    with pytest.raises(SpecError, match=r"Nothing is sampled during the loads of this tool\. Remove sample_every"):
        load_experiment(file)
