# SPDX-License-Identifier: Apache-2.0
"""The code of docs/extending.md is run as it stands, and what an extension needs is counted."""

import asyncio
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self

import pyarrow.parquet as pq
import pytest

from orchestrator.agent.messages import Request
from orchestrator.analysis.dataset import load
from orchestrator.analysis.page import render
from orchestrator.cli.app import run_command
from orchestrator.errors import TestbedError, UserError
from orchestrator.kernel.variants import variant
from orchestrator.measure import attached, layout
from orchestrator.measure.attempt import Outcome
from orchestrator.paths import CHECKOUT
from orchestrator.plan import Plan, make_plan
from orchestrator.plan.capabilities import lab_capabilities
from orchestrator.running import run_experiment
from orchestrator.spec import SpecError, check_file, load_experiment, load_testbed, tool_of
from orchestrator.systems import system_of
from orchestrator.testbed import open_testbed
from orchestrator.testbed.provider import provider_of
from orchestrator.tools import BadReport
from tests.unit.test_run_campaign import FakeTestbed, Quiet, ok

PAGE = CHECKOUT / "docs" / "extending.md"


class Lab(FakeTestbed):
    """Stands for the lab, without machines. ``reserved``: whether it was reserved when it was entered."""

    def __init__(self, testbed: Any, progress: Any, **more: Any) -> None:
        super().__init__()
        self.name = testbed.testbed  # type: ignore[misc]

    reserved: bool | None = None

    def __enter__(self) -> Self:
        Lab.reserved = Path("reserved.txt").exists()
        return self

    def __exit__(self, *exception: object) -> None: ...


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the current folder one with the files of the page: each is a block whose first line names it."""
    for text in re.findall(r"```(?:yaml|python)\n(.*?)```", PAGE.read_text(), re.DOTALL):
        path = tmp_path / text.splitlines()[0].removeprefix("# ")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("orchestrator.testbed.uml.provider.OpenUmlTestbed", Lab)
    monkeypatch.setattr("orchestrator.run.work.run_attempt", lambda *arguments: ok())
    monkeypatch.setattr("orchestrator.run.work.make_links", lambda *arguments: None)
    return tmp_path


def test_a_notebook_and_a_claim_of_ones_own_are_files_beside_the_spec(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = load_experiment(folder / "judged.yaml")
    assert set(experiment.inputs) == {"view.py", "my-claims.yaml"}
    assert experiment.notebooks == ("scaling", "view.py")
    assert "own claims: H1." in check_file(folder / "my-claims.yaml")

    def attempted(testbed: object, trial: Any, *more: object) -> Outcome:
        carried = {"vanilla": 1e9, "inline": 2e9}[trial.levels.variant] if trial.kind == "measure" else 1e10
        return ok(carried * (1 + trial.repetition / 100))

    monkeypatch.setattr("orchestrator.run.work.run_attempt", attempted)
    changed = {"notebooks": ["view.py"]}
    run = run_experiment("judged.yaml", results=folder / "results", set=changed, report=True)
    assert [(verdict.claim, verdict.verdict) for verdict in run.verify()] == [("H1", "reproduced")]
    assert "In the order of the plan." in (page := (run.path / "report.html").read_text())
    assert "inline helps two tunnels" in page
    assert (run.path / "notebooks" / "view.ipynb").is_file()
    # Repeated elsewhere, where the spec's files are not.
    for name in ("judged.yaml", "view.py", "my-claims.yaml"):
        (folder / name).unlink()
    monkeypatch.setattr("orchestrator.cli.run.draw", lambda summary: None)
    assert run_command(["rerun", str(run.path), "--results", str(folder / "again"), "--yes"]) == 0, capsys.readouterr()
    (again,) = (folder / "again" / "judged").iterdir()
    assert [verdict.claim for verdict in load(again).verify()] == ["H1"]
    assert (again / "inputs" / "view.py").read_bytes() == (run.path / "inputs" / "view.py").read_bytes()


def test_a_run_in_a_notebook_that_is_interrupted_keeps_what_it_measured_and_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[str] = []

    def interrupted(testbed: Any, trial: Any, *more: Any) -> Outcome:
        if len(measured) == 3:
            raise KeyboardInterrupt
        measured.append(trial.trial_id)
        return ok()

    async def cell(**more: Any) -> Any:
        return run_experiment("mtu.yaml", results=folder / "results", **more)  # in an event loop, as in Jupyter

    monkeypatch.setattr("orchestrator.run.work.run_attempt", interrupted)
    with pytest.raises(TestbedError, match="it was interrupted") as error:
        asyncio.run(cell())
    told = re.search("resume='(.*)'", str(error.value))
    assert told is not None
    trials = load(told[1]).trials
    assert list(trials[trials["status"] == "ok"]["trial_id"]) == measured
    monkeypatch.setattr("orchestrator.run.work.run_attempt", lambda *arguments: ok())
    run = asyncio.run(cell(resume=told[1]))
    assert str(run.path) == told[1]
    assert set(run.trials["status"]) == {"ok"}


def bench_of(folder: Path) -> Any:
    return load_testbed(str(folder / "bench.yaml"))


def test_the_page_counts_what_its_extensions_need() -> None:
    text = PAGE.read_text()
    rows = re.findall(r"^\| (to [^|]+) \| ([^|]+) \| (\d+) \|$", text, re.MULTILINE)
    assert len(rows) == 8
    assert {changed for _, _, changed in rows} == {"0"}
    need = {wanted: written for wanted, written, _ in rows}
    assert need["to vary another key of the spec"] == "a line in `factors`"
    assert need["to send other traffic, or measure something else"] == "a file with a tool"
    assert need["to measure tunnels of another kind"] == "a file with a system, and a variants file"
    assert need["to use machines that orch does not know"] == "a folder with a provider"
    # The code of all of them, which the other tests run beside the package as it is: a file each.
    code = re.findall(r"^```python\n# (\S+)$", text, re.MULTILINE)
    assert code == ["view.py", "gre.py", "pingpong.py", "reserved/__init__.py"]


def test_a_factor_of_any_key_is_a_line_of_the_spec(folder: Path) -> None:
    plan = make_plan(load_experiment(folder / "mtu.yaml"), lab_capabilities(1, ("vanilla", "inline")))
    cells = [trial.levels.more for trial in plan.iterate() if trial.levels.variant == "inline"]
    levels = {(cell["tunnel.mtu"], cell["traffic.streams"]) for cell in cells}
    assert levels == {(1280, 1), (1280, 4), (1420, 1), (1420, 4)}


def test_a_tool_is_one_file_whose_keys_are_factors_and_whose_number_is_shown(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempted(testbed: Any, trial: Any, *rest: Any) -> Outcome:
        read = tool_of(trial.traffic).read(attempt_of(trial), printed_by(trial, trial.traffic.message))
        quantity = trial.traffic.quantity.model_dump(mode="json")
        measured = {"throughput_bps": None, "value": read.value, "quantity": quantity, "overhead_s": 0.5}
        return Outcome(status="ok", measurements=measured)

    monkeypatch.setattr("orchestrator.run.work.run_attempt", attempted)
    run = run_experiment("pingpong.yaml", results=folder / "results")
    assert set(run.trials["status"]) == {"ok"}
    measured = run.trials[run.trials["kind"] == "measure"]
    assert set(measured["traffic.message"]) == {64, 1024}
    assert (measured["value"] == measured["traffic.message"] * measured["tunnels"] / 2).all()
    assert set(measured["unit"]) == {"round trips/s"}
    assert run.quantity.axis == "Round trips in round trips/s"
    page = render(run, run.path, [])
    assert "pingpong, 2 s after 1 s of warm-up" in page
    told = json.loads((run.path / "run.json").read_text())
    extension = load_experiment("pingpong.yaml").traffic.extension
    assert extension is not None
    assert told["source"]["extensions"] == {"tools pingpong": {"from": "./pingpong.py", "hash": extension.digest}}
    again = run_experiment("pingpong.yaml", results=folder / "results", resume=run.path)
    assert len(again.trials) == len(run.trials)


READ_THERE = """
import pickle, sys
from orchestrator.spec import tool_of
trial = pickle.loads(sys.stdin.buffer.read())
traffic = trial.traffic
print(traffic.message, tool_of(traffic).quantity(traffic).unit, traffic.extension.digest, trial.trial_id)
sys.stdout.flush()
sys.stdout.buffer.write(pickle.dumps(traffic.again({**traffic.stored, "message": 5}).stored))
"""


@pytest.mark.parametrize("there", [True, False])
def test_a_tool_at_a_path_goes_with_a_trial_to_a_worker_of_dask(folder: Path, there: bool) -> None:
    from distributed.protocol.pickle import dumps

    spec = load_experiment("pingpong.yaml")
    trial = next(iter(make_plan(spec, lab_capabilities(1, ("vanilla", "inline"))).iterate()))
    extension = spec.traffic.extension
    assert extension is not None
    sent, digest = dumps(trial), extension.digest
    if not there:  # a worker on another computer
        (folder / "pingpong.py").unlink()
    done = subprocess.run([sys.executable, "-c", READ_THERE], input=sent, capture_output=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr.decode()
    told, _, answer = done.stdout.partition(b"\n")
    message = trial.traffic.message  # type: ignore[attr-defined]
    assert told.decode() == f"{message} round trips/s {digest} {trial.trial_id}"
    assert pickle.loads(answer) == {**trial.traffic.stored, "message": 5}
    assert (folder / "cache" / "orch" / "extensions").exists() != there


def test_a_probe_is_an_entry_of_the_spec_whose_numbers_are_a_frame(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = {
        "probe-slab-gateway-b": {"status": 0, "out": "Slab:           2048 kB\n", "err": ""},
        **{f"probe-sockets-{role}": {"status": 0, "out": "TCP: inuse 2", "err": ""} for role in ("client", "server")},
    }

    def attempted(testbed: Any, trial: Any, variant: Any, tell: Any, conditions: Any, *rest: Any) -> Outcome:
        outcome = ok()
        attempt: Any = SimpleNamespace(
            trial=trial,
            conditions=conditions,
            outcome=outcome,
            roles=layout.roles(trial.topology),
            placement=layout.Placement((("a", layout.roles(trial.topology)),), {}),
        )
        asked = attached.requests(attempt)["a"]
        assert {command["name"] for command in asked["commands"]} == set(printed)
        assert asked["commands"][1]["arguments"][2].startswith("import time; time.sleep(2);")
        counted = {one["name"]: 40 + trial.repetition for one in asked["tracepoints"]}
        outcome.probes.update(attached.of_hosts(attempt, {"a": {"tracepoints": counted}}, printed))
        return outcome

    monkeypatch.setattr("orchestrator.run.work.run_attempt", attempted)
    run = run_experiment("beside.yaml", results=folder / "results")
    assert set(run.trials["status"]) == {"ok"}
    found = run.probed[run.probed["kind"] == "measure"]
    assert len(found) == 2 * 2 * 4
    slab = found[found["probe"] == "slab"]
    assert (set(slab["value"]), set(slab["unit"]), set(slab["role"])) == ({2048 * 1024}, {"bytes"}, {"gateway-b"})
    napi = found[found["probe"] == "napi"]
    assert (set(napi["value"]), set(napi["unit"])) == ({41, 42}, {"times"})
    assert found[found["probe"] == "sockets"]["value"].isna().all()
    measured = run.trials[run.trials["kind"] == "measure"]
    assert [name for name in measured if name.startswith("probe_")] == ["probe_napi_a", "probe_slab_gateway-b"]
    assert (set(measured["probe_slab_gateway-b"]), set(measured["probe_napi_a"])) == ({2048 * 1024}, {41, 42})
    field = pq.read_schema(run.path / "trials.parquet").field("probe_slab_gateway-b")
    assert field.metadata[b"unit"] == b"bytes"
    assert len(list(run.path.glob("trials/*/*/probe-sockets-client.out"))) == len(run.trials)


class Asked:
    """An agent that remembers its requests."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    patience = 1.0

    def ask(self, request: Request[Any]) -> None:
        self.asked.append((request.operation, request.arguments()))

    def answer(self, timeout_s: float) -> dict[str, Any]:
        return {}


