# SPDX-License-Identifier: Apache-2.0
"""The provider qemu without guests: its spec, QEMU's options, the probe, the monitor, and the choice of a testbed."""

import asyncio
import gzip
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cache import Product
from orchestrator.errors import TestbedError, UserError
from orchestrator.learned import learn
from orchestrator.progress import Silent
from orchestrator.spec import SpecError, load_experiment, load_testbed
from orchestrator.testbed import capabilities, computer
from orchestrator.testbed.choice import choose_testbed
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.qemu import machine, probe
from orchestrator.testbed.qemu.disk import check_release
from orchestrator.testbed.qemu.image import unpacked
from orchestrator.testbed.qemu.machine import KVM, TCG, Guest, arguments, command_line
from orchestrator.testbed.qemu.schema import QemuTestbed

BOOTED = {"kernel": Path("/k"), "initrd": Path("/i"), "disk": Path("/a,b/root.ext4")}
GUEST = Guest(name="guest1", number=1, **BOOTED, cpus=1, memory_bytes=2**30, accelerator=TCG, links=("wan",))
FILE = "testbed: t\nprovider: qemu\nhosts:\n  - {name: a, roles: [client, gateway-a, gateway-b, server]}\n"


# --- the spec ---


def test_a_guest_has_the_newest_kernel_unless_its_file_says_another(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(FILE)
    (host,) = load_testbed(file).hosts
    assert (host.kernel, host.memory) == ("trixie-6.12", 2**30)
    file.write_text(FILE.replace("server]", "server], kernel: bookworm-6.1, memory: 512 MiB"))
    (host,) = load_testbed(file).hosts
    assert (host.kernel, host.memory) == ("bookworm-6.1", 2**29)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("server]", "server], kernel: trixie-6.1", "a kernel of kernel/releases.yaml: bookworm-6.1"),
        ("server]", "client]", "each of the roles"),
        ("server]", "server], cpus: 1-2", "cpus"),
    ],
)
def test_mistakes_in_a_testbed_of_guests(tmp_path: Path, old: str, new: str, says: str) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(FILE.replace(old, new))
    with pytest.raises(SpecError, match=says):
        load_testbed(file)


@pytest.mark.parametrize("name", ["guests", "guests-6.1"])
def test_the_checkout_s_guests_are_two_that_share_the_cores(name: str) -> None:
    testbed = load_testbed(name)
    assert isinstance(testbed, QemuTestbed)
    assert testbed.testbed == name
    found = capabilities(testbed)
    assert found.max_cores == max(1, len(os.sched_getaffinity(0)) // 2)
    assert ("threaded" in found.variants) == (name == "guests")
    assert {"vanilla", "inline"} <= set(found.variants)
    assert ("CVE-2026-52945" in found.reasons.get("variants", "")) == (name != "guests")


# --- QEMU's options ---


def pairs(options: list[str]) -> list[tuple[str, str]]:
    return list(itertools.pairwise(options))


def test_an_emulated_guest_with_one_core() -> None:
    options = arguments(GUEST, Path("/lab"))
    found = pairs(options)
    assert ("-accel", "tcg,thread=single") in found
    assert ("-smp", "1") in found
    assert ("-drive", "file=/lab/guest1.qcow2,format=qcow2,cache=unsafe,if=virtio") in found
    assert ("-drive", "file=/lab/keys.tar,format=raw,readonly=on,if=virtio") in found
    assert [value for option, value in found if option == "-netdev"] == [
        f"tap,id=n{i},ifname=nic1.{i},script=no,downscript=no,vhost=off" for i in (0, 1)
    ]
    assert not any("mq=on" in word for word in options)
    assert "mitigations=off" in command_line(GUEST)


def test_a_guest_under_kvm_with_several_cores_has_a_queue_for_each() -> None:
    further = {"accelerator": KVM, "writable": True, "links": ("wan", "lan-b")}
    guest = Guest(name="guest2", number=2, **BOOTED, cpus=4, memory_bytes=2**29, **further)
    options = arguments(guest, Path("/lab"))
    found = pairs(options)
    assert ("-cpu", "host") in found
    assert ("-smp", "4") in found
    assert ("-m", "512M") in found
    assert ("-drive", "file=/a,,b/root.ext4,format=raw,if=virtio") in found
    nets = [value for option, value in found if option == "-netdev"]
    assert len(nets) == 3
    assert all(value.endswith(",queues=4") for value in nets)
    cards = [value for option, value in found if option == "-device" and "virtio-net" in value]
    assert [value.split("mac=")[1][:17] for value in cards] == [f"02:00:00:00:0{i}:02" for i in range(3)]
    assert all(value.endswith("mq=on,vectors=10") for value in cards)
    assert "mitigations" not in command_line(guest)


def test_without_qemu_a_sentence_names_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TestbedError, match=r"apt-get install qemu-system-x86 qemu-utils$"):
        machine.program()
    (tmp_path / machine.QEMU).write_text("#!/bin/sh\n")
    (tmp_path / machine.QEMU).chmod(0o755)
    with pytest.raises(TestbedError, match=r"apt-get install qemu-utils$"):
        machine.program()


# --- whether KVM works ---


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo before; printf 'a program '; sleep 0.1; echo 'runs here'; exec sleep 60", True),
        ("echo something else; exec sleep 60", False),
        ("exit 1", False),
        ("exec yes", False),
    ],
)
def test_a_guest_counts_when_it_says_so_in_time(script: str, expected: bool) -> None:
    began = time.monotonic()
    assert probe.says(["sh", "-c", script], b"a program runs here", 1.0) is expected
    assert time.monotonic() - began < 3.0


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Make a computer with a /dev/kvm of which nothing is known yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "orch").mkdir()
    path = tmp_path / "kvm"
    path.touch()
    monkeypatch.setattr(probe, "DEVICE", path)
    return path


