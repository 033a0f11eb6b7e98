# SPDX-License-Identifier: Apache-2.0
"""Every key of a spec is a factor by its path, or there is a sentence on why it cannot be one."""

from functools import reduce
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from orchestrator.analysis import figures
from orchestrator.analysis.dataset import load
from orchestrator.analysis.page_words import counted_by, traffic_in_words
from orchestrator.measure import layout
from orchestrator.paths import RESULTS
from orchestrator.plan import Plan, lab_capabilities, make_plan
from orchestrator.spec import Experiment, experiment_schema, factor_of, load_experiment
from orchestrator.spec.fixed_keys import why_fixed
from orchestrator.spec.known_tools import own_schemas
from orchestrator.spec.problems import SpecError
from orchestrator.spec.traffic import keys_of
from orchestrator.spec.varied import traffic_paths
from tests.unit.test_run_campaign import Lab, ok

SPEC = """\
experiment: any
factors:
  variant: [vanilla, inline]
  cores: [1]
  tunnels: [1, 2]
  {sizes}{path}: [{one}, {other}]
exclude:
  - {{variant: vanilla, {path}: {other}}}
include:
  - {{variant: inline, cores: 1, tunnels: 3, {sizes_of_one}{path}: {one}}}
traffic: {{{traffic}}}
repetitions: 2
tiers:
  small: {{factors: {{tunnels: [2], {path}: [{one}]}}, exclude: [], include: []}}
"""
IPERF3, PKTGEN = "duration: 2s", "tool: pktgen, duration: 2s"
# (path, two levels, the rest of the traffic, where a trial's traffic has the level, the levels there)
KEYS = [
    ("traffic.duration", "1s", "3s", "warm_up: 1s", "duration_s", [1.0, 3.0]),
    ("traffic.warm_up", "0s", "2s", IPERF3, "warm_up_s", [0.0, 2.0]),
    ("traffic.ip_version", "4", "6", IPERF3, "version", [4, 6]),
    ("traffic.paths", "subnets", "ecmp", IPERF3, "routed_by", ["subnets", "ecmp"]),
    ("traffic.direction", "forward", "both", IPERF3, "direction", ["forward", "both"]),
    ("traffic.window", "64 KiB", "1 MiB", IPERF3, "window_bytes", [65536, 1048576]),
    ("traffic.bitrate", "max", "100 Mbit/s", IPERF3, "bitrate_bps", ["max", 1e8]),
    ("traffic.processes", "1", "2", IPERF3, "processes", [1, 2]),
    ("traffic.zerocopy", "true", "false", IPERF3, "zerocopy", [True, False]),
    (
        "traffic.datagram",
        "200 B",
        "900 B",
        f"{IPERF3}, protocol: udp, bitrate: 50 Mbit/s",
        "datagram_bytes",
        [200, 900],
    ),
    ("traffic.rate", "100 kpps", "max", PKTGEN, "rate", [1e5, "max"]),
    ("traffic.threads", "1", "2", f"{PKTGEN}, rate: max", "threads", [1, 2]),
    ("traffic.search.method", "mlrsearch", "binary", PKTGEN, "search.method", ["mlrsearch", "binary"]),
    ("traffic.search.width", "1%", "5%", f"{PKTGEN}, search: {{goals: [pdr]}}", "search.width", [0.01, 0.05]),
    ("traffic.search.final_duration", "2s", "9s", f"{PKTGEN}, search: {{}}", "search.final_duration_s", [2.0, 9.0]),
    ("traffic.search.max_rate", "5 kpps", "1 Mpps", f"{PKTGEN}, search: {{}}", "search.max_rate_pps", [5e3, 1e6]),
]


def text_of(path: str, one: str, other: str, traffic: str) -> str:
    sizes = "pktgen" in traffic
    return SPEC.format(
        path=path,
        one=one,
        other=other,
        traffic=traffic,
        sizes="packet_size: [64]\n  " if sizes else "",
        sizes_of_one="packet_size: 64, " if sizes else "",
    )


def written(folder: Path, text: str) -> Path:
    file = folder / "any.yaml"
    file.write_text(text)
    return file


def plan_of(spec: Experiment) -> Plan:
    return make_plan(spec, lab_capabilities(2, ("vanilla", "inline")))