def test_a_system_is_one_file_that_makes_devices_and_routes(folder: Path) -> None:
    spec = load_experiment("unencrypted.yaml")
    gre = variant("gre", spec.own_variants.described)
    agent = Asked()
    testbed: Any = SimpleNamespace(hosts=Lab.hosts, nics={}, agents={"a": agent})
    net = layout.Net(layout.SITE_TO_SITE, devices=system_of(gre).devices)
    system_of(gre).create(testbed, net, 2, gre)
    ((operation, asked),) = agent.asked
    assert operation == "ip_tunnels"
    wanted = asked["gateways"]["gateway-b"]
    assert wanted["lines"][:2] == [
        f"link add gre{i} type gre local 198.18.0.2 remote 198.18.0.1 key {i}" for i in (1, 2)
    ]
    assert [route["devices"] for route in wanted["routes"]] == [["gre1"], ["gre2"]]


def test_a_system_of_ones_own_is_named_in_the_run(folder: Path) -> None:
    run = run_experiment("unencrypted.yaml", results=folder / "results")
    assert set(run.trials["status"]) == {"ok"}
    told = json.loads((run.path / "run.json").read_text())
    assert told["variants"]["gre"] | {"settings": {}} == told["variants"]["gre"]
    assert (told["variants"]["gre"]["system"], told["variants"]["gre"]["is"]) == ("gre", "GRE")
    (extension,) = load_experiment("unencrypted.yaml").own_variants.extensions
    assert told["source"]["extensions"] == {"systems gre": {"from": "./gre.py", "hash": extension.digest}}
    page = render(run, run.path, [])
    assert "WireGuard and GRE" in page


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("./gre.py", "./geneve.py", r"tunnels\.yaml:4:11: \./geneve\.py is not a module"),
        ("./gre.py", "grre", r"4:11: gre\.system: grre is not one of wireguard, ipsec, plain"),
        (
            "system: ./gre.py",
            "system: ./gre.py\n  settings: {key: 1}",
            r"gre does not fit: GRE has no setting key\. Expected no settings",
        ),
    ],
)
def test_a_mistake_in_a_variant_of_a_system_is_said_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    file = folder / "tunnels.yaml"
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(SpecError, match=said):
        load_experiment("unencrypted.yaml")


