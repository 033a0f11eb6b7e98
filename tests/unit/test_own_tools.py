# SPDX-License-Identifier: Apache-2.0
"""The tool command: its entries in a spec, its processes, the number that is read, and where it is shown."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from orchestrator.analysis import comparing, packets
from orchestrator.analysis.claims import verify
from orchestrator.analysis.dataset import load
from orchestrator.analysis.figures import one_tunnel, one_tunnel_a_core, speed_ups, throughput_tunnels
from orchestrator.analysis.headline import headline
from orchestrator.analysis.page import render
from orchestrator.analysis.standings import standings
from orchestrator.cli import compare
from orchestrator.cli.summary import print_summary
from orchestrator.errors import UserError
from orchestrator.measure import layout, requests
from orchestrator.measure.streams import BadReport
from orchestrator.plan import NO_VARIANT
from orchestrator.spec import NumberPattern, SpecError, check_file, load_experiment, read_traffic
from orchestrator.store import headline as of_measurements
from orchestrator.store.tables import tables
from orchestrator.tools.command import runs as own_tools
from orchestrator.tools.command.traffic import Command
from tests.unit.synthetic_run import write_run

ATTEMPT: Any = SimpleNamespace(ends=SimpleNamespace(sender="client", receiver="server"))

COMMAND: dict[str, Any] = {
    "server": ["echo-server", "{address}", "{port}"],
    "client": ["probe", "--to={address}", "{duration}", "{{{tunnel}}}"],
    "read": {"json": "times[-1].median_s", "factor": 1000},
    "quantity": {"name": "round-trip-time", "unit": "ms", "better": "lower"},
}


def spec_of(folder: Path, **changes: Any) -> Path:
    traffic = {"tool": "command", "duration": "2s", "command": {**COMMAND, **changes}}
    factors = {"variant": ["vanilla", "inline"], "cores": [1], "tunnels": [2]}
    file = folder / "probe.yaml"
    file.write_text(yaml.safe_dump({"experiment": "probe", "factors": factors, "traffic": traffic}))
    return file


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"client": ["probe", "{adress}"]}, "there is no {adress}"),
        ({"client": ["probe", "{address:>9}"]}, "has no format"),
        ({"client": ["probe", "{"]}, "traffic.command.client[1]"),
        ({"client": []}, "at least 1 entry"),
        ({"client": ["{files}/probe"]}, "no files are listed"),
        ({"each": "all"}, "one client serves all tunnels"),
        ({"read": {}}, "either json or regex"),
        ({"read": {"json": "a", "regex": "(b)"}}, "either json or regex"),
        ({"read": {"json": "a..b"}}, "a path such as"),
        ({"read": {"regex": "("}}, "a regular expression"),
        ({"read": {"regex": "rate"}}, "it has 0"),
        ({"files": ["../probe"]}, "paths below the folder of the spec"),
        ({"files": ["probe"]}, "Cannot read"),
        ({"quantity": {"name": "rate", "unit": "1/s", "better": "more"}}, "is not one of higher, lower"),
        ({"port": 80}, "at least 1024"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as caught:
        load_experiment(spec_of(tmp_path, **changes))
    assert any(says in problem.message for problem in caught.value.problems), caught.value.problems


def test_the_tool_needs_its_command_and_no_other_tool_has_one(tmp_path: Path) -> None:
    file = spec_of(tmp_path)
    content = yaml.safe_load(file.read_text())
    command = content["traffic"].pop("command")
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(SpecError, match="Add command"):
        check_file(file)
    content["traffic"] |= {"tool": "iperf3", "command": command}
    file.write_text(yaml.safe_dump(content))
    with pytest.raises(SpecError, match="is only for the tool command"):
        check_file(file)


def test_a_file_that_it_brings_is_a_part_of_the_experiment(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "probe.py"
    hashes, inputs = [], []
    for text in ("print(1)", "print(2)", "print(1)"):
        script.write_text(text)
        spec = load_experiment(
            spec_of(tmp_path, files=["tools/probe.py"], client=["python3", "{files}/tools/probe.py"])
        )
        hashes.append((spec.spec_hash, json.dumps(spec.traffic.identity)))
        inputs.append(spec.inputs)
    assert hashes[0] == hashes[2] != hashes[1]
    assert inputs[0] == {"tools/probe.py": b"print(1)"} == spec.files


def test_stored_traffic_is_read_back(tmp_path: Path) -> None:
    (tmp_path / "probe.py").write_text("print(1)")
    traffic = load_experiment(spec_of(tmp_path, files=["probe.py"], deadline="3s")).traffic
    assert read_traffic(json.loads(json.dumps(traffic.stored))) == traffic
    assert "protocol" not in traffic.identity


def test_each_tunnel_has_a_server_and_a_client_with_its_addresses(tmp_path: Path) -> None:
    traffic = load_experiment(spec_of(tmp_path)).traffic
    assert traffic.command is not None
    wanted = own_tools.runs(traffic, 2, 2.0)
    servers = own_tools.servers(ATTEMPT, traffic.command, wanted)
    clients = own_tools.clients(ATTEMPT, traffic.command, wanted)
    far = [layout.receiver_address(tunnel) for tunnel in (1, 2)]
    assert [server["arguments"] for server in servers] == [["echo-server", address, "5201"] for address in far]
    assert [(server["address"], server["port"]) for server in servers] == [(address, 5201) for address in far]
    assert ({server["role"] for server in servers}, {client["role"] for client in clients}) == ({"server"}, {"client"})
    assert clients[1]["arguments"] == ["probe", f"--to={far[1]}", "2", "{2}"]


def test_one_client_for_all_tunnels_knows_all_addresses(tmp_path: Path) -> None:
    changes = {"each": "all", "ready": "starts", "client": ["probe", "{addresses}", "{tunnels}", "{warm_up}"]}
    traffic = load_experiment(spec_of(tmp_path, **changes)).traffic
    assert traffic.command is not None
    assert traffic.command.warms_up_itself
    wanted = own_tools.runs(traffic, 3, 2.0)
    (client,) = own_tools.clients(ATTEMPT, traffic.command, wanted)
    far = ",".join(layout.receiver_address(tunnel) for tunnel in (1, 2, 3))
    assert client["arguments"] == ["probe", far, "3", "1"]
    assert [server["port"] for server in own_tools.servers(ATTEMPT, traffic.command, wanted)] == [None]


def test_ends_send_from_the_address_of_the_tunnel_only_where_programs_are_the_users() -> None:
    for sourced in (False, True):
        net = layout.Net(layout.SITE_TO_SITE, sourced=sourced)
        asked = requests.links_requests(net, 2, layout.Placement([("lab", layout.roles(net.topology))], {}))
        lines = asked["lab"].namespaces["client"]["ip"]
        assert any(f"src {layout.sender_address(2)}" in line for line in lines) is sourced


@pytest.mark.parametrize(
    ("reading", "text", "value"),
    [
        ({"json": "end.rate"}, '{"end": {"rate": 4}}', 4.0),
        ({"json": "[1].a[-1]"}, '[0, {"a": [1, 2.5]}]', 2.5),
        ({"json": "rate", "factor": 0.001}, '{"rate": "1500"}', 1.5),
        ({"regex": r"^rate: (\S+)"}, "rate: 1\nrate: 2e3 x\n", 2000.0),
    ],
)
def test_the_number_in_what_a_client_prints(reading: dict[str, Any], text: str, value: float) -> None:
    assert own_tools.value_in(text, NumberPattern.model_validate(reading)) == pytest.approx(value)


@pytest.mark.parametrize(
    ("reading", "text", "says"),
    [
        ({"json": "end.rate"}, '{"end": {}}', "end.rate is not in it"),
        ({"json": "end[2]"}, '{"end": [1]}', "is not in it"),
        ({"json": "end"}, "end: 1", "not a JSON"),
        ({"json": "end"}, '{"end": true}', "not a number"),
        ({"json": "end"}, '{"end": [1]}', "not a number"),
        ({"json": "end"}, '{"end": NaN}', "not a finite number"),
        ({"regex": r"rate: (\d+)"}, "speed: 1", "nothing matches"),
        ({"regex": r"rate: (\S+)"}, "rate: fast", "not a number"),
    ],
)
def test_what_is_no_number_is_said(reading: dict[str, Any], text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        own_tools.value_in(text, NumberPattern.model_validate(reading))


def ended(status: int | None = 0, out: str = '{"times": [{"median_s": 0.002}]}', err: str = "") -> dict[str, Any]:
    return {"status": status, "out": out, "err": err}


def test_one_number_a_tunnel_and_the_raw_words_of_what_failed(tmp_path: Path) -> None:
    traffic = load_experiment(spec_of(tmp_path)).traffic
    command: Command | None = traffic.command
    assert command is not None
    wanted = own_tools.runs(traffic, 2, 2.0)
    good = {"client-1": ended(), "client-2": ended(out='{"times": [{"median_s": 0.004}]}'), "server-1": ended(None)}
    assert own_tools.read_runs(command, wanted, good) == pytest.approx([2.0, 4.0])
    for wrong, says in (
        ({"client-2": ended(3, err="no route\n")}, 'client of tunnel 2 ended with status 3: "no route"'),
        ({"client-2": ended(-9)}, "ended by signal 9"),
        ({"client-2": ended(None)}, "did not end within 10 s"),
        ({"client-2": ended(out="")}, "not a JSON document"),
        ({"server-1": ended(1, err="in use")}, 'server of the client of tunnel 1 ended with status 1: "in use"'),
    ):
        with pytest.raises(BadReport, match=says):
            own_tools.read_runs(command, wanted, {**good, **wrong})
    assert [own_tools.combined([1.0, 2.0, 6.0], how) for how in ("sum", "mean", "median")] == [9.0, 3.0, 2.0]


def own_run(root: Path, better: str, name: str = "delay", unit: str = "ms", label: str | None = None) -> Path:
    """Return a run whose values, in ms, are 2.0 with vanilla and 1.0 with inline, with some noise."""
    base = {"vanilla": 2.0, "inline": 1.0, NO_VARIANT: 0.9}
    path = write_run(
        root, variants=("vanilla", "inline"), rounds=6, speed=lambda v, c, t, rng: base[v] + rng.random() / 50
    )
    quantity = {"name": name, "unit": unit, "label": label, "better": better}
    command = {**COMMAND, "each": "tunnel", "combine": "mean", "quantity": quantity}
    traffic = {"tool": "command", "command": command, "warm_up_s": 1.0, "duration_s": 3.0}
    meta = json.loads((path / "run.json").read_text())
    for block in meta["plan"]["blocks"]:
        for trial in block["trials"]:
            trial["traffic"] = traffic
    (path / "run.json").write_text(json.dumps(meta))
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        found = attempt["measurements"]
        found |= {"value": found["throughput_bps"], "throughput_bps": None, "quantity": quantity}
        file.write_text(json.dumps(attempt | {"traffic": traffic}))
    return path


@pytest.mark.parametrize(("better", "best"), [("lower", "inline"), ("higher", "vanilla")])
def test_the_better_variant_is_the_one_that_the_direction_says(tmp_path: Path, better: str, best: str) -> None:
    run = load(own_run(tmp_path, better))
    assert {standing.best for standing in standings(run)} == {best}
    assert {standing.outcome for standing in standings(run)} == {"won"}
    first = headline(run)
    assert first.verdict == f"{best} won."
    assert "Delay" in first.ratios
    assert "times as high with vanilla as with inline" in first.ratios
    assert f"{better} is better" in " ".join(first.remarks)
    assert "carried" not in first.ratios + first.verdict


def test_tables_have_the_quantity_with_unit_and_direction(tmp_path: Path) -> None:
    path = own_run(tmp_path, "lower")
    trials, _ = tables(path)
    (row,) = {(r["quantity"], r["unit"], r["better"]) for r in trials.to_pylist()}
    assert row == ("delay", "ms", "lower")
    assert trials.column("throughput_bps").null_count == len(trials)
    run = load(path)
    cells = run.cells()
    assert not [name for name in cells.columns if name.endswith("_bps")]
    assert cells.groupby("variant")["median_value"].median().to_dict() == pytest.approx(
        {"inline": 1.01, "vanilla": 2.01}, abs=0.02
    )
    assert not cells["generator_bound"].any()
    assert run.ratios()["median"].median() == pytest.approx(0.5, abs=0.02)
    assert verify(run) == []
    assert run.limits().empty or not run.loads
    assert run.efficiencies().empty
    assert not packets.search_note(run)


def test_figures_and_page_name_the_quantity_and_never_throughput(tmp_path: Path) -> None:
    run = load(own_run(tmp_path, "lower"))
    for draw in (throughput_tunnels, one_tunnel, one_tunnel_a_core, speed_ups):
        drawing = draw(run)
        labels = " ".join(axes.get_ylabel() for axes in drawing.figure.axes)
        assert "lower is better" in drawing.title
        assert "lower is better" in labels
        assert "hroughput" not in drawing.title + labels
        assert "Gbit/s" not in labels + " ".join(drawing.notes)
    page = render(run, tmp_path, [])
    assert "Delay" in page
    assert "Gbit/s" not in page
    assert "lower is better" in page


def test_names_that_mean_something_to_a_library_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of rich: styles in brackets and the names of emoji; of matplotlib: mathematics between dollar signs."""
    unit, label = "[$/s]", r"[/b] $\frac :smile: $_"
    path = own_run(tmp_path, "lower", unit=unit, label=label)
    run = load(path)
    print_summary(path)
    assert unit in capsys.readouterr().out
    compare.show(run.compare(run))
    said = capsys.readouterr().out
    assert unit in said
    assert label in said
    for draw in (throughput_tunnels, one_tunnel, speed_ups):
        assert draw(run).png
    assert label in render(run, tmp_path, [])


def test_only_the_same_quantity_is_compared(tmp_path: Path) -> None:
    one, other = (load(own_run(tmp_path / name, "lower")) for name in ("a", "b"))
    found = comparing.compare(one, other)
    assert {"median_a_value", "median_b_value"} <= set(found.cells.columns)
    assert found.to_json()["unit"] == "ms"
    for wrong in (
        write_run(tmp_path / "c"),
        own_run(tmp_path / "d", "higher"),
        own_run(tmp_path / "e", "lower", "age"),
    ):
        with pytest.raises(UserError, match="cannot be compared"):
            comparing.compare(one, load(wrong))


def test_the_number_of_an_attempt_has_its_unit() -> None:
    quantity = {"name": "delay", "unit": "ms", "label": None, "better": "lower"}
    assert str(of_measurements({"throughput_bps": None, "value": 0.1234567, "quantity": quantity})) == "0.1235 ms"
