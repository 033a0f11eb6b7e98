# SPDX-License-Identifier: Apache-2.0
"""Disks of lab machines and guests: both are provisioned, checked and recorded in the same way."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator import cache
from orchestrator.agent.host_messages import VariantRequest
from orchestrator.agent.messages import Request
from orchestrator.agent.survey_messages import HelloRequest
from orchestrator.errors import TestbedError
from orchestrator.progress import Silent
from orchestrator.testbed.lab import disk
from orchestrator.testbed.lab.lab import MANAGEMENT
from orchestrator.testbed.lab.machine import LabMachine
from orchestrator.testbed.qemu import disk as guests
from orchestrator.testbed.qemu.machine import TCG
from orchestrator.testbed.uml import disk as machines

RELEASE = "6.12.1"


class Lab:
    """A lab in which every machine answers at once."""

    def __init__(self) -> None:
        self.closed = False
        self.waited_for: list[str] = []

    def ssh_options(self) -> list[str]:
        return ["-F", "none"]

    def login(self, name: str) -> str:
        return name

    def wait_for_ssh(self, name: str, timeout_s: float) -> None:
        self.waited_for.append(name)

    def close(self) -> None:
        self.closed = True


class World:
    """Stand-ins for what makes a disk; they record their calls. ``crypto``, ``release``: what the kernel reports."""

    def __init__(self, folder: Path) -> None:
        self.lab, self.release, self.crypto = Lab(), RELEASE, "avx"
        self.booted: list[LabMachine] = []
        self.ended: list[str] = []
        self.loaded: list[str] = []
        self.played: list[tuple[Any, ...]] = []
        self.image = self.product(folder / "image", kernel_release=RELEASE)
        (self.image.path / "packages.txt").write_text("iperf3 3.18\n")
        (self.image.path / disk.DISK).write_text("an image")
        self.kernel = self.product(folder / "kernel", release=RELEASE)
        (self.kernel.path / "modules").mkdir()
        self.builds = {"upstream": self.product(folder / "module", release=RELEASE, build_id="b1")}

    def product(self, path: Path, **facts: str) -> cache.Product:
        path.mkdir()
        (path / "wireguard.ko").write_text("a module")
        return cache.Product("kind", path.name, path, {"facts": facts})

    def agent(self, login: str) -> "World":
        return self

    def request(self, request: Request[Any], timeout_s: float = 30) -> dict[str, Any]:
        if isinstance(request, VariantRequest):
            self.loaded.append(request.build_id)
        if isinstance(request, HelloRequest):
            return {"kernel_release": self.release}
        return {"complaints": [], "crypto": self.crypto}

    def close(self) -> None: ...

    def boot(self, lab: Lab, machine: LabMachine) -> None:
        self.booted.append(machine)

    def play(self, playbook: str, targets: Any, variables: Any, progress: Any, *, timeout_s: float) -> Any:
        self.played.append((playbook, [(one.name, one.user) for one in targets], variables, timeout_s))
        return SimpleNamespace(tasks=9, changed=4)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(tmp_path)
    monkeypatch.setattr(disk, "Lab", SimpleNamespace(start=lambda: made.lab))
    monkeypatch.setattr(disk, "Agent", made.agent)
    monkeypatch.setattr(disk, "run_playbook", made.play)
    for provider in (guests, machines):
        monkeypatch.setattr(provider, "boot", made.boot)
    monkeypatch.setattr(guests, "wait_until_up", lambda lab, name, timeout_s: lab.wait_for_ssh(name, timeout_s))
    monkeypatch.setattr(guests, "shut_down", lambda lab, name: made.ended.append(name))
    monkeypatch.setattr(machines, "_shut_down", lambda lab: made.ended.append("lab1"))
    return made


def lab_disk(world: World, folder: Path) -> Any:
    return machines._provision(folder, world.kernel, world.image, world.builds, Silent())


def guest_disk(world: World, folder: Path) -> Any:
    return guests._provision(folder, world.image, world.builds, TCG, Silent())


MADE: list[tuple[Callable[[World, Path], Any], str, dict[str, str], float]] = [
    (lab_disk, "lab1", {"crypto": "avx"}, 900),
    (guest_disk, "guest1", {"provisioned_by": TCG}, 1800),
]


@pytest.mark.parametrize(("make", "name", "recorded", "timeout_s"), MADE)
def test_a_disk_is_made_by_booting_provisioning_and_loading_every_build(
    make: Callable[[World, Path], Any],
    name: str,
    recorded: dict[str, str],
    timeout_s: float,
    world: World,
    tmp_path: Path,
) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    assert make(world, folder) == {"tasks": 9, "changed": 4, **recorded}
    (machine,) = world.booted
    assert (machine.name, machine.number, machine.disk, machine.writable) == (name, 1, folder / disk.DISK, True)
    ((playbook, targets, variables, allowed_s),) = world.played
    assert (playbook, targets, allowed_s) == ("provision", [(name, "root")], timeout_s)
    assert [module["build"] for module in variables["orch_modules"]] == ["upstream"]
    assert ("orch_kernel_release" in variables) == (name == "lab1")
    assert (world.lab.waited_for, world.loaded, world.ended) == ([name], ["b1"], [name])
    assert world.lab.closed
    assert sorted(path.name for path in folder.iterdir()) == ["packages.txt", disk.DISK]


@pytest.mark.parametrize("make", [lab_disk, guest_disk])
def test_a_disk_that_boots_another_kernel_is_not_finished(
    make: Callable[[World, Path], Any], world: World, tmp_path: Path
) -> None:
    world.release = "6.1"
    with pytest.raises(TestbedError, match=r"runs the kernel 6\.1, not 6\.12\.1"):
        make(world, tmp_path)
    assert (world.loaded, world.ended, world.lab.closed) == ([], [], True)


def test_a_lab_kernel_without_our_patches_is_refused(world: World, tmp_path: Path) -> None:
    world.crypto = ""
    with pytest.raises(TestbedError, match="does not report its crypto implementation"):
        lab_disk(world, tmp_path)
    assert world.ended == []


def test_a_machine_has_an_interface_for_the_controller_and_one_for_each_link() -> None:
    machine = LabMachine("lab2", 2, Path("/k"), Path("/d"), 1, 2**30, links=("lan-a", "wan"))
    assert machine.ports("veth") == [("veth", bridge, 1) for bridge in (MANAGEMENT, "lan-a", "wan")]
    assert machine.interfaces() == [(f"nic2.{i}", f"02:00:00:00:0{i}:02") for i in range(3)]