def attempt_of(trial: Any) -> Any:
    return SimpleNamespace(trial=trial, addresses=lambda tunnel: (f"from-{tunnel}", f"to-{tunnel}"))


def printed_by(trial: Any, count: int, status: int = 0) -> dict[str, Any]:
    numbers = range(1, trial.levels.tunnels + 1)
    return {f"client-{tunnel}": {"status": status, "out": f"{count}\n", "err": "no route"} for tunnel in numbers}


def test_a_report_of_a_tool_that_is_no_number_is_said(folder: Path) -> None:
    plan = make_plan(load_experiment("pingpong.yaml"), lab_capabilities(1, ("vanilla", "inline")))
    trial = next(plan.iterate())
    with pytest.raises(BadReport, match=r"^The client of tunnel 1 counted nothing: no route\.$"):
        tool_of(trial.traffic).read(attempt_of(trial), printed_by(trial, 1, status=1))


def test_levels_of_a_tool_are_part_of_what_a_trial_is(folder: Path) -> None:
    spec = load_experiment("pingpong.yaml")
    plan = make_plan(spec, lab_capabilities(1, ("vanilla", "inline")))
    trials = [trial for trial in plan.iterate() if trial.kind == "measure"]
    assert len({trial.trial_id for trial in trials}) == len(trials)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json())), spec.traffic).to_json() == plan.to_json()
    assert {trial.traffic.message for trial in trials} == {64, 1024}  # type: ignore[attr-defined]
    assert trials[0].traffic.stored["quantity"]["unit"] == "round trips/s"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("./pingpong.py", "./pong.py", r"pingpong\.yaml:8:17: \./pong\.py is not a module: there is no file"),
        (
            "./pingpong.py",
            "iperf",
            r"8:17: traffic\.tool: iperf is not one of iperf3, pktgen, command\. Did you mean iperf3",
        ),
        (
            "warm_up: 1s",
            "streams: 2",
            r"8:32: traffic\.streams is only for the tool iperf3, but the tool is \./pingpong\.py",
        ),
        ("warm_up: 1s", "mesage: 2", r'8:32: There is no key "traffic\.mesage"\. Did you mean message'),
        ("[64, 1024]", "[64, 0]", r"7:25: factors\.traffic\.message\[1\]: 0 is not valid"),
        ("traffic.message: [64", "traffic.mss: [88 B", r"7:3: traffic\.mss is only for the tool iperf3"),
    ],
)
def test_a_mistake_beside_a_tool_is_said_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    spec = folder / "pingpong.yaml"
    spec.write_text(spec.read_text().replace(old, new))
    with pytest.raises(SpecError, match=said):
        load_experiment(spec)


