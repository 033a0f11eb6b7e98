# SPDX-License-Identifier: Apache-2.0
"""How the drivers of other cards take the tuning of interfaces, in a plain Debian machine: QEMU's e1000e, vmxnet3 and
(where it has one) igb, beside virtio-net."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import TestbedError
from orchestrator.progress import Silent
from orchestrator.spec import Tuning, load_testbed
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.qemu import machine
from orchestrator.testbed.settings import SettingsJournal
from orchestrator.testbed.ssh.route import routes
from orchestrator.testbed.ssh.schema import SshTestbed
from orchestrator.testbed.ssh.session import HostLogin
from orchestrator.testbed.ssh.tuner import Tuner
from orchestrator.testbed.tuning import after_queues
from tests.lab.computers import Computer, Hardware, Running, start
from tests.lab.debian_machine import debian_machine
from tests.lab.support import orch
from tests.lab.wires import cables

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
MODELS = ("virtio-net-pci", "e1000e", "vmxnet3", "igb")
TESTBED = """\
testbed: cards
provider: ssh
hosts:
  - name: one
    address: 127.0.0.1
    port: {port}
    user: root
    key: {key}
    roles: [client, gateway-a, gateway-b, server]
"""
SHOW = "for o in k l g c; do ethtool -$o {0} 2>/dev/null; done; ethtool -n {0} rx-flow-hash udp4 2>/dev/null; true"
# What a file asks for by name: it is set, or refused in a sentence.
ASKED: dict[str, dict[str, Any]] = {
    "ring": {"ring": "most"},
    "coalesce": {"coalesce": "20 us"},
    "offloads": {"offloads": {"tcp-segmentation-offload": False}},
    "hash": {"hash": "addresses"},
    "channels": {"channels": 2},
    "interrupts": {"interrupts": "per-core"},
}


def models_here() -> list[str]:
    """Those of the models that this QEMU has."""
    said = subprocess.run([machine.program(), "-device", "help"], capture_output=True, text=True, check=True).stdout
    return [model for model in MODELS if f'"{model}"' in said]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A machine with a card of each model, named by their models; that of virtio has two queues."""
    made = debian_machine(Silent())
    folder = tmp_path_factory.mktemp("cards")
    options: list[str] = []
    with cables(1, 2) as ((here, _),):
        for number, model in enumerate(models_here()):
            several = model.startswith("virtio")
            network = f"tap,id=p{number},fds={':'.join(map(str, here))},vhost=off" if several else ""
            options += ["-netdev", network or f"hubport,id=p{number},hubid=1"]
            device = f"{model},netdev=p{number},mac=02:00:00:00:0{number + 1}:01,romfile="
            options += ["-device", device + ",mq=on,vectors=6" * several]
        hardware = Hardware("4,sockets=1,cores=2,threads=2", 1024, options, here)
        with start(Computer("one", made.path / "disk.raw", made.path / "key", folder, hardware)) as booted:
            for number, model in enumerate(models_here()):
                find = f"basename $(dirname $(grep -l 02:00:00:00:0{number + 1}:01 /sys/class/net/*/address))"
                name = model.partition("-")[0]
                booted.run(f"n=$({find}); ip link set $n down; ip link set $n name {name}; ip link set {name} up")
            yield booted


@pytest.mark.parametrize("model", MODELS)
def test_a_card_takes_its_tuning_or_refuses_in_a_sentence_and_is_as_it_was(
    model: str, one: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if model not in models_here():
        pytest.skip(f"this QEMU has no {model}")
    nic = model.partition("-")[0]
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "cards.yaml"
    file.write_text(TESTBED.format(port=one.port, key=one.key))
    assert orch("testbed", "enroll", file, "--yes").returncode == 0
    testbed = load_testbed(str(file))
    assert isinstance(testbed, SshTestbed)
    before = one.run(SHOW.format(nic))
    hosts = Hosts(testbed.hosts, SettingsJournal("cards"))
    hosts.start_agent("one", HostLogin(routes(testbed)["one"], testbed.file))
    tuner = Tuner(hosts, Silent())
    done: dict[str, Any] = {}
    try:
        for key, asked in {"the defaults": {}, **ASKED}.items():
            host = testbed.hosts[0].model_copy(update={"nics": {"wan": nic}, "tuning": Tuning.model_validate(asked)})
            try:
                settings = tuner.at_home(host, {}, [1])
                if key == "interrupts":
                    can = hosts.agents["one"].request("tunables", nics=[nic])["nics"][nic]["interrupts"]
                    wanted = after_queues("one", host.tuning, {"nics": {nic: {"interrupts": can}}}, [1])
                    settings = hosts.apply_settings("one", wanted, may_refuse=list(wanted))
                found = {name: value for name, value in settings["settings"].items() if name[:4] in ("nic/", "irq/")}
                done[key] = {**found, "refused": settings["settings_refused"]}
            except TestbedError as error:
                done[key] = str(error)
    finally:
        problems = hosts.give_back()
    print(model, done)
    refusals = {key: said for key, said in done.items() if isinstance(said, str)}
    assert all(f"tuning.{key}" in said for key, said in refusals.items()), refusals
    assert problems == []
    assert one.run(SHOW.format(nic)) == before


def test_second_threads_go_off_line_for_a_run_and_come_back(
    one: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    file = tmp_path / "cards.yaml"
    file.write_text(TESTBED.format(port=one.port, key=one.key))
    assert orch("testbed", "enroll", file, "--yes").returncode == 0
    testbed = load_testbed(str(file))
    assert isinstance(testbed, SshTestbed)
    online = "cat /sys/devices/system/cpu/online /sys/devices/system/cpu/smt/control"
    assert one.run(online).split() == ["0-3", "on"]
    hosts = Hosts(testbed.hosts, SettingsJournal("cards"))
    hosts.start_agent("one", HostLogin(routes(testbed)["one"], testbed.file))
    try:
        host = testbed.hosts[0].model_copy(update={"tuning": Tuning(smt=False)})
        assert Tuner(hosts, Silent()).at_home(host, {}, [0])["settings_refused"] == {}
        assert one.run(online).split() == ["0,2", "off"]
    finally:
        assert hosts.give_back() == []
    assert one.run(online).split() == ["0-3", "on"]
