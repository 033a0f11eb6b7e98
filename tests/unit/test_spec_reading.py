# SPDX-License-Identifier: Apache-2.0
"""Valid specs: the effect of tiers and overrides, the content of their hash, units, and the schema."""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from orchestrator import paths, spec
from orchestrator.errors import UserError
from orchestrator.spec import Limits, units
from orchestrator.spec.experiment import Adaptive

TEXT = """\
experiment: small
description: one
factors: {variant: [vanilla], cores: [1, 2], tunnels: [1]}
traffic: {warm_up: 2s, duration: 3s}
repetitions: 4
default_tier: full
tiers:
  smoke: {factors: {cores: [1]}, traffic: {duration: 1s}, description: short}
  full: {}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(TEXT)
    return path


def test_base_then_tier_then_overrides(file: Path) -> None:
    full = spec.load_experiment(file)
    assert (full.tier, full.factors.cores, full.traffic.duration_s) == ("full", (1, 2), 3.0)
    smoke = spec.load_experiment(file, "smoke")
    assert (smoke.tier, smoke.factors.cores, smoke.factors.tunnels) == ("smoke", (1,), (1,))
    assert (smoke.traffic.warm_up_s, smoke.traffic.duration_s, smoke.repetitions.max) == (2.0, 1.0, 4)
    assert smoke.description == "one"
    given_ = ["traffic.duration=5 s", "factors.cores=[max]"]
    changed = spec.load_experiment(file, "smoke", given_)
    assert (changed.traffic.duration_s, changed.traffic.warm_up_s, changed.factors.cores) == (5.0, 2.0, ("max",))
    assert (changed.overrides, changed.text, changed.path) == (tuple(given_), TEXT, file)


def test_unknown_tier(file: Path) -> None:
    with pytest.raises(UserError, match="Did you mean smoke"):
        spec.load_experiment(file, "smok")


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("repetitions: 4", "# a comment\nrepetitions:   4", True),
        ("description: one", "description: other", True),
        ("warm_up: 2s, duration: 3s", "duration: 3000 ms, warm_up: 2 s", True),
        ("experiment: small\n", "retries: 2\nexperiment: small\n", True),
        ("repetitions: 4", "repetitions: 5", False),
        ("cores: [1, 2]", "cores: [1, 3]", False),
        ("duration: 3s", "duration: 4s", False),
        ("experiment: small\n", "seed: 2\nexperiment: small\n", False),
    ],
)
def test_the_hash_is_over_what_the_experiment_is(file: Path, old: str, new: str, same: bool) -> None:
    before = spec.load_experiment(file).spec_hash
    assert TEXT.count(old) == 1
    file.write_text(TEXT.replace(old, new))
    assert (spec.load_experiment(file).spec_hash == before) is same


def test_a_path_is_found_in_the_checkout_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert spec.load_experiment("exp/scaling.yaml").experiment == "scaling"
    with pytest.raises(UserError, match=r"Did you mean exp/scaling\.yaml"):
        spec.load_experiment("exp/scalling.yaml")


def test_every_spec_testbed_and_claim_of_the_checkout_is_good() -> None:
    found = [path for folder in (paths.EXPERIMENTS, paths.TESTBEDS, paths.CLAIMS) for path in folder.glob("*.yaml")]
    assert len(found) >= 8
    for path in found:
        spec.check_file(path)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("experiment", spec.experiment_schema),
        ("testbed", spec.testbed_schema),
        ("claim", spec.claim_schema),
    ],
)
def test_the_schemas_that_editors_use_are_current(name: str, made: object) -> None:
    assert callable(made)
    committed = json.loads((paths.EXPERIMENTS / "schema" / f"{name}.json").read_text())
    assert committed == json.loads(json.dumps(made())), (
        f"Write it again: orch schema {name} > experiments/schema/{name}.json"
    )


@pytest.mark.parametrize(
    ("traffic", "valid"),
    [
        ({"streams": 2}, True),
        ({"flows": 2}, False),
        ({"tool": "pktgen", "flows": 2}, True),
        ({"tool": "pktgen", "streams": 2}, False),
        ({"tool": "./mine.py", "message": 2}, True),
        ({"tool": "iperf3", "message": 2}, False),
    ],
)
def test_the_schema_of_specs_has_the_keys_of_each_tool(traffic: dict[str, object], valid: bool) -> None:
    factors = {"variant": ["vanilla"], "cores": [1], "tunnels": [1]}
    content = {"experiment": "small", "factors": factors, "traffic": {"duration": "1s", **traffic}}
    assert Draft202012Validator(spec.experiment_schema()).is_valid(content) == valid


@pytest.mark.parametrize(("text", "value"), [("10s", 10), ("500 ms", 0.5), ("1.5 min", 90), ("2h", 7200), ("0 s", 0)])
def test_durations(text: str, value: float) -> None:
    assert units.seconds(text) == value


def test_other_quantities() -> None:
    assert units.bits_per_second("2 Gbit/s") == 2e9
    assert (units.whole_bytes("1420 B"), units.whole_bytes("1 GiB"), units.whole_bytes("1.5 kB")) == (1420, 2**30, 1500)


@pytest.mark.parametrize(
    "text", ["", "s", "-1 s", "1e3 s", "1  s", "1 sec", "1 s s", "٣ s", "0x1 s", True, None, 3, []]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match=r"unit|number"):
        units.seconds(text)


@given(st.integers(0, 10**9), st.sampled_from(sorted(units.SIZES)), st.booleans())
def test_a_quantity_is_its_number_times_its_unit(number: int, unit: str, space: bool) -> None:
    text = f"{number}{' ' * space}{unit}"
    assert units.parse_quantity(text, units.SIZES) == Fraction(number) * units.SIZES[unit]


def test_rounds_are_a_number_or_a_rule(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("experiment: a\nfactors: {variant: [vanilla], cores: [1], tunnels: [1]}\ntraffic: {duration: 1s}\n")
    assert spec.load_experiment(file).repetitions == Adaptive(min=5, max=5)
    rule = spec.load_experiment(file, overrides=["repetitions={min: 6, max: 30, width: 5%}"]).repetitions
    assert (rule.min, rule.max, rule.width) == (6, 30, 0.05)
    file.write_text(file.read_text() + "repetitions: {min: 6, max: 30, width: 5%}\n")
    assert spec.load_experiment(file, overrides=["repetitions.max=8"]).repetitions.max == 8
    assert spec.load_experiment(file, overrides=["repetitions=2"]).repetitions == Adaptive(min=2, max=2)
    booted = spec.load_experiment(file, overrides=["repetitions.boots=3", "repetitions.width_of=median"]).repetitions
    assert (booted.boots, booted.width_of) == (3, "median")
    assert booted.model_dump() == {"min": 6, "max": 30, "width": 0.05, "boots": 3, "width_of": "median"}
    # Without these keys a spec, and so its hash, is the same as before they existed.
    assert rule.model_dump() == {"min": 6, "max": 30, "width": 0.05}


def test_limits_have_defaults_and_are_part_of_what_an_experiment_is(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    text = "experiment: a\nfactors: {variant: [vanilla], cores: [1], tunnels: [1]}\ntraffic: {duration: 1s}\n"
    file.write_text(text)
    before = spec.load_experiment(file)
    assert before.limits == Limits()
    file.write_text(text + "limits: {steal: 50%, clock_step: 100 ms, report_only: [rekey]}\n")
    after = spec.load_experiment(file)
    assert (after.limits.steal, after.limits.clock_step_s, after.limits.report_only) == (0.5, 0.1, ("rekey",))
    assert after.spec_hash != before.spec_hash