USES: dict[str, Callable[[], object]] = {
    "pingpong.py": lambda: load_experiment("pingpong.yaml"),
    "gre.py": lambda: load_experiment("unencrypted.yaml"),
    "reserved/__init__.py": lambda: load_testbed("bench.yaml"),
}
LACKING = [
    (
        "pingpong.py",
        "TOOL = PingPong()",
        "TOOL = PingPong",
        r"TOOL is a class, not an instance \(TOOL = PingPong\(\)\)",
    ),
    ("pingpong.py", "(Tool)", "", "its TOOL is not an instance of a subclass of Tool in orchestrator.tools.protocol"),
    ("pingpong.py", "def read(", "def parse(", "it has no method read"),
    ("pingpong.py", "def clients(", "def senders(", "it has no method clients"),
    ("pingpong.py", "    schema = PingPongTraffic\n", "", "its schema is not a subclass of orchestrator.spec.Traffic"),
    ("pingpong.py", "measures =", "counts =", "it does not say what it measures"),
    ("gre.py", "def create(", "def make(", "it has no method create"),
    ("gre.py", 'label = "GRE"', 'name = "GRE"', "it has no label"),
    ("gre.py", '"gre"\n', '"tunnels-of-gre"\n', "devices is 'tunnels-of-gre', not at most 10"),
    ("gre.py", "Overhead(headers=20 + 8)", "28", "overhead is not an Overhead"),
    ("gre.py", "SYSTEM = Gre()", "SYSTEM = Gre", r"SYSTEM is a class, not an instance \(SYSTEM = Gre\(\)\)"),
    (
        "reserved/__init__.py",
        "schema = ReservedTestbed",
        "schema = dict",
        "not a subclass of orchestrator.spec.Testbed",
    ),
    ("reserved/__init__.py", "PROVIDER = Reserved()", "PROVIDER = Reserved", "PROVIDER is a class, not an instance"),
]


