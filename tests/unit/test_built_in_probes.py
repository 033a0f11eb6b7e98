# SPDX-License-Identifier: Apache-2.0
"""Built-in probes: polls, profile and latency below ``probes`` are what ``trace`` and ``traffic.latency`` are."""

from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator import spec
from orchestrator.cli.app import run_command
from orchestrator.plan import lab_capabilities, make_plan
from orchestrator.spec import Experiment, SpecError, load_experiment
from orchestrator.spec.catalog import known_variants

FACTORS = "experiment: beside\nfactors: {variant: [vanilla], cores: [1], tunnels: [1]%s}\n"
IPERF3 = FACTORS % "" + "traffic: {duration: 2s%s}\n"
SEARCH = FACTORS % ", packet_size: [64]" + "traffic: {tool: pktgen, duration: 2s, search: {goals: [ndr]}%s}\n"
SPELLINGS = [
    (IPERF3 % "" + "trace: polls\n", IPERF3 % "" + "probes: {polls: trial}\n"),
    (IPERF3 % "" + "trace: profile\n", IPERF3 % "" + "probes: {profile: trial}\n"),
    (IPERF3 % ", latency: {rate: 500 pps}", IPERF3 % "" + "probes: {latency: {rate: 500 pps}}\n"),
    (SEARCH % ", latency: {}", SEARCH % "" + "probes: {latency: {}}\n"),
    (
        IPERF3 % ", latency: {}" + "trace: polls\nprobes: {disk: {command: [df]}}\n",
        IPERF3 % "" + "probes: {latency: {}, disk: {command: [df]}, polls: trial}\n",
    ),
]


def written(folder: Path, text: str) -> Path:
    file = folder / "beside.yaml"
    file.write_text(text)
    return file


def trials(experiment: Experiment) -> list[tuple[str, str]]:
    plan = make_plan(experiment, lab_capabilities(2, known_variants()))
    return [(trial.trial_id, trial.kind) for trial in plan.iterate()]


@pytest.mark.parametrize(("older", "newer"), SPELLINGS)
def test_both_spellings_are_one_experiment(tmp_path: Path, older: str, newer: str) -> None:
    one, other = (load_experiment(written(tmp_path, text)) for text in (older, newer))
    assert one.spec_hash == other.spec_hash
    assert one.model_dump() == other.model_dump()
    assert trials(one) == trials(other)
    assert one.spec_hash != load_experiment(written(tmp_path, (SEARCH if "pktgen" in older else IPERF3) % "")).spec_hash


@pytest.mark.parametrize(
    ("tier", "override", "trace", "rate_pps"),
    [
        ("", "", "polls", 200),
        ("probes: {profile: trial}", "", "profile", 200),
        ("trace: profile", "", "profile", 200),
        ("probes: {latency: {rate: 300 pps}}", "", "polls", 300),
        ("traffic: {latency: {rate: 300 pps}}", "", "polls", 300),
        ("", "probes.profile=trial", "profile", 200),
        ("", "trace=profile", "profile", 200),
        ("probes: {latency: {rate: 300 pps}}", "probes.latency.rate=400 pps", "polls", 400),
        ("", "probes={latency: {rate: 400 pps}, profile: trial}", "profile", 400),
        ("", "traffic.latency.rate=400 pps", "polls", 400),
    ],
)
def test_a_tier_and_then_an_override_replace_what_the_spec_has(
    tmp_path: Path, tier: str, override: str, trace: str, rate_pps: float
) -> None:
    base = IPERF3 % "" + "probes: {polls: trial, latency: {rate: 200 pps}}\n"
    file = written(tmp_path, base + f"tiers: {{small: {{repetitions: 2, {tier}}}}}\n")
    found = load_experiment(file, "small", [override] if override else [])
    assert found.trace == trace
    assert found.probes == {}
    assert found.traffic.model_dump()["latency"]["rate_pps"] == rate_pps


