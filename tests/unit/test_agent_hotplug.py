# SPDX-License-Identifier: Apache-2.0
"""The agent's readings of CPUs while some are offline: their files are missing, or reading them gives EBUSY."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent import host, probes, survey, tuning
from orchestrator.agent.survey_messages import TunablesRequest

read = host.read_text
TOPOLOGY = ("core_id", "physical_package_id", "thread_siblings_list")


class Cpus:
    """A folder that stands for /sys/devices/system/cpu, whose CPUs can go offline."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.busy: set[str] = set()
        self.write("present", f"0-{number - 1}")
        self.write("smt/control", "notsupported")
        for cpu in range(number):
            policy = f"cpufreq/policy{cpu}/scaling_"
            self.write(policy + "governor", "schedutil")
            self.write(policy + "available_governors", "performance schedutil")
            self.write(policy + "cur_freq", str(3_000_000 + cpu))
            self.write(f"cpu{cpu}/thermal_throttle/core_throttle_count", str(cpu))
            self.write(f"cpu{cpu}/cpuidle/state1/latency", "2")
            self.write(f"cpu{cpu}/cpuidle/state1/disable", "0")
            self.write(f"cpu{cpu}/topology/core_id", str(cpu))
            self.write(f"cpu{cpu}/topology/physical_package_id", "0")
            self.write(f"cpu{cpu}/topology/thread_siblings_list", str(cpu))
            (folder / f"cpu{cpu}/cpufreq").symlink_to(folder / f"cpufreq/policy{cpu}")
            if cpu:
                self.write(f"cpu{cpu}/online", "1")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")

    def off_line(self, cpu: int) -> None:
        """As Linux leaves it: the policy answers EBUSY, the rest is gone."""
        self.busy.add(f"policy{cpu}")
        self.write(f"cpu{cpu}/online", "0")
        for name in ("thermal_throttle/core_throttle_count", *(f"topology/{file}" for file in TOPOLOGY)):
            (self.folder / f"cpu{cpu}" / name).unlink()
        (self.folder / f"cpu{cpu}/cpuidle/state1/latency").unlink()

    def read(self, path: str) -> str:
        if any(name in os.path.realpath(path) for name in self.busy):
            raise OSError(errno.EBUSY, "Device or resource busy", path)
        text: str = read(path)
        return text


@pytest.fixture
def cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cpus:
    made = Cpus(tmp_path, 4)
    for module in (probes, survey, tuning):
        monkeypatch.setattr(module, "CPUS", str(tmp_path))
    for module in (host, tuning, survey):
        monkeypatch.setattr(module, "read_text", made.read)
    monkeypatch.setattr(tuning, "TURBO", ())
    return made


def governed(cpus: Cpus) -> list[str]:
    found = tuning.tunables(TunablesRequest([]))
    assert {Path(one["name"]).parts[-4] for one in found["idle"]} == {f"cpu{name[6:]}" for name in names_of(found)}
    return names_of(found)


def names_of(found: dict[str, Any]) -> list[str]:
    return [Path(path).parent.name for path in found["governors"]]


def test_what_cannot_be_read_is_not_tuned_and_is_again_once_the_cpu_is_back(cpus: Cpus) -> None:
    cpus.off_line(2)
    assert governed(cpus) == ["policy0", "policy1", "policy3"]


def test_a_governor_says_which_energy_preference_is_its_own(cpus: Cpus) -> None:
    cpus.write("cpufreq/policy1/energy_performance_preference", "balance_power")
    found = [one["preference"] for one in tuning.tunables(TunablesRequest([]))["governors"].values()]
    name = str(cpus.folder / "cpufreq/policy1/energy_performance_preference")
    assert found == [None, {"name": name, "now": "balance_power"}, None, None]


def test_samples_are_of_the_cpus_that_are_on_line_at_that_moment(cpus: Cpus) -> None:
    first = probes.surroundings([])
    assert (first["throttled"], first["frequency_khz"]) == (6, [3_000_000, 3_000_001, 3_000_002, 3_000_003])
    cpus.off_line(2)
    cpus.off_line(3)
    then = probes.surroundings([])
    assert (then["throttled"], then["frequency_khz"]) == (1, [3_000_000, 3_000_001])
    cpus.busy.clear()
    cpus.write("cpu3/thermal_throttle/core_throttle_count", "5")
    assert probes.surroundings([])["throttled"] == 6


def test_nothing_is_tuned_on_a_cpu_that_is_off_line_although_its_files_are_there(cpus: Cpus) -> None:
    cpus.off_line(3)
    cpus.write("cpu3/cpuidle/state1/latency", "2")  # as acpi_idle leaves it
    found = [one["name"].split("/")[-4] for one in tuning.tunables(TunablesRequest([]))["idle"]]
    assert found == ["cpu0", "cpu1", "cpu2"]


def test_a_frequency_that_the_driver_does_not_know_is_left_out(cpus: Cpus) -> None:
    cpus.write("cpufreq/policy0/scaling_cur_freq", "<unknown>")
    assert len(probes.surroundings([])["frequency_khz"]) == 3


@pytest.mark.parametrize(("control", "why"), [("off", "smt"), ("forceoff", "smt-forced"), ("on", "unknown")])
def test_a_cpu_that_is_off_line_says_why_as_far_as_that_can_be_known(cpus: Cpus, control: str, why: str) -> None:
    cpus.write("smt/control", control)
    cpus.off_line(3)
    rows = survey.cpu_facts()
    assert [row["off_because"] for row in rows] == [None, None, None, why]
    assert [row["online"] for row in rows] == [True, True, True, False]
    assert [row["can_go_offline"] for row in rows] == [False, True, True, True]
    assert (rows[3]["core"], rows[2]["core"]) == (None, 2)


def test_a_cpu_that_is_possible_and_not_present_is_absent(cpus: Cpus) -> None:
    cpus.write("present", "0-1,3")
    assert [row["off_because"] for row in survey.cpu_facts()] == [None, None, "absent", None]
    cpus.write("enabled", "0,2-3")  # a virtual machine on Arm whose second CPU was not plugged in
    assert [row["off_because"] for row in survey.cpu_facts()] == [None, "absent", "absent", None]


def test_threads_of_a_core_are_those_that_the_kernel_tells_as_list_or_range(cpus: Cpus) -> None:
    for cpu, text in enumerate(("0,2", "1,3", "0,2", "1,3")):
        cpus.write(f"cpu{cpu}/topology/thread_siblings_list", text)
    assert [row["threads"] for row in survey.cpu_facts()] == [[0, 2], [1, 3], [0, 2], [1, 3]]
    cpus.off_line(3)
    cpus.write("cpu1/topology/thread_siblings_list", "0-1")
    assert [row["threads"] for row in survey.cpu_facts()][1:] == [[0, 1], [0, 2], None]


@pytest.mark.parametrize(("text", "cpus_in_it"), [("0-2,5", {0, 1, 2, 5}), ("", set()), ("(null)", set()), ("7", {7})])
def test_a_list_of_the_kernels_is_read(tmp_path: Path, text: str, cpus_in_it: set[int]) -> None:
    (tmp_path / "list").write_text(text + "\n")
    assert survey.listed(str(tmp_path / "list")) == cpus_in_it
    assert survey.listed(str(tmp_path / "nothing")) is None


def test_a_kernel_has_what_is_loaded_and_not_what_nothing_lists() -> None:
    loaded = sorted(os.listdir("/sys/module"))[0]
    assert survey.has_kernel_module(loaded) is True
    assert survey.has_kernel_module("no-such-module-at-all") is not True
