# SPDX-License-Identifier: Apache-2.0
"""Plans: properties that hold for each of them, and what is left out."""

import hashlib
import json
import re
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.cli.spec import told_by_comparing
from orchestrator.errors import UserError
from orchestrator.paths import EXPERIMENTS
from orchestrator.plan import Lessons, Plan, estimate, lab_capabilities, make_plan, nearest_pairs
from orchestrator.spec import Experiment, load_experiment
from orchestrator.spec.catalog import known_variants

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
        baselines, measured = ([t for t in block.trials if (t.kind == "baseline") == bare] for bare in (True, False))
        assert block.trials == (*baselines, *measured)
        assert {trial.levels.cores for trial in block.trials} == {block.cores}
        assert block.cores <= cores
        assert {(trial.round, trial.levels.variant) for trial in baselines} == {(0, "none")}
        assert [t.levels.tunnels for t in baselines] == sorted({trial.levels.tunnels for trial in measured})
        assert {trial.kind for trial in measured} == {"measure"}
        assert [trial.round for trial in measured] == sorted(trial.round for trial in measured)
        cells = {trial.levels for trial in measured}
        for number in range(1, spec.repetitions.max + 1):
            mine = [trial for trial in measured if trial.round == number]
            assert Counter(trial.levels for trial in mine) == Counter(cells)
            assert {trial.repetition for trial in mine} == {number}


@given(experiments, st.integers(5, 8))
def test_another_block_changes_no_others_order(spec: Experiment, cores: int) -> None:
    wider = spec.model_copy(update={"factors": spec.factors.model_copy(update={"cores": (*spec.factors.cores, 5)})})
    before, after = sequences(planned(spec, cores)), sequences(planned(wider, cores))
    assert {number: after[number] for number in before} == before


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
    """A change of ids would separate every stored run from its plan."""
    assert [trial.trial_id for trial in planned(experiment(repetitions=1), order="sequential").trials[1:4]] == [
        "be59acf2ad1653be",
        "e40a1711e91303bc",
        "a4e61105460007ca",
    ]


# For each shipped spec with two rounds: a hash of the ids of all trials with a tunnel, in order, and the id of the
# first block's baseline over the most address pairs, both from the version with one boot and one baseline per block.
SHIPPED = {
    "black-hole": ("8c36210e03718fc8", "4874c4d38fc2ef69"),
    "packet-rate": ("2cca2f3d7d604973", "f6f88d4ff874ba3c"),
    "rekey": ("50f75a84c6b8aefb", "1caa4b68af7d4d48"),  # its traffic has changed since
    "scaling": ("6d56d053c9364a3d", "338956dc826b33eb"),
    "scheduling": ("4d5ee5a985064f27", "a914fb5098dd677b"),
    "single-tunnel": ("561dff50b852198d", "ce671f9a8b188c2c"),
    "tunnels": ("e7ed65efb5ddb674", "cb9dd2241f88e7f3"),
}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_ids_and_order_of_the_shipped_specs_stay_what_they_are(name: str) -> None:
    spec = load_experiment(EXPERIMENTS / f"{name}.yaml", overrides=["repetitions=2"])
    plan = make_plan(spec, lab_capabilities(32, known_variants()))
    ids = "".join(trial.trial_id for trial in plan.iterate() if trial.kind != "baseline")
    baselines = {trial.trial_id for trial in plan.blocks[0].trials if trial.kind == "baseline"}
    digest, baseline = SHIPPED[name]
    assert hashlib.sha256(ids.encode()).hexdigest()[:16] == digest
    assert baseline in baselines


@pytest.mark.parametrize("cores", [2, 32])
@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_a_tier_that_can_tell_nothing_in_a_comparison_says_so(name: str, cores: int) -> None:
    able = lab_capabilities(cores, known_variants())
    path = EXPERIMENTS / f"{name}.yaml"
    for tier, about in load_experiment(path).tiers.items():
        try:
            found = told_by_comparing(make_plan(load_experiment(path, tier=tier), able))
        except UserError:
            continue  # with more cores than these
        look = (
            re.search("^Does everything work|too few rounds|one round only|first look", about.description) is not None
        )
        assert (found.ratio is None) <= look, f"{name}, tier {tier}: {found.sentence}"


def test_tiers_about_scaling_have_boots() -> None:
    for tier in ("claims", "paper", "full"):
        spec = load_experiment(EXPERIMENTS / "scaling.yaml", tier=tier)
        assert spec.repetitions.boots == 3
        assert spec.repetitions.boots * spec.repetitions.min >= 6


def booted(boots: int, **changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "repetitions": {"min": 2, "max": 2, "boots": boots},
        "factors": {"variant": VARIANTS, "cores": (1, 2, 3, 4), "tunnels": (1, "per-core")},
    }
    return experiment(**{**content, **changes})


