# SPDX-License-Identifier: Apache-2.0
"""Plans: what holds for every one of them, and what is left out."""

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.errors import UserError
from orchestrator.plan import Lessons, Plan, estimate, lab_capabilities, make_plan
from orchestrator.spec import Experiment

VARIANTS = ("vanilla", "threaded")


def experiment(**changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "experiment": "small",
        "factors": {"variant": VARIANTS, "cores": (1, 2), "tunnels": (1, 2, "per-core")},
        "traffic": {"duration": "3s"},
        "repetitions": 3,
    }
    return Experiment.model_validate({**content, **changes})


def planned(spec: Experiment, cores: int = 4, order: str = "random") -> Plan:
    return make_plan(spec, lab_capabilities(cores, VARIANTS), order=order)


def sequences(plan: Plan) -> dict[int, list[str]]:
    return {block.cores: [trial.trial_id for trial in block.trials] for block in plan.blocks}


levels = st.lists(st.sampled_from([1, 2, 3, 4, 7, 16, "max"]), min_size=1, max_size=5, unique=True)
tunnels = st.lists(st.sampled_from([1, 2, 3, 4, 7, "per-core"]), min_size=1, max_size=5, unique=True)
experiments = st.builds(
    lambda cores, tunnels, repetitions, seed: experiment(
        factors={"variant": VARIANTS, "cores": (1, *[c for c in cores if c != 1]), "tunnels": tuple(tunnels)},
        repetitions=repetitions,
        seed=seed,
    ),
    levels,
    tunnels,
    st.integers(1, 4),
    st.integers(0, 2**64),
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(experiments, st.integers(1, 8), st.sampled_from(["random", "sequential"]))
def test_what_holds_for_every_plan(spec: Experiment, cores: int, order: str) -> None:
    plan = planned(spec, cores, order)
    assert plan == planned(spec, cores, order)
    assert plan == Plan.from_json(json.loads(json.dumps(plan.to_json())))
    trials = plan.trials
    assert [trial.order for trial in trials] == list(range(1, len(trials) + 1))
    assert len({trial.trial_id for trial in trials}) == len(trials)
    assert all(len(trial.trial_id) == 16 for trial in trials)
    assert [block.index for block in plan.blocks] == list(range(1, len(plan.blocks) + 1))
    for block in plan.blocks:
        baseline, *measured = block.trials
        assert {trial.levels.cores for trial in block.trials} == {block.cores}
        assert block.cores <= cores
        assert (baseline.kind, baseline.round, baseline.levels.variant) == ("baseline", 0, "none")
        assert baseline.levels.tunnels == max(trial.levels.tunnels for trial in measured)
        assert {trial.kind for trial in measured} == {"measure"}
        assert [trial.round for trial in measured] == sorted(trial.round for trial in measured)
        cells = {trial.levels for trial in measured}
        for number in range(1, spec.repetitions.max + 1):
            mine = [trial for trial in measured if trial.round == number]
            assert Counter(trial.levels for trial in mine) == Counter(cells)
            assert {trial.repetition for trial in mine} == {number}


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(experiments, st.integers(5, 8))
def test_another_block_changes_no_others_order(spec: Experiment, cores: int) -> None:
    wider = spec.model_copy(update={"factors": spec.factors.model_copy(update={"cores": (*spec.factors.cores, 5)})})
    before, after = sequences(planned(spec, cores)), sequences(planned(wider, cores))
    assert {number: after[number] for number in before} == before


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(experiments)
def test_the_order_of_levels_in_the_spec_does_not_matter(spec: Experiment) -> None:
    factors = spec.factors.model_copy(
        update={name: getattr(spec.factors, name)[::-1] for name in ("variant", "cores", "tunnels")}
    )
    assert sequences(planned(spec)) == sequences(planned(spec.model_copy(update={"factors": factors})))


def test_ids_depend_on_what_is_measured_alone() -> None:
    first = {trial.trial_id for trial in planned(experiment()).trials}
    other = experiment(experiment="renamed", description="other", seed=9, retries=0, testbed="lab")
    assert {trial.trial_id for trial in planned(other).trials} == first
    assert {trial.trial_id for trial in planned(experiment(), order="sequential").trials} == first
    for change in (
        {"traffic": {"duration": "4s"}},
        {"traffic": {"duration": "3s", "warm_up": "2s"}},
        {"traffic": {"duration": "3s", "streams": 2}},
        {"topology": "gateway-to-gateway"},
    ):
        assert first.isdisjoint(trial.trial_id for trial in planned(experiment(**change)).trials)


def test_ids_stay_what_they_are() -> None:
    """A change of ids would cut every stored run off from its plan."""
    assert [trial.trial_id for trial in planned(experiment(repetitions=1), order="sequential").trials[:3]] == [
        "be59acf2ad1653be",
        "e40a1711e91303bc",
        "a4e61105460007ca",
    ]


def test_seeds_differ() -> None:
    orders = {tuple(sequences(planned(experiment(seed=seed)))[2]) for seed in range(5)}
    assert len(orders) == 5


def test_derived_levels_and_repeated_cells() -> None:
    plan = planned(experiment(factors={"variant": VARIANTS, "cores": (2, "max"), "tunnels": (2, "per-core")}), cores=2)
    assert [block.cores for block in plan.blocks] == [2]
    assert {trial.levels.tunnels for trial in plan.trials} == {2}
    assert len(plan.trials) == 1 + 3 * 2


def test_what_is_left_out_is_said() -> None:
    spec = experiment(
        factors={"variant": VARIANTS, "cores": (1, 2, 8), "tunnels": (1, 2)},
        exclude=({"variant": "threaded", "cores": 1},),
        include=({"variant": "threaded", "cores": 1, "tunnels": 1}, {"variant": "vanilla", "cores": 1, "tunnels": 5}),
    )
    plan = planned(spec, cores=2)
    assert [(left.what, left.reason) for left in plan.left_out] == [
        ("8 cores (4 cells)", "this computer has 2 cores"),
        ("2 cells", "rule 1 of exclude in the spec"),
    ]
    here = {(t.levels.variant, t.levels.tunnels) for t in plan.blocks[0].trials if t.kind == "measure"}
    assert here == {("vanilla", 1), ("vanilla", 2), ("vanilla", 5), ("threaded", 1)}
    only = make_plan(experiment(), lab_capabilities(2, ("vanilla",)))
    assert [left.what for left in only.left_out] == ["variant threaded (6 cells)"]


def test_an_empty_plan_says_why() -> None:
    with pytest.raises(UserError, match=r"this computer has 1 core\b"):
        planned(experiment(factors={"variant": VARIANTS, "cores": (2,), "tunnels": (1,)}), cores=1)


def test_unknown_order() -> None:
    with pytest.raises(UserError, match="random or sequential"):
        planned(experiment(), order="backwards")


def test_sequential_order_is_the_specs() -> None:
    plan = planned(experiment(repetitions=1), order="sequential")
    found = [(trial.levels.variant, trial.levels.tunnels) for trial in plan.blocks[1].trials[1:]]
    assert found == [("vanilla", 1), ("vanilla", 2), ("threaded", 1), ("threaded", 2)]


def test_estimate() -> None:
    plan = planned(experiment(repetitions=2, factors={"variant": VARIANTS, "cores": (1,), "tunnels": (1,)}))
    found = estimate(plan, Lessons(overhead_s=0.5, prepare_s=2.0))
    assert (found.trials, found.boots) == (5, 1)
    assert found.seconds == pytest.approx(2 + 5 * (3 + 1 + 0.5))
    assert 2 <= found.loads <= 4


def test_a_search_is_in_the_identity_and_takes_no_longer_than_its_limit() -> None:
    def plan_of(**search: Any) -> Plan:
        sizes = {"variant": ("vanilla",), "cores": (1,), "tunnels": (1,), "packet_size": (64,)}
        traffic = {"tool": "pktgen", "search": search, "warm_up": "1s", "duration": "4s"}
        return planned(experiment(factors=sizes, traffic=traffic, repetitions=1))

    def seconds(**search: Any) -> float:
        return estimate(plan_of(**search), Lessons(overhead_s=0.0, prepare_s=0.0)).seconds

    assert plan_of().trials[0].trial_id != plan_of(width="1%").trials[0].trial_id
    assert plan_of() == Plan.from_json(json.loads(json.dumps(plan_of().to_json())))
    assert seconds() < seconds(tries=3) < seconds(method="binary")
    assert seconds(method="binary", time_limit="7s") == 2 * (1 + 7)