@pytest.mark.parametrize(("file", "old", "new", "said"), LACKING)
def test_what_an_extension_lacks_is_said_with_the_place_of_its_name(
    folder: Path, file: str, old: str, new: str, said: str
) -> None:
    code = folder / file
    assert old in code.read_text()
    code.write_text(code.read_text().replace(old, new))
    with pytest.raises(SpecError, match=rf"\.yaml:\d+:\d+: .*{said}.*\. docs/extending\.md says what it needs"):
        USES[file]()


def test_a_tool_comes_by_its_entry_point_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    described = folder / "ping_pong-0.2.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: ping-pong\nVersion: 0.2\n")
    (described / "entry_points.txt").write_text("[orch.tools]\npingpong = pingpong:TOOL\n")
    spec = folder / "pingpong.yaml"
    spec.write_text(spec.read_text().replace("./pingpong.py", "pingpong"))
    traffic = load_experiment(spec).traffic
    assert traffic.extension is not None
    assert traffic.extension.origin == "ping-pong 0.2"


def test_a_provider_is_one_folder_and_runs_a_spec(folder: Path) -> None:
    assert [path.name for path in (folder / "reserved").iterdir()] == ["__init__.py"]
    run = run_experiment("mtu.yaml", testbed="bench.yaml", results=folder / "results")
    assert set(run.trials["status"]) == {"ok"}
    assert len(run.trials) > 0
    assert Lab.reserved is True
    assert not Path("reserved.txt").exists()
    told = json.loads((run.path / "run.json").read_text())
    assert told["testbed"]["provider"] == "reserved"
    extension = bench_of(folder).extension
    assert extension is not None
    assert told["source"]["extensions"] == {"providers reserved": {"from": "./reserved", "hash": extension.digest}}


