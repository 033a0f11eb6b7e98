# SPDX-License-Identifier: Apache-2.0
"""Loads that are shares of what the slowest variant carries: from a run to the argument that measures them."""

import json
from pathlib import Path
from typing import Any

import pytest

import orchestrator as orch
from orchestrator.analysis.matched import matched_loads
from orchestrator.cli.app import run_command
from orchestrator.errors import UserError
from orchestrator.spec import load_experiment, read_traffic
from orchestrator.spec.overrides import read_override
from orchestrator.spec.problems import SpecError
from orchestrator.tools.iperf3.pairs import clients, pairs
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from tests.unit.synthetic_run import write_run

SPEC = """\
experiment: load
factors:
  variant: [vanilla, inline]
  cores: [1]
  tunnels: [2]
  traffic.bitrate: [max]
traffic: {duration: 10s}
"""


def test_loads_are_shares_of_the_slowest_variants_rate_by_tunnel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_run(tmp_path, cores=(2,), tunnels=(4,))
    run = orch.load(path)
    medians = run.cells().set_index("variant")["median_bps"]
    found = matched_loads(run, [0.25, 0.5])
    assert found.slowest == medians.idxmin()
    assert found.rates_bps == {share: pytest.approx(share * medians.min() / 4) for share in (0.25, 0.5)}
    assert run_command(["loads", str(path), "--shares", "25%, 50%"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == found.override
    assert found.slowest in said.err
    assert run_command(["loads", str(path), "--json"]) == 0
    assert [load["share"] for load in json.loads(capsys.readouterr().out)["loads"]] == [0.25, 0.5, 0.75]


def test_what_orch_loads_prints_is_an_override_of_the_spec(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(2,), tunnels=(4,)))
    override = matched_loads(run, [0.5]).override
    file = tmp_path / "load.yaml"
    file.write_text(SPEC)
    levels = load_experiment(file, overrides=[override]).factors.more["traffic.bitrate"]
    assert levels[0] == "max"
    assert levels[1] == pytest.approx(run.cells()["median_bps"].min() / 8, rel=1e-5)


@pytest.mark.parametrize("shares", ["50", "0%", "101%", "half%", "25%,", "5%%"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, shares: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(["loads", str(tmp_path), "--shares", shares]) == 2
    assert "is not a share" in capsys.readouterr().err


def test_a_run_of_several_places_says_no_loads(tmp_path: Path) -> None:
    run = orch.load(write_run(tmp_path, cores=(1, 2), tunnels=(4,)))
    with pytest.raises(UserError, match="several levels of cores"):
        matched_loads(run, [0.5])


def test_as_fast_as_it_goes_is_a_level_of_the_bit_rate() -> None:
    traffic: Any = Iperf3Traffic(bitrate="max", duration="10s")
    assert traffic.paced_bps is None
    assert read_traffic(traffic.stored) == traffic
    (client,) = clients("client", pairs(1, traffic), traffic)
    assert "--bitrate" not in client["arguments"]
    with pytest.raises(ValueError, match="udp needs a target rate"):
        Iperf3Traffic(bitrate="max", protocol="udp", duration="10s")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("factors.traffic.bitrate=[max]", ["factors", "traffic.bitrate"]),
        ("factors.links.wan.delay=[0]", ["factors", "links.wan.delay"]),
        ("factors.cores=[1]", ["factors", "cores"]),
        ("traffic.duration=3s", ["traffic", "duration"]),
    ],
)
def test_a_factor_by_path_is_one_key_of_an_override(text: str, keys: list[str]) -> None:
    node: Any = read_override(text)[0]
    for key in keys:
        (found,) = node.entries
        assert found == key
        node = node.entries[key]


def test_a_level_set_by_an_override_has_its_place_in_it(tmp_path: Path) -> None:
    file = tmp_path / "load.yaml"
    file.write_text(SPEC)
    with pytest.raises(SpecError, match=r"--set factors.traffic.bitrate=\[0 bit/s\]") as error:
        load_experiment(file, overrides=["factors.traffic.bitrate=[0 bit/s]"])
    assert "more than 0" in str(error.value)
