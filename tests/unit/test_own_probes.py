# SPDX-License-Identifier: Apache-2.0
"""Probes of a spec: where they may occur, how commands are started and ended, and messages on those that fail."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.agent.attached import Attached
from orchestrator.agent.host import AgentError
from orchestrator.agent.processes import TrialProcesses
from orchestrator.measure import attached
from orchestrator.measure.streams import BadReport
from orchestrator.spec import Probe, SpecError, load_experiment

SPEC = """\
experiment: beside
factors: {variant: [vanilla], cores: [1], tunnels: [1]}
traffic: {duration: 2s}
probes:
  disk:
    %s
"""


@pytest.mark.parametrize(
    ("probe", "said"),
    [
        ("{command: [df, '{role}']}", ""),
        ("{at: all, tracepoint: 'napi:napi_poll'}", ""),
        ("{command: [df], read: {regex: '(.)'}, unit: files}", ""),
        ("{at: ends}", r"6:5: .*either command or tracepoint"),
        ("{command: [df], tracepoint: 'napi:napi_poll'}", r"6:5: .*either command or tracepoint"),
        ("{command: [df], filter: x}", r"6:5: .*filter beside a tracepoint only"),
        ("{command: [df], read: {regex: '(.)'}}", r"6:5: .*read and unit together"),
        ("{command: [df], unit: files}", r"6:5: .*read and unit together"),
        ("{command: [df, '{tunnel}']}", r"6:\d+: .*there is no \{tunnel\}"),
        ("{at: routers, command: [df]}", r"6:10: "),
        ("{command: []}", r"6:\d+: "),
        ("{tracepoint: napi}", r"6:\d+: "),
    ],
)
def test_where_a_probe_may_stand(tmp_path: Path, probe: str, said: str) -> None:
    file = tmp_path / "beside.yaml"
    file.write_text(SPEC % probe)
    if not said:
        assert list(load_experiment(file).probes) == ["disk"]
        return
    with pytest.raises(SpecError, match=said):
        load_experiment(file)


def test_an_end_has_no_probe_between_gateways_and_a_search_none_beside_its_loads(tmp_path: Path) -> None:
    file = tmp_path / "beside.yaml"
    file.write_text("topology: gateway-to-gateway\n" + SPEC % "{at: ends, command: [df]}")
    with pytest.raises(SpecError, match=r"7:10: at: ends names a role that topology gateway-to-gateway does not have"):
        load_experiment(file)
    text = (SPEC % "{command: [df]}").replace("tunnels: [1]", "tunnels: [1], packet_size: [64]")
    file.write_text(text.replace("{duration: 2s}", "{tool: pktgen, duration: 2s, rate: 1 kpps}"))
    assert list(load_experiment(file).probes) == ["disk"]
    file.write_text(text.replace("{duration: 2s}", "{tool: pktgen, duration: 2s, search: {goals: [ndr]}}"))
    with pytest.raises(SpecError, match=r"4:1: Nothing runs beside the loads of a search\. Remove probes"):
        load_experiment(file)


def test_a_spec_without_probes_is_what_it_was(tmp_path: Path) -> None:
    file = tmp_path / "beside.yaml"
    file.write_text(SPEC % "{command: [df]}")
    with_probe = load_experiment(file)
    file.write_text(file.read_text().partition("probes:")[0])
    without = load_experiment(file)
    assert "probes" not in without.model_dump(mode="json")
    assert without.spec_hash != with_probe.spec_hash


WAITS = """
import pathlib, sys, time
try:
    pathlib.Path(sys.argv[1]).touch()
    time.sleep(60)
except KeyboardInterrupt:
    print('counted 7')
"""


@pytest.fixture
def traffic(traffic: TrialProcesses) -> Iterator[TrialProcesses]:
    reads, writes = os.pipe()
    controller = os.dup(0)
    os.dup2(reads, 0)  # a controller that says nothing
    yield traffic
    os.dup2(controller, 0)
    for descriptor in (controller, reads, writes):
        os.close(descriptor)


def command(name: str, *arguments: str) -> dict[str, Any]:
    return {"role": "client", "name": name, "arguments": list(arguments), "timed": name == "alone"}


def test_a_command_ends_by_itself_or_by_an_interrupt(traffic: TrialProcesses, tmp_path: Path) -> None:
    commands = [
        command("alone", sys.executable, "-c", "import time; time.sleep(0.3); print('alone')"),
        command("waits", sys.executable, "-c", WAITS, str(tmp_path / "waits")),
        command("sleeps", "sleep", "60"),
    ]
    with Attached(traffic, commands, []) as beside:
        beside.start()
        until = time.monotonic() + 30
        while not (tmp_path / "waits").exists() and time.monotonic() < until:
            time.sleep(0.05)
        beside.stop()
        beside.end()
        traffic.wait(time.monotonic() + 30)
    found = traffic.stop()
    assert {name: (one["status"], one["out"]) for name, one in found.items()} == {
        "alone": (0, "alone\n"),
        "waits": (0, "counted 7\n"),
        "sleeps": (-2, ""),
    }


def test_a_program_that_is_not_there_is_named(traffic: TrialProcesses) -> None:
    beside = Attached(traffic, [command("none", "no-such-program")], [])
    with beside, pytest.raises(AgentError, match="no-such-program cannot be started: there is no such program"):
        beside.start()


def attempt_with(probe: dict[str, Any]) -> Any:
    roles = ("client", "gateway-a", "gateway-b", "server")
    return SimpleNamespace(
        trial=SimpleNamespace(kind="measure"),
        conditions=SimpleNamespace(probes={"disk": Probe.model_validate(probe)}),
        outcome=SimpleNamespace(raw={}),
        placement=SimpleNamespace(host_of=lambda role: "a"),
        roles=roles,
    )


@pytest.mark.parametrize(
    ("status", "out", "said"),
    [
        (None, "1", r"The probe disk at client did not end in time"),
        (3, "1", r"The probe disk at client ended with status 3: \"broken\""),
        (0, "none", r"The probe disk at client: nothing matches \(\\d\+\)"),
    ],
)
def test_a_command_that_gives_no_number_fails_the_attempt_and_its_output_is_kept(
    status: int | None, out: str, said: str
) -> None:
    attempt = attempt_with({"at": "client", "command": ("df",), "read": {"regex": r"(\d+)"}, "unit": "files"})
    printed = {"probe-disk-client": {"status": status, "out": out, "err": "broken" if status else ""}}
    with pytest.raises(BadReport, match=said):
        attached.of_hosts(attempt, {}, printed)
    assert attempt.outcome.raw["probe-disk-client.out"] == out
