# SPDX-License-Identifier: Apache-2.0
"""Energy and cycles: the agent's readings, the difference between two of them, and the cost of a cell."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.agent import hardware
from orchestrator.analysis.dataset import load
from orchestrator.analysis.limits import costs
from orchestrator.analysis.limits.costs import not_readable
from orchestrator.analysis.limits.explain import explain_run
from orchestrator.analysis.page import render
from orchestrator.measure.probes import energy_joules, per_cpu_seconds
from tests.unit.synthetic_run import write_run

SOFTWARE, CPU_CLOCK = 1, 0


def zone(root: Path, folder: str, name: str, energy: str = "5000000", span: str = "262143328850") -> None:
    place = root / folder
    place.mkdir(parents=True)
    for file, text in (("name", name), ("energy_uj", energy), ("max_energy_range_uj", span)):
        (place / file).write_text(f"{text}\n")


def test_energy_is_that_of_packages_and_their_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "POWERCAP", str(tmp_path))
    assert hardware.energy() == {}
    (tmp_path / "intel-rapl").mkdir()  # the control type itself is not a zone
    zone(tmp_path, "intel-rapl:0", "package-0")
    zone(tmp_path, "intel-rapl:0:0", "core")  # a part of the package
    zone(tmp_path, "intel-rapl:0:1", "dram", energy="7")
    zone(tmp_path, "intel-rapl:1", "package-1", energy="not a number")
    found = hardware.energy()
    assert set(found) == {"intel-rapl:0", "intel-rapl:0:1"}
    assert found["intel-rapl:0"] == {"name": "package-0", "uj": 5_000_000, "range_uj": 262143328850}


@given(start=st.integers(0, 10**6), spent=st.integers(0, 10**6))
def test_energy_is_the_same_wherever_the_counter_begins_again(start: int, spent: int) -> None:
    span = 10**6
    began, ended = ({"name": "package-0", "uj": at % (span + 1), "range_uj": span} for at in (start, start + spent))
    found = energy_joules({"energy": {"intel-rapl:0": began}}, {"energy": {"intel-rapl:0": ended}})
    assert found == {"package-0": pytest.approx(spent / 1e6)}


def test_energy_of_no_counter_is_none() -> None:
    counted = {"energy": {"intel-rapl:0": {"name": "package-0", "uj": 1, "range_uj": 9}}}
    assert energy_joules({"energy": {}}, {"energy": {}}) is None
    assert energy_joules({}, counted) is None  # of an agent that did not read it before


def test_a_counter_of_a_cpu_counts_whatever_runs_on_it() -> None:
    descriptor = hardware.open_counter(0, SOFTWARE, CPU_CLOCK)
    if descriptor is None:
        pytest.skip("this kernel gives no counter of a whole CPU to this user")
    with hardware.Cycles([]) as cycles:
        cycles.counters["0"] = descriptor
        first = cycles.read()["0"]
        began = time.monotonic()
        while time.monotonic() < began + 0.05:
            pass
        assert cycles.read()["0"] - first > 20e6  # nanoseconds of the clock
    assert cycles.read() == {}


def test_where_a_cpu_has_no_counter_no_cpu_has_one() -> None:
    with hardware.Cycles(["0", "4095"]) as cycles:
        assert cycles.read() == {}


def test_cycles_are_told_of_the_cpus_that_counted_them_twice() -> None:
    ticks = [0] * 8
    before = {"ticks_per_s": 100, "cpus": {"0": ticks, "1": ticks}, "cycles": {"0": 100}}
    rows = per_cpu_seconds(before, {**before, "cycles": {"0": 350, "1": 7}})
    assert [row.get("cycles") for row in rows] == [250, None]


def counted_run(folder: Path, *, energy: bool, cycles: bool) -> Any:
    shape: Any = {"variants": ("vanilla", "inline"), "cores": (2,), "tunnels": (2,), "speed": lambda *_: 2e9}
    path = write_run(folder, rounds=3, **shape)
    for file in path.glob("trials/*/*/attempt.json"):
        attempt = json.loads(file.read_text())
        probes = attempt["probes"]
        factor = 2 if attempt["levels"]["variant"] == "vanilla" else 1
        probes["energy_j"] = {"lab1": {"package-0": 60.0 * factor, "dram of intel-rapl:0:0": 5.0} if energy else None}
        for row in probes["per_cpu"]:
            row |= {"cycles": 10**9 * factor} if cycles else {}
        file.write_text(json.dumps(attempt))
    return load(path)


def test_a_cell_costs_cycles_and_joules(tmp_path: Path) -> None:
    run = counted_run(tmp_path, energy=True, cycles=True)
    table = costs(run).set_index("variant")
    packets = 2e9 * 3 / 8 / 1420
    assert table.loc["inline", "cycles_a_packet"] == pytest.approx(2e9 / packets)
    assert table.loc["vanilla", "cycles_a_packet"] == pytest.approx(4e9 / packets)
    assert table.loc["inline", "joules_a_gbit"] == pytest.approx(60 / 6)  # 2 Gbit/s for 3 s
    assert table.loc["vanilla", "joules_a_gbit"] == pytest.approx(120 / 6)
    said = "\n".join(explain_run(run))
    assert "cycles per packet" in said
    assert "J per Gbit" in said
    assert "Not readable" not in said
    page = render(run, tmp_path, [])
    assert '<td class="n">20.0</td>' in page
    assert "Not readable" not in page


@pytest.mark.parametrize(
    ("energy", "cycles", "told"),
    [
        (False, False, "Not readable here: cycles of CPUs (no hardware counter) and energy (no RAPL counter)."),
        (True, False, "Not readable here: cycles of CPUs (no hardware counter)."),
        (False, True, "Not readable here: energy (no RAPL counter)."),
    ],
)
def test_what_could_not_be_read_is_said_once(tmp_path: Path, energy: bool, cycles: bool, told: str) -> None:
    run = counted_run(tmp_path, energy=energy, cycles=cycles)
    assert not_readable(costs(run)) == told
    assert "\n".join(explain_run(run)).count(told) == 1
    page = render(run, tmp_path, [])
    assert page.count(told) == 1
    assert ("J per Gbit</th>" in page) == energy