@pytest.mark.parametrize(("path", "one", "other", "traffic", "where", "levels"), KEYS, ids=[key[0] for key in KEYS])
def test_a_key_is_a_factor_in_the_plan_exclude_include_tiers_and_set(
    tmp_path: Path, path: str, one: str, other: str, traffic: str, where: str, levels: list[object]
) -> None:
    file = written(tmp_path, text_of(path, one, other, traffic))
    plan = plan_of(load_experiment(file))
    measured = [trial for trial in plan.trials if trial.kind == "measure"]
    assert {(trial.levels.variant, trial.levels[path]) for trial in measured} == {
        ("vanilla", levels[0]),
        ("inline", levels[0]),
        ("inline", levels[1]),
    }
    assert [trial.levels[path] for trial in measured if trial.levels.tunnels == 3] == [levels[0]] * 2
    for trial in plan.trials:
        assert reduce(getattr, where.split("."), trial.traffic) == trial.levels[path]
    assert len({trial.trial_id for trial in plan.trials}) == len(plan.trials)
    assert Plan.from_json(plan.to_json()) == plan
    assert {trial.levels[path] for trial in plan_of(load_experiment(file, tier="small")).trials} == {levels[0]}
    changes = [f"factors.{path}=[{other}]", "exclude=[]", "include=[]"]
    assert {trial.levels[path] for trial in plan_of(load_experiment(file, overrides=changes)).trials} == {levels[1]}


@pytest.mark.parametrize("path", ["traffic.ip_version", "traffic.paths"])
def test_what_decides_addresses_and_routes_has_blocks_of_its_own(tmp_path: Path, path: str) -> None:
    text = next(text_of(*key[:4]) for key in KEYS if key[0] == path)
    plan = plan_of(load_experiment(written(tmp_path, text)))
    nets = [{(net.version, net.paths) for net in map(layout.net_of, block.trials)} for block in plan.blocks]
    assert [len(of_block) for of_block in nets] == [1, 1]
    assert nets[0] != nets[1]
    assert all(factor_of(path).label in block.settings_text for block in plan.blocks)


def test_each_key_is_a_factor_or_there_is_a_reason() -> None:
    areas = ("traffic", "factors")
    for name, field in Experiment.model_fields.items():
        key = field.alias or name
        assert key in areas or why_fixed(key), f"say in fixed_keys.py why {key} cannot be a factor"
    for schema in own_schemas().values():
        for key in ("tool", *keys_of(schema)):
            path = f"traffic.{key}"
            assert (path in traffic_paths(schema)) != bool(why_fixed(path)), path


REFUSED = {
    "traffic.tool": "Each tool measures its own quantity",
    "traffic.search.goals": "List them under traffic.search",
    "traffic.command.port": "A tool of your own has keys that can be factors",
    "traffic.latency.rate": "Probes are the same in all cells",
    "probes.latency.rate": "Probes are the same in all cells",
    "sample_every": "Probes are the same in all cells",
    "repetitions": "the same for all cells",
    "repetitions.boots": "the same for all cells",
    "limits.competing_load": "the same for all cells",
    "seed": "the same for all cells",
    "testbed": "compare the runs with `orch compare`",
    "kernel": "compare the runs with `orch compare`",
    "topology": "compare the runs with `orch compare`",
    "variants": "The factor is variant",
    "traffic": "each by its whole path, as in traffic.streams",
    "links.lan.delay": "only the one between the gateways can be shaped: links.wan.delay",
}


@pytest.mark.parametrize("key", REFUSED)
@pytest.mark.parametrize(
    ("old", "new", "line", "column"),
    [
        ("  traffic.streams: [1, 2]", "  {key}: [1, 2]", 6, 3),
        ("exclude: []", "exclude: [{{{key}: 1}}]", 7, 12),
        ("include: []", "include: [{{variant: inline, cores: 1, tunnels: 1, {key}: 1}}]", 8, 51),
        ("small: {}", "small: {{factors: {{{key}: [1]}}}}", 11, 21),
    ],
)
def test_a_key_that_cannot_be_a_factor_has_a_sentence(
    tmp_path: Path, key: str, old: str, new: str, line: int, column: int
) -> None:
    text = (
        "experiment: fixed\nfactors:\n  variant: [inline]\n  cores: [1]\n  tunnels: [1]\n  traffic.streams: [1, 2]\n"
        "exclude: []\ninclude: []\ntraffic: {duration: 2s}\ntiers:\n  small: {}\n"
    )
    assert old in text
    with pytest.raises(SpecError) as error:
        load_experiment(written(tmp_path, text.replace(old, new.format(key=key))))
    found = next(problem for problem in error.value.problems if f"{key} cannot be a factor. " in problem.message)
    assert REFUSED[key] in found.message
    assert found.span is not None
    assert (found.span.line + 1, found.span.column + 1) == (line, column)