def test_a_probe_of_the_same_name_with_a_command_is_the_user_s_own(tmp_path: Path) -> None:
    text = IPERF3 % "" + "probes: {polls: {tracepoint: 'napi:napi_poll'}, latency: {command: [df]}}\n"
    found = load_experiment(written(tmp_path, text))
    assert list(found.probes) == ["polls", "latency"]
    assert found.trace is None
    assert found.traffic.model_dump()["latency"] is None
    found = load_experiment(tmp_path / "beside.yaml", overrides=["probes.polls.at=client", "probes.latency.at=server"])
    assert (found.probes["polls"].at, found.probes["latency"].at) == ("client", "server")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (IPERF3 % "" + "probes: {polls: trail}", r"4:17: probes\.polls is not valid\. Expected trial: each cell"),
        (IPERF3 % "" + "probes: {profile: {}}", r"4:19: probes\.profile is not valid\. Expected trial"),
        (IPERF3 % "" + "probes: {polls: trial, profile: trial}", r"4:24: probes\.profile cannot .* with polls"),
        (IPERF3 % "" + "trace: profile\nprobes: {polls: trial}", r"5:10: probes\.polls cannot .* with profile"),
        (IPERF3 % "" + "trace: polls\nprobes: {polls: trial}", r"5:10: trace is the older .* Remove trace"),
        (IPERF3 % ", latency: {}" + "probes: {latency: {}}", r"4:10: traffic\.latency is the older spelling"),
        (IPERF3 % "" + "probes: {latency: {rat: 50 pps}}", r'4:20: .* key "probes\.latency\.rat"\. Did you mean rate'),
        (IPERF3 % "" + "probes: {latency: {at: [50%]}}", r"the trial's own traffic"),
        (IPERF3 % "" + "probes: {latency: trial}", r"4:19: probes\.latency: trial is not valid"),
        (IPERF3 % "" + "tiers: {t: {probes: {latency: {rat: 1}}}}", r'"tiers\.t\.probes\.latency\.rat"'),
        (SEARCH % "" + "probes: {polls: trial}", r"4:10: Polls are recorded only with the tool iperf3"),
        (FACTORS % "" + "probes: {latency: {}}", r'"traffic" is missing'),
    ],
)
def test_what_is_wrong_with_them_is_said_as_it_is_spelled(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_experiment(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            SPELLINGS[-1][1],
            "polls in one more trial of each cell; latency beside the traffic of each trial; disk beside",
        ),
        (
            SPELLINGS[-1][0],
            "polls in one more trial of each cell; latency beside the traffic of each trial; disk beside",
        ),
        (SPELLINGS[3][1], "latency beside loads of its own"),
        (IPERF3 % "", ""),
    ],
)
def test_a_plan_says_what_they_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    assert run_command(["plan", str(written(tmp_path, text))]) == 0
    shown = capsys.readouterr().out
    assert (f"Probes: {said}" in shown) if said else ("Probes" not in shown)


def test_an_override_is_named_as_it_was_given(tmp_path: Path) -> None:
    file = written(tmp_path, IPERF3 % "")
    with pytest.raises(SpecError, match=r"--set probes\.latency\.rate=5 kpps: probes\.latency\.rate: 5 kpps is not"):
        load_experiment(file, overrides=["probes.latency.rate=5 kpps"])
    with pytest.raises(SpecError, match=r"--set probes\.polls=never: probes\.polls is not valid"):
        load_experiment(file, overrides=["probes.polls=never"])


@pytest.mark.parametrize(
    ("probes", "valid"),
    [
        ({"polls": "trial", "latency": {"rate": "50 pps"}}, True),
        ({"profile": {"tracepoint": "napi:napi_poll"}}, True),
        ({"polls": "trail"}, False),
        ({"latency": {"rat": "50 pps"}}, False),
        ({"disk": "trial"}, False),
        ({"Disk": {"command": ["df"]}}, False),
    ],
)
def test_the_schema_for_editors_has_them(probes: dict[str, object], valid: bool) -> None:
    factors = {"variant": ["vanilla"], "cores": [1], "tunnels": [1]}
    content = {"experiment": "small", "factors": factors, "traffic": {"duration": "1s"}}
    check = Draft202012Validator(spec.experiment_schema())
    assert check.is_valid(content | {"probes": probes}) == valid
    assert check.is_valid(content | {"tiers": {"small": {"probes": probes}}}) == valid