def test_a_run_is_not_resumed_with_a_provider_that_has_changed_without_a_word(folder: Path) -> None:
    run = run_experiment("mtu.yaml", testbed="bench.yaml", results=folder / "results")
    with (folder / "reserved" / "__init__.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(UserError, match=r"the program that measures: providers reserved\.hash"):
        run_experiment("mtu.yaml", testbed="bench.yaml", results=folder / "results", resume=run.path)


def test_a_testbed_that_cannot_be_reserved_is_not_used(folder: Path) -> None:
    bench = folder / "bench.yaml"
    bench.write_text(bench.read_text().replace("[touch, reserved.txt]", "[ls, /no/such/file]"))
    with pytest.raises(TestbedError, match=r"bench cannot be reserved: .*no/such/file"):
        open_testbed(bench_of(folder), Quiet()).__enter__()  # type: ignore[arg-type]


def test_a_provider_comes_by_its_entry_point_as_well(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(folder)
    described = folder / "reserved_lab-0.3.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: reserved-lab\nVersion: 0.3\n")
    entry = re.findall(r'```toml\n\[project.entry-points."(.*?)"\]\n(.*?) = "(.*?)"\n```', PAGE.read_text())
    assert len(entry) == 1
    group, name, target = entry[0]
    (described / "entry_points.txt").write_text(f"[{group}]\n{name} = {target}\n")
    bench = folder / "bench.yaml"
    bench.write_text(bench.read_text().replace("./reserved", "reserved"))
    testbed = bench_of(folder)
    assert testbed.extension.origin == "reserved-lab 0.3"
    assert provider_of(testbed).summary == "the lab, reserved by a command"


@pytest.mark.parametrize(
    ("provider", "said"),
    [
        ("./elsewhere", "bench.yaml:3:11: ./elsewhere is not a module: there is no file"),
        ("reservd", r"There is no provider reservd\. The providers are: uml .*, qemu .*, ssh .*, pool"),
        ("./uml", "./uml would have the name uml, which is one of this program's own providers"),
    ],
)
def test_a_provider_that_is_not_there_is_said_with_its_place(folder: Path, provider: str, said: str) -> None:
    (folder / "uml").mkdir()
    (folder / "uml" / "__init__.py").write_text("PROVIDER = 1\n")
    bench = folder / "bench.yaml"
    bench.write_text(bench.read_text().replace("./reserved", provider))
    with pytest.raises(SpecError, match=said):
        bench_of(folder)


def test_a_tool_may_have_the_key_of_the_ip_version(folder: Path) -> None:
    tool, spec = folder / "pingpong.py", folder / "pingpong.yaml"
    text = tool.read_text().replace("OwnQuantity, Traffic", "AddressedTraffic, OwnQuantity")
    tool.write_text(text.replace("(Traffic)", "(AddressedTraffic)"))
    spec.write_text(spec.read_text().replace("warm_up: 1s", "ip_version: 6"))
    traffic = load_experiment(spec).traffic
    assert traffic.version == 6
    assert traffic.again(traffic.stored) == traffic
    assert traffic.identity["ip_version"] == 6