CONFLICTS = {
    "traffic.protocol: udp": "udp needs a target rate",
    "traffic.flows: 3": "traffic.flows is only for the tool pktgen, but the tool is iperf3",
    "traffic.duration: 300s": "which traffic of 301 s would include",
    "tunnel.device: shared, traffic.paths: ecmp": "ecmp spreads flows over devices",
    "links.wan.reorder: 1%": "links.wan.delay must be above 0",
}


@pytest.mark.parametrize("levels", CONFLICTS)
def test_levels_of_an_extra_cell_that_conflict_have_a_sentence(tmp_path: Path, levels: str) -> None:
    text = text_of("traffic.streams", "1", "2", IPERF3).replace("tunnels: 3, ", f"tunnels: 3, {levels}, ")
    with pytest.raises(SpecError, match=r"any.yaml:\d+:\d+") as error:
        load_experiment(written(tmp_path, text))
    assert CONFLICTS[levels] in str(error.value)


def test_levels_that_conflict_are_allowed_if_their_cells_are_excluded(tmp_path: Path) -> None:
    text = text_of("traffic.search.method", "mlrsearch", "binary", PKTGEN)
    text = text.replace("\nexclude:", "\n  traffic.search.tries: [1, 3]\nexclude:")
    with pytest.raises(SpecError, match="binary offers each load once"):
        load_experiment(written(tmp_path, text))
    text = text.replace("\ninclude:", "\n  - {traffic.search.method: binary, traffic.search.tries: 3}\ninclude:")
    plan = plan_of(load_experiment(written(tmp_path, text)))
    searches = {(trial.traffic.search.method, trial.traffic.search.tries) for trial in plan.trials}
    assert searches == {("mlrsearch", 1), ("mlrsearch", 3), ("binary", 1)}


def test_a_level_in_other_units_is_listed_twice(tmp_path: Path) -> None:
    text = text_of("traffic.bitrate", "1 Gbit/s", "1000 Mbit/s", IPERF3)
    with pytest.raises(SpecError, match="1000 Mbit/s is listed twice"):
        load_experiment(written(tmp_path, text))


def test_a_wrong_level_is_one_error(tmp_path: Path) -> None:
    text = text_of("traffic.direction", "up", "both", IPERF3).replace(", traffic.direction: up}", "}")
    with pytest.raises(SpecError) as error:
        load_experiment(written(tmp_path, text.replace("traffic.direction: [up]}", "cores: [1]}")))
    assert len(error.value.problems) == 1
    assert "factors.traffic.direction[0]: up is not one of forward, reverse, both" in str(error.value)


def test_tables_figures_and_the_page_have_times_and_addresses_as_factors(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(tmp_path, patch)
        lab.script = lambda trial, number: ok(1e9 * trial.traffic.duration_s / trial.traffic.version)
        factors = {"variant": ("vanilla", "inline"), "cores": (1,), "tunnels": (2,)}
        factors |= {"traffic.duration": ("2s", "4s"), "traffic.ip_version": (4, 6)}
        path = lab.run(experiment="any", factors=factors, traffic={"duration": "2s"}, repetitions=2).path
    run = load(path)
    cells = run.cells()
    assert len(cells) == 8
    for row in cells.to_dict("records"):
        assert row["median_bps"] == pytest.approx(1e9 * row["traffic.duration"] / row["traffic.ip_version"])
    drawing = figures.further_factors(run)
    assert [axes.get_xlabel() for axes in drawing.figure.axes] == ["Duration", "IP version"]
    assert [label.get_text() for label in drawing.figure.axes[0].get_xticklabels()] == ["2 s", "4 s"]
    assert traffic_in_words(run.meta) == "iperf3, TCP, 1 stream in each tunnel, 2 s or 4 s after 1 s of warm-up"
    spread = "connections: 8 or 128, spread over the tunnels by multipath routes"
    assert counted_by(run.meta) == "What the receivers counted"
    assert counted_by(load(RESULTS / "example-peers").meta) == "What the tunnels counted where the traffic arrives"
    assert traffic_in_words(load(RESULTS / "example-flows").meta) == f"iperf3, TCP, {spread}, 4 s after 1 s of warm-up"


@pytest.mark.parametrize(
    ("traffic", "more", "valid"),
    [({}, {}, False), ({}, {"traffic.duration": ["1s", "2s"]}, True), ({"duration": "2s"}, {}, True)],
)
def test_an_editor_asks_for_a_duration_unless_it_is_a_factor(
    traffic: dict[str, str], more: dict[str, list[str]], valid: bool
) -> None:
    factors = {"variant": ["vanilla"], "cores": [1], "tunnels": [1], **more}
    content = {"experiment": "any", "factors": factors, "traffic": traffic}
    assert Draft202012Validator(experiment_schema()).is_valid(content) == valid
