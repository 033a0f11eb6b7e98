# SPDX-License-Identifier: Apache-2.0
"""Polls: the tunnel and the CPU of each, their spread over CPUs, and their figure."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import orchestrator as orch
from orchestrator.analysis import figures
from orchestrator.analysis.polls import polls, spread
from orchestrator.errors import UserError
from orchestrator.measure.layout import Placement
from orchestrator.measure.polls import COLUMNS, of_hosts
from orchestrator.plan import lab_capabilities, make_plan
from orchestrator.spec import Experiment
from tests.unit.synthetic_run import write_run

ONE_HOST = Placement([("lab1", ["client", "gateway-a", "gateway-b", "server"])], {})


def measured(rows: list[list[Any]], lost: int = 0) -> dict[str, Any]:
    return {"lab1": {"polls": {"bin_s": 0.1, "lost": lost, "rows": rows}}}


@given(data=st.integers(100, 10**6), acks=st.integers(1, 99), swapped=st.booleans())
def test_a_poll_belongs_to_the_role_whose_device_received_what_it_took(data: int, acks: int, swapped: bool) -> None:
    addresses = (1, 0) if swapped else (0, 1)
    rows = [[0, 0, addresses[0], "wg1", 5, data, 0], [0, 1, addresses[1], "wg1", 5, acks, 2]]
    counters = {"gateway-a": {"wg1": {"rx_packets": acks}}, "gateway-b": {"wg1": {"rx_packets": data}}}
    found = of_hosts(measured(rows, lost=3), counters, ONE_HOST)
    owners = {row[COLUMNS.index("role")]: row[COLUMNS.index("packets")] for row in found["rows"]}
    assert owners == {"gateway-b": data, "gateway-a": acks}
    assert (found["lost"], found["bin_s"]) == (3, 0.1)


def test_a_poll_of_a_device_that_no_role_has_is_nobodys() -> None:
    found = of_hosts(measured([[0, 0, 0, "wg9", 1, 1, 0]]), {"gateway-a": {}}, ONE_HOST)
    assert [row[1] for row in found["rows"]] == [""]


def test_each_peer_of_a_shared_device_has_a_poll_of_its_role() -> None:
    rows = [
        [0, 0, 5, "wg0", 3, 10, 1],
        [0, 1, 7, "wg0", 9, 90, 4],
        [0, 0, 2, "wg1", 1, 1, 0],
        [1, 0, 9, "wg0", 1, 0, 1],
    ]
    counters = {"gateway-a": {"wg1": {"rx_packets": 1}}, "gateway-b": {"wg0": {"rx_packets": 100}}}
    found = of_hosts(measured(rows), counters, ONE_HOST, {"wg0": 2})
    assert [row[1:3] for row in found["rows"]] == [
        ["gateway-b", "wg0/2"],
        ["gateway-b", "wg0/1"],
        ["gateway-a", "wg1"],
        ["", "wg0"],  # one more than there are peers: another device of the host with that name
    ]
    assert [row[COLUMNS.index("empty")] for row in found["rows"]] == [1, 4, 0, 1]


def test_the_share_of_polls_that_delivered_nothing(tmp_path: Path) -> None:
    path = write_run(tmp_path, cores=(2,), tunnels=(4,), traced=True)
    run = orch.load(path)
    assert spread(polls(run))["empty"].isna().all()  # recorded before empty polls were counted
    for file in path.glob("trials/*/*/polls.json"):
        content = json.loads(file.read_text())
        content["columns"].append("empty")
        for row in content["rows"]:
            row.append(25)
        file.write_text(json.dumps(content))
    assert set(spread(polls(run))["empty"]) == {0.25}  # of 100 in each row


def test_spread_of_polls_that_are_known(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(4,), traced=True))
    found = spread(polls(run)).set_index(["variant", "role"])
    black_hole, threads = found.loc[("vanilla", "gateway-b")], found.loc[("threaded", "gateway-b")]
    assert (black_hole["busiest_cpu"], threads["busiest_cpu"]) == (1.0, 0.5)
    assert (black_hole["one_cpu"], threads["one_cpu"], threads["packets_per_poll"]) == (1.0, 1.0, 10.0)
    assert int(black_hole["polls"]) == 4 * 10 * 100


def test_traced_trials_enter_no_median(tmp_path: Path) -> None:
    with_traces = orch.load(write_run(tmp_path / "a", traced=True))
    assert set(with_traces.measured["kind"]) == {"measure"}
    assert len(with_traces.trials) > len(orch.load(write_run(tmp_path / "b")).trials)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ({"traced": True, "cores": (1, 2), "tunnels": (1, 8)}, "2 cores, 8 tunnels"),
        ({"traced": True, "cores": (16,), "tunnels": (40,), "rounds": 1}, "16 cores, 40 tunnels"),
        ({"traced": True, "variants": ("inline",), "cores": (1,), "tunnels": (1,)}, "1 core, 1 tunnel;"),
        ({}, "no trial recorded polls"),
        ({"traced": True, "fate": lambda trial: ["failed"] if trial["kind"] == "trace" else ["ok"]}, "none of the"),
    ],
)
def test_the_figure_is_drawn_of_whatever_there_is(tmp_path: Path, shape: dict[str, Any], words: str) -> None:
    drawing = figures.where_polls_ran(orch.load(write_run(tmp_path, **shape)))
    assert words in drawing.caption
    drawing.save(tmp_path / "figures")


def test_a_damaged_file_gets_a_sentence(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, traced=True))
    next(run.path.glob("trials/*/*/polls.json")).write_text("{")
    with pytest.raises(UserError, match=r"polls\.json cannot be read"):
        polls(run)


def test_a_plan_with_traces_has_each_cell_once_more_before_the_rounds() -> None:
    spec = {
        "experiment": "a",
        "factors": {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (1, 2)},
        "traffic": {"duration": "1s"},
        "repetitions": 2,
    }
    capabilities = lab_capabilities(2, ["vanilla", "inline"])
    plain = make_plan(Experiment.model_validate(spec), capabilities)
    traced = make_plan(Experiment.model_validate({**spec, "trace": "polls"}), capabilities)
    extra = [trial for trial in traced.iterate() if trial.kind == "trace"]
    assert len(extra) == len({trial.levels for trial in extra}) == 4
    assert {trial.round for trial in extra} == {0}
    assert [trial.order for trial in traced.iterate()] == list(range(1, len(traced.trials) + 1))
    # The measured trials are the same.
    assert [t.trial_id for t in traced.iterate() if t.kind != "trace"] == [t.trial_id for t in plain.iterate()]