def test_boots_are_spread_over_passes_whose_order_the_seed_decides() -> None:
    plan = planned(booted(3))
    passes = [[block.cores for block in plan.blocks if block.boot == boot] for boot in (1, 2, 3)]
    assert [cores for one in passes for cores in one] == [block.cores for block in plan.blocks]
    assert [sorted(one) for one in passes] == [[1, 2, 3, 4]] * 3
    assert len({tuple(one) for one in passes}) > 1
    assert [block.cores for block in planned(booted(3, seed=9)).blocks] != [block.cores for block in plan.blocks]
    assert [block.cores for block in planned(booted(3), order="sequential").blocks] == [1, 2, 3, 4] * 3
    assert [block.cores for block in planned(booted(1)).blocks] == [1, 2, 3, 4]


def test_a_boot_is_a_block_with_trials_of_its_own() -> None:
    plan = planned(booted(3))
    assert plan == Plan.from_json(json.loads(json.dumps(plan.to_json())))
    assert len({trial.trial_id for trial in plan.trials}) == len(plan.trials)
    one = {trial.trial_id for trial in planned(booted(1)).trials}
    assert {trial.trial_id for block in plan.blocks if block.boot == 1 for trial in block.trials} == one
    for block in plan.blocks:
        boots = plan.boots_of(block)
        assert [other.boot for other in boots] == [1, 2, 3]
        assert {other.cells for other in boots} == {block.cells}
        repetitions = {(t.round, t.repetition) for t in block.trials if t.kind == "measure"}
        assert repetitions == {(1, 2 * block.boot - 1), (2, 2 * block.boot)}
    orders = {tuple(t.levels for t in block.trials if t.round == 1) for block in plan.blocks if block.cores == 4}
    assert len(orders) > 1


def test_more_rounds_of_a_boot_or_more_boots_leave_the_trials_that_there_are() -> None:
    few, many = planned(booted(2)), planned(booted(3, repetitions={"min": 3, "max": 3, "boots": 3}))
    assert {trial.trial_id for trial in few.trials} < {trial.trial_id for trial in many.trials}


def test_polls_are_traced_in_the_first_boot_alone() -> None:
    plan = planned(booted(2, trace="polls"))
    assert {block.boot for block in plan.blocks for trial in block.trials if trial.kind == "trace"} == {1}


@pytest.mark.parametrize(
    ("tunnels", "measured", "nearest"),
    [(2, [1, 2, 4], 2), (3, [1, 2, 4], 4), (8, [1, 4], 4), (1, [16], 16), (1, [], None)],
)
def test_a_cell_is_held_against_the_baseline_with_its_number_of_pairs(
    tunnels: int, measured: list[int], nearest: int | None
) -> None:
    assert nearest_pairs(tunnels, measured) == nearest


def test_what_must_be_narrow_is_the_ratio_where_there_is_a_reference() -> None:
    rule = {"min": 6, "max": 12, "width": "10%"}

    def reference(**changes: Any) -> str | None:
        return planned(experiment(**{"repetitions": rule, **changes})).repetitions.reference

    alone = {"variant": ("threaded",), "cores": (1,), "tunnels": (1,)}
    assert reference() == "vanilla"
    assert reference(repetitions={**rule, "width_of": "median"}) is None
    assert reference(factors=alone) is None
    assert reference(repetitions=6) is None
    fixed = planned(experiment(repetitions={"min": 6, "max": 6, "width": "10%"})).repetitions
    assert (fixed.width, fixed.reference) == (None, None)  # as in a tier that names only min and max


def test_seeds_differ() -> None:
    orders = {tuple(sequences(planned(experiment(seed=seed)))[2]) for seed in range(5)}
    assert len(orders) == 5


def test_derived_levels_and_repeated_cells() -> None:
    plan = planned(experiment(factors={"variant": VARIANTS, "cores": (2, "max"), "tunnels": (2, "per-core")}), cores=2)
    assert [block.cores for block in plan.blocks] == [2]
    assert {trial.levels.tunnels for trial in plan.trials} == {2}
    assert len(plan.trials) == 1 + 3 * 2  # the baseline, and a cell of each variant in each of 3 rounds


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
    found = [(trial.levels.variant, trial.levels.tunnels) for trial in plan.blocks[1].trials if trial.kind == "measure"]
    assert found == [("vanilla", 1), ("vanilla", 2), ("threaded", 1), ("threaded", 2)]


def test_estimate() -> None:
    plan = planned(experiment(repetitions=2, factors={"variant": VARIANTS, "cores": (1,), "tunnels": (1,)}))
    found = estimate(plan, Lessons(overhead_s=0.5, prepare_s=2.0))
    assert (found.trials, found.boots) == (5, 1)
    assert found.seconds == pytest.approx(2 + 5 * (3 + 1 + 0.5))
    assert 2 <= found.loads <= 4


def test_boots_and_baselines_are_in_the_estimate() -> None:
    one, three = (estimate(planned(booted(boots)), Lessons(0.5, 2.0)) for boots in (1, 3))
    assert (three.boots, three.trials) == (12, 3 * one.trials)
    assert three.seconds == pytest.approx(3 * one.seconds)
    # Blocks of 1 to 4 cores: cells of 2 variants with 1 and with as many tunnels as cores, and a baseline for each.
    assert one.trials == (2 * 2 + 1) + 3 * (4 * 2 + 2)
    on_two = estimate(planned(booted(3)), Lessons(0.5, 2.0), testbeds=2)
    assert on_two.seconds >= three.seconds / 2  # boots of the same cells stay on one testbed


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