@pytest.mark.parametrize(("prints", "name"), [(probe.MARKER.decode(), KVM), ("Kernel panic", TCG)])
def test_the_answer_holds_for_this_boot_of_the_computer(
    device: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prints: str, name: str
) -> None:
    for program in machine.PACKAGES:
        (tmp_path / program).write_text(f"#!/bin/sh\necho tried >>{tmp_path}/tries\necho {prints}\n")
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert probe.known_accelerator() is None
    for _ in range(2):
        assert probe.find_accelerator(Path("/k"), Path("/i"), Silent()).name == name
    assert (tmp_path / "tries").read_text() == "tried\n"
    monkeypatch.setattr(computer, "BOOT_ID", tmp_path / "another")
    (tmp_path / "another").write_text("another boot\n")
    assert probe.known_accelerator() is None


def test_without_the_device_nothing_is_tried(device: Path) -> None:
    device.unlink()
    found = probe.known_accelerator()
    assert found is not None
    assert (found.name, found.why) == (TCG, f"this computer has no {device}")


# --- auto ---


def remember(works: bool) -> None:
    learn(f"kvm/{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}", float(works))


@pytest.mark.parametrize(("works", "chosen"), [(True, "guests"), (False, "lab")])
def test_auto_is_guests_where_kvm_works(
    device: Path, monkeypatch: pytest.MonkeyPatch, works: bool, chosen: str
) -> None:
    monkeypatch.setattr("orchestrator.testbed.qemu.machine.missing_packages", list)
    remember(works)
    testbed, why = choose_testbed("auto", None)
    assert testbed.testbed == chosen
    assert why.startswith(f"auto is the testbed {chosen}: ")


def test_a_plan_for_auto_tries_nothing(device: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.testbed.qemu.machine.missing_packages", list)
    testbed, why = choose_testbed("auto", None)
    assert testbed.testbed == "lab"
    assert "tried when a run begins" in why
    monkeypatch.setattr("orchestrator.testbed.qemu.machine.missing_packages", lambda: ["qemu-system-x86"])
    assert "guests would need qemu-system-x86" in choose_testbed("auto", Silent())[1]


def test_auto_can_be_in_a_spec_and_is_no_testbed_by_itself(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "experiment: s\ntestbed: auto\nfactors: {variant: [vanilla], cores: [1], tunnels: [1]}\n"
        "traffic: {duration: 1s}\nrepetitions: 1\n"
    )
    assert load_experiment(file).testbed == "auto"
    with pytest.raises(UserError, match="auto is only for"):
        load_testbed("auto")
    assert choose_testbed("lab", None) == (load_testbed("lab"), "")


# --- the monitor ---


@contextmanager
def monitor(folder: Path, answers: dict[str, Any]) -> Iterator[None]:
    """Start a monitor of a guest called g that replays one conversation, as QEMU's does."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(machine.monitor(folder, "g")))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            version = {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}
            connection.sendall(json.dumps({"QMP": {"version": version, "capabilities": []}}).encode() + b"\n")
            while request_text := connection.recv(65536):  # one byte at a time, and no line end
                request = json.loads(request_text)
                answer = {"return": answers.get(request["execute"], {}), "id": request.get("id")}
                connection.sendall(json.dumps({k: v for k, v in answer.items() if v is not None}).encode() + b"\n")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield
    thread.join(5)
    listener.close()


def test_what_the_monitor_says(tmp_path: Path) -> None:
    lab = Lab(tmp_path, None)
    with monitor(tmp_path, {"query-status": {"status": "guest-panicked", "running": False}}):
        assert machine.run_state(lab, "g") == "guest-panicked"
    machine.monitor(tmp_path, "g").unlink()
    with monitor(tmp_path, {"query-kvm": {"enabled": True, "present": True}}):
        assert machine.accelerator_of(lab, "g") == KVM
    with pytest.raises(TestbedError, match="gone: QEMU does not answer to query-status"):
        machine.run_state(lab, "gone")


def test_the_monitor_answers_where_an_event_loop_runs_as_in_a_notebook(tmp_path: Path) -> None:
    async def cell() -> str:
        return machine.run_state(Lab(tmp_path, None), "g")

    with monitor(tmp_path, {"query-status": {"status": "running"}}):
        assert asyncio.run(cell()) == "running"


# --- products ---


def test_a_module_of_another_kernel_is_refused_and_the_older_product_is_named() -> None:
    def product(kind: str, made_at: str, **facts: str) -> Product:
        return Product(kind, "0" * 16, Path("/cache") / kind, {"facts": facts, "made_at": made_at})

    image = product("guest-image", "2026-11-02T00:00:00Z", kernel_release="6.12.2")
    check_release(image, {"upstream": product("release-module", "2026-11-01T00:00:00Z", release="6.12.2")})
    with pytest.raises(TestbedError, match=r"built for the kernel 6\.12\.1, .* Remove /cache/release-module and try"):
        check_release(image, {"upstream": product("release-module", "2026-11-01T00:00:00Z", release="6.12.1")})
    with pytest.raises(TestbedError, match="Remove /cache/guest-image and try"):
        check_release(image, {"upstream": product("release-module", "2026-11-03T00:00:00Z", release="6.12.3")})


def test_an_initrd_is_kept_without_compression() -> None:
    plain = b"070701" + b"name" + b"TRAILER!!!" + bytes(7)
    assert unpacked(gzip.compress(plain)) == plain
    assert unpacked(plain + gzip.compress(plain)) == plain + plain
