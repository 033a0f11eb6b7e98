# SPDX-License-Identifier: Apache-2.0
"""The noise floor: the spec's request for it, its plan and measurement, and the report."""

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from orchestrator.analysis.dataset import Run, load
from orchestrator.analysis.headline import headline
from orchestrator.analysis.noise_floor import noise_floor
from orchestrator.analysis.page import render
from orchestrator.cli.app import run_command
from orchestrator.plan import Plan, lab_capabilities, make_plan
from orchestrator.spec import Experiment
from tests.unit.synthetic_run import write_run
from tests.unit.test_run_campaign import Lab

lab = pytest.fixture(lambda tmp_path, monkeypatch: Lab(tmp_path, monkeypatch), name="lab")
KNOWN = ("vanilla", "threaded", "patched-off")


def experiment(**changes: Any) -> Experiment:
    content: dict[str, Any] = {
        "experiment": "small",
        "factors": {"variant": ("vanilla", "threaded"), "cores": (1, 2), "tunnels": (1, 2)},
        "traffic": {"duration": "3s"},
        "repetitions": 3,
    }
    return Experiment.model_validate({**content, **changes})


def planned(spec: Experiment, variants: tuple[str, ...] = KNOWN) -> Plan:
    return make_plan(spec, lab_capabilities(2, variants))


@pytest.mark.parametrize("name", ["vanilla", "patched-off"])
def test_each_round_has_the_variant_once_more_at_each_place(name: str) -> None:
    plain, plan = planned(experiment()), planned(experiment(noise_floor=name))
    again = [trial for trial in plan.iterate() if trial.kind == "noise-floor"]
    assert Counter((trial.block, trial.round, trial.levels.tunnels) for trial in again) == Counter(
        {(block, round_, tunnels): 1 for block in (1, 2) for round_ in (1, 2, 3) for tunnels in (1, 2)}
    )
    assert {trial.levels.variant for trial in again} == {name}
    others = {trial.trial_id for trial in plan.iterate()} - {trial.trial_id for trial in again}
    assert others == {trial.trial_id for trial in plain.iterate()}
    assert len({trial.trial_id for trial in plan.iterate()}) == len(plan.trials)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_a_spec_without_one_is_what_it_was() -> None:
    spec = experiment()
    assert "noise_floor" not in spec.model_dump(mode="json")
    assert experiment(noise_floor="vanilla").spec_hash != spec.spec_hash


def test_a_testbed_without_its_variant_leaves_it_out_and_says_so() -> None:
    plan = planned(experiment(noise_floor="patched-off"), ("vanilla", "threaded"))
    assert not any(trial.kind == "noise-floor" for trial in plan.iterate())
    assert [left.what for left in plan.left_out] == ["the noise floor with patched-off"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vanila", "There is no variant vanila in kernel/variants.yaml. Did you mean vanilla?"),
        (
            "patched-off",
            "is not among the variants, and neither is vanilla, which it would be compared with. Name one of",
        ),
    ],
)
def test_a_noise_floor_against_nothing_is_a_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "experiment: small\nfactors: {variant: [inline, threaded], cores: [1], tunnels: [1]}\n"
        f"traffic: {{duration: 3s}}\nnoise_floor: {name}\n"
    )
    assert run_command(["validate", str(file)]) == 2
    told = capsys.readouterr()
    assert said in " ".join((told.out + told.err).split())
    assert "4:14" in told.out + told.err


def test_a_plan_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["plan", "exp/scaling.yaml", "--tier", "smoke", "--set", "noise_floor=vanilla"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Each round measures vanilla twice at each place, for the noise floor." in said


def test_a_campaign_measures_it_and_stores_it_apart(lab: Lab) -> None:
    lab.run(noise_floor="vanilla", repetitions={"min": 6, "max": 8, "width": "50%"})
    run = load(lab.folder / "results")
    assert Counter(run.trials["kind"])["noise-floor"] >= 12
    assert set(run.trials.loc[run.trials["kind"] == "noise-floor", "variant"]) == {"vanilla"}
    assert run.variants == ["vanilla", "inline"]
    assert (run.cells()["n"] == 7).all()
    assert (noise_floor(run)["n"] == 7).all()


def with_floor(folder: Path, threaded: float, noise: float = 0.03, **changes: Any) -> Run:
    def speed(variant: str, cores: int, tunnels: int, rng: random.Random) -> float:
        return 1e9 * (threaded if variant == "threaded" else 1) * rng.gauss(1, noise)

    made: dict[str, Any] = {"cores": (2,), "tunnels": (1, 2), "rounds": 8, "speed": speed, "noise_floor": "vanilla"}
    return load(write_run(folder, **{**made, **changes}))


def test_the_headline_says_whether_an_effect_is_within_the_noise_floor(tmp_path: Path) -> None:
    run = with_floor(tmp_path / "within", 1.01)
    (row,) = run.noise_floor()[lambda table: table["tunnels"] == 2].to_dict("records")
    assert row["against"] == "vanilla"
    assert (row["n"], row["unpaired"]) == (8, 0)
    assert row["floor_low"] <= row["low"] <= 1 <= row["high"] <= row["floor_high"]
    assert row["floor_low"] == pytest.approx(min(row["low"], 1 / row["high"]))
    said = " ".join(headline(run).remarks)
    assert "Noise floor: vanilla carried" in said
    assert "so no more than noise: " in said
    page = render(run, tmp_path, [])
    assert 'id="noise-floor"' in page
    assert "no more than noise" in page
    said = " ".join(headline(with_floor(tmp_path / "beyond", 1.5)).remarks)
    assert "; every ratio here is beyond " in said
    (said,) = [one for one in headline(with_floor(tmp_path / "one", 1.5, rounds=1)).remarks if "Noise floor" in one]
    assert said.endswith("as itself (n = 1 pair).")


def test_our_module_with_nothing_chosen_is_held_against_vanilla(tmp_path: Path) -> None:
    run = with_floor(tmp_path, 1.5, noise_floor="patched-off")
    assert set(noise_floor(run)["against"]) == {"vanilla"}
    assert "patched-off" not in run.variants
    assert "Noise floor: patched-off carried" in " ".join(headline(run).remarks)


def test_a_run_that_did_not_ask_has_none(tmp_path: Path) -> None:
    run = load(write_run(tmp_path))
    assert noise_floor(run).empty
    assert "Noise floor" not in " ".join(headline(run).remarks)
    assert 'id="noise-floor"' not in render(run, tmp_path, [])
