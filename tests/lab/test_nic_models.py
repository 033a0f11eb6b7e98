# SPDX-License-Identifier: Apache-2.0
"""How drivers take the tuning of a host, in a plain Debian machine: those of cards (QEMU's e1000e, vmxnet3 and, where
it has one, igb, beside virtio-net with and without RSS), of processors' frequencies and of their idle states."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.agent.survey_messages import TunablesRequest
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
from tests.lab.acpi import DEEP_LATENCY_US, FREQUENCIES_MHZ, write_table
from tests.lab.computers import Computer, Hardware, Running, start
from tests.lab.debian_machine import debian_machine
from tests.lab.support import orch
from tests.lab.wires import cables

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.beside,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
# By the interface's name: QEMU's model, and its options.
SEVERAL = ",mq=on,vectors=6"
MODELS = {
    "virtio": ("virtio-net-pci", SEVERAL),
    "rss": ("virtio-net-pci", SEVERAL + ",rss=on"),
    "e1000e": ("e1000e", ""),
    "vmxnet3": ("vmxnet3", ""),
    "igb": ("igb", ""),
}
CPUS = 4
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
    return [name for name, (model, _) in MODELS.items() if f'"{model}"' in said]


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A machine with a card of each model; the two of virtio have two queues."""
    made = debian_machine(Silent())
    folder = tmp_path_factory.mktemp("cards")
    options = write_table(folder / "power.aml", range(CPUS))
    with cables(1, 2) as ((here, there),):
        ends = {"virtio": here, "rss": there}
        for number, name in enumerate(models_here()):
            model, more = MODELS[name]
            wire = f"tap,id=p{number},fds={':'.join(map(str, ends[name]))},vhost=off" if name in ends else ""
            options += ["-netdev", wire or f"hubport,id=p{number},hubid=1"]
            options += ["-device", f"{model},netdev=p{number},mac=02:00:00:00:0{number + 1}:01,romfile={more}"]
        hardware = Hardware(f"{CPUS},sockets=1,cores=2,threads=2", 1024, options, [*here, *there])
        with start(Computer("one", made.path / "disk.raw", made.path / "key", folder, hardware)) as booted:
            for number, name in enumerate(models_here()):
                find = f"basename $(dirname $(grep -l 02:00:00:00:0{number + 1}:01 /sys/class/net/*/address))"
                booted.run(f"n=$({find}); ip link set $n down; ip link set $n name {name}; ip link set {name} up")
            # As an administrator may have left them, so that the default has something to do.
            booted.run("ethtool -N rss rx-flow-hash udp4 sd; modprobe acpi-cpufreq")
            booted.run("for f in /sys/devices/system/cpu/cpufreq/*/scaling_governor; do echo schedutil >$f; done")
            yield booted


def enrolled(one: Running, folder: Path, monkeypatch: pytest.MonkeyPatch) -> SshTestbed:
    """The machine as a testbed, with its host key pinned."""
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    file = folder / "cards.yaml"
    file.write_text(TESTBED.format(port=one.port, key=one.key))
    assert orch("testbed", "enroll", file, "--yes").returncode == 0
    testbed = load_testbed(str(file))
    assert isinstance(testbed, SshTestbed)
    return testbed


@contextlib.contextmanager
def tuned(one: Running, testbed: SshTestbed) -> Iterator[Tuner]:
    """What tunes the machine; with the block, all is put back."""
    hosts = Hosts(testbed.hosts, SettingsJournal("cards"))
    hosts.start_agent("one", HostLogin(routes(testbed)["one"], testbed.file))
    try:
        yield Tuner(hosts, Silent())
    finally:
        assert hosts.give_back() == []


@pytest.mark.parametrize("model", MODELS)
def test_a_card_takes_its_tuning_or_refuses_in_a_sentence_and_is_as_it_was(
    model: str, one: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if model not in models_here():
        pytest.skip(f"this QEMU has no {model}")
    testbed = enrolled(one, tmp_path, monkeypatch)
    before = one.run(SHOW.format(model))
    hosts = Hosts(testbed.hosts, SettingsJournal("cards"))
    hosts.start_agent("one", HostLogin(routes(testbed)["one"], testbed.file))
    tuner = Tuner(hosts, Silent())
    done: dict[str, Any] = {}
    try:
        for key, asked in {"the defaults": {}, **ASKED}.items():
            host = testbed.hosts[0].model_copy(update={"nics": {"wan": model}, "tuning": Tuning.model_validate(asked)})
            try:
                settings = tuner.at_home(host, {}, [1])
                if key == "interrupts":
                    can = hosts.agents["one"].request(TunablesRequest([model]))["nics"][model]["interrupts"]
                    wanted = after_queues("one", host.tuning, {"nics": {model: {"interrupts": can}}}, [1])
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
    assert one.run(SHOW.format(model)) == before


def test_second_threads_go_off_line_for_a_run_and_come_back(
    one: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testbed = enrolled(one, tmp_path, monkeypatch)
    online = "cat /sys/devices/system/cpu/online /sys/devices/system/cpu/smt/control"
    assert one.run(online).split() == ["0-3", "on"]
    with tuned(one, testbed) as tuner:
        host = testbed.hosts[0].model_copy(update={"tuning": Tuning(smt=False)})
        assert tuner.at_home(host, {}, [0])["settings_refused"] == {}
        assert one.run(online).split() == ["0,2", "off"]
    assert one.run(online).split() == ["0-3", "on"]


CPU = "/sys/devices/system/cpu"
POWER = f"""
cat {CPU}/cpufreq/policy[0-9]*/scaling_governor
grep . {CPU}/cpu[0-9]*/cpuidle/state*/disable
cat {CPU}/online
true
"""


def test_frequencies_and_idle_states_are_set_and_are_as_they_were(
    one: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    testbed = enrolled(one, tmp_path, monkeypatch)
    assert one.run(f"cat {CPU}/cpufreq/policy0/scaling_driver {CPU}/cpuidle/current_driver").split() == [
        "acpi-cpufreq",
        "acpi_idle",
    ]
    deep = one.run(f"grep -lx {DEEP_LATENCY_US} {CPU}/cpu[0-9]*/cpuidle/state*/latency").replace("latency", "disable")
    before = one.run(POWER)
    with tuned(one, testbed) as tuner:
        # As a block with three of four CPUs: what CPU 3 had is gone with it, or cannot be read.
        record = tuner.at_home(testbed.hosts[0], {f"{CPU}/cpu3/online": "0"}, [0, 1, 2])
        assert record["settings_refused"] == {}
        assert one.run(f"cat {CPU}/cpufreq/policy[012]/scaling_governor").split() == ["performance"] * 3
        fastest = str(FREQUENCIES_MHZ[0] * 1000)
        assert one.run(f"cat {CPU}/cpufreq/policy[012]/scaling_cur_freq").split() == [fastest] * 3
        off = one.run(f"grep -lx 1 {CPU}/cpu[0-9]*/cpuidle/state*/disable").split()
        assert off == [file for file in deep.split() if "/cpu3/" not in file]
    assert one.run(POWER) == before
