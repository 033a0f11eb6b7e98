# SPDX-License-Identifier: Apache-2.0
"""Two plain Debian machines with several NUMA nodes, SMT and many queues, as anybody's hosts: what is between them is a
VLAN on a bond, and orch has nothing but their SSH ports. Emulated, with all their CPUs on one thread each."""

import contextlib
import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.releases import release_module
from orchestrator.progress import Silent
from orchestrator.testbed.qemu import machine
from tests.lab.computers import Computer, Hardware, Running, start
from tests.lab.debian_machine import RELEASE, debian_machine
from tests.lab.support import all_ok_once, attempts_in, orch, running_orch, runs_in, wait_until
from tests.lab.wires import cables

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
QUEUES = 2
SMP = "4,sockets=2,cores=1,threads=2"
NODES = [
    *("-object", "memory-backend-ram,size=768M,id=m0", "-object", "memory-backend-ram,size=768M,id=m1"),
    *("-numa", "node,nodeid=0,cpus=0-1,memdev=m0", "-numa", "node,nodeid=1,cpus=2-3,memdev=m1"),
]
TESTBED = """\
testbed: rack
provider: ssh
hosts:
  - name: left
    address: 127.0.0.1
    port: LEFT
    user: root
    key: KEY
    roles: [client, gateway-a]
    nics: {wan: data.7}
  - name: right
    address: 127.0.0.1
    port: RIGHT
    user: root
    key: KEY
    roles: [gateway-b, server]
    nics: {wan: data.7}
    cpus: node-0
"""
SPEC = """\
experiment: rack
factors: {variant: [vanilla, inline], cores: [1, 2], tunnels: [2]}
traffic: {warm_up: 0s, duration: 2s}
repetitions: 1
retries: 3
# Emulated machines keep no time.
limits:
  report_only: [duration, window, competing_load, steal, variation, retransmits, drops, counters, headroom, clock_skew]
"""
# As an administrator makes it; the address and a route are what a run has to bring back.
LINK = """
set -e
n=0
# Machines that were copied from one have one machine-id, of which systemd would make one hardware address.
ip link add data type bond mode active-backup miimon 100
udevadm settle; ip link set data address 02:00:00:01:00:0NUMBER
for folder in $(grep -l 02:00:00:00:0[12]:0 /sys/class/net/*/address); do
  device=$(basename ${folder%/address})
  ip link set $device down; ip link set $device name port$n
  ip link set port$n master data; ip link set port$n up; n=$((n+1))
done
ip link set data up; ip link add link data name data.7 type vlan id 7; ip link set data.7 up mtu 1500
ip address add 203.0.113.NUMBER/24 dev data.7; ip route add 198.51.100.0/24 via 203.0.113.9 metric 77
ip -6 address add 2001:db8:7::NUMBER/64 dev data.7
ip address add 192.0.2.NUMBER/24 dev data
sysctl -qw net.ipv4.conf.data/7.log_martians=1
echo 3 >/sys/class/net/data.7/queues/rx-0/rps_cpus
"""
# What of a machine a run may not leave changed.
SNAPSHOT = r"""
sysctl -a 2>/dev/null | grep -vE 'random|nr_|-nr|dentry|inode|pid|uuid|stat_refresh|entropy|tainted|ns_last' | sort
ip -details -json link | python3 -c "$LINKS"
ip -details address | grep -v -e valid_lft -e link/ -e '^[0-9]'; ip -N route show table all | sort
ip -6 -N route show table all | sed 's/expires [0-9]*sec/expires/' | sort; ip rule; ip -6 rule; ip nexthop
ip neighbour show nud permanent; tc qdisc | sort; ip netns; lsmod | grep wireguard
for nic in port0 port1 data data.7 mgmt; do
  ethtool -k $nic; ethtool -l $nic 2>/dev/null; ethtool -g $nic 2>/dev/null; ethtool -c $nic 2>/dev/null
  ethtool -n $nic rx-flow-hash udp4 2>/dev/null; grep -s . /sys/class/net/$nic/queues/*/*ps_cpus
done
cat /sys/devices/system/cpu/online /sys/devices/system/cpu/smt/control; systemctl is-active irqbalance
find /run/orch /run/netns -type f -size +0; grep -v /run/netns /proc/mounts; ls -A /tmp | grep -v systemd-private
pgrep -af 'iperf3|orch-agent' | grep -v pgrep
true
"""
LINKS = """
import json, sys
for link in json.load(sys.stdin):
    kept = ("ifname", "link", "mtu", "qdisc", "operstate", "flags", "master", "txqlen", "address", "linkinfo")
    print(json.dumps({key: link[key] for key in kept if key in link}))
"""


@dataclass(frozen=True)
class Rack:
    """The two machines, a testbed file that names them, and a spec."""

    machines: tuple[Running, Running]
    file: Path
    spec: Path

    def snapshot(self) -> set[str]:
        """What a run may not leave changed, a line each."""
        script = SNAPSHOT.replace("$LINKS", LINKS.replace('"', '\\"'))
        return {f"{one.name}: {line}" for one in self.machines for line in one.run(script).splitlines()}

    def arguments(self, results: Path) -> tuple[str | Path, ...]:
        return ("run", self.spec, "--no-report", "--testbed", self.file, "--results", results)


@contextlib.contextmanager
def two_computers(folder: Path) -> Iterator[Rack]:
    """Two machines that are joined by a VLAN on a bond, with their host keys enrolled."""
    made = debian_machine(Silent())
    with contextlib.ExitStack() as stack:
        wires = stack.enter_context(cables(2, QUEUES))
        machines = []
        for number, name in enumerate(("left", "right")):
            fds = [cable[number] for cable in wires]
            options = list(NODES)
            for wire, end in enumerate(fds):
                mac = f"02:00:00:00:{wire + 1:02x}:{number + 1:02x}"
                options += ["-netdev", f"tap,id=w{wire},fds={':'.join(map(str, end))},vhost=off"]
                device = f"virtio-net-pci,netdev=w{wire},mac={mac},mq=on,vectors={2 * QUEUES + 2},romfile="
                options += ["-device", device]
            hardware = Hardware(SMP, 1536, options, [fd for end in fds for fd in end])
            computer = Computer(name, made.path / "disk.raw", made.path / "key", folder, hardware)
            machines.append(stack.enter_context(start(computer, wait=False)))
        for build in needed_builds():
            release_module(RELEASE, build, Silent())  # else they are built on the machines, which have no mirror
        for number, one in enumerate(machines):
            one.wait()
            one.run(LINK.replace("NUMBER", str(number + 1)))
        text = TESTBED.replace("KEY", str(made.path / "key"))
        for one in machines:
            text = text.replace(one.name.upper(), str(one.port))
        (folder / "rack.yaml").write_text(text)
        (folder / "spec.yaml").write_text(SPEC)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_STATE_HOME", str(folder / "state"))
            done = orch("testbed", "enroll", folder / "rack.yaml", "--yes")
            assert done.returncode == 0, done.stderr
            yield Rack((machines[0], machines[1]), folder / "rack.yaml", folder / "spec.yaml")


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    with two_computers(tmp_path_factory.mktemp("rack")) as made:
        yield made


def test_one_core_and_two_of_each_are_measured_and_both_are_as_they_were(rack: Rack, tmp_path: Path) -> None:
    looked = orch("doctor", "--testbed", rack.file, "--json")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    before = rack.snapshot()
    done = orch(*rack.arguments(tmp_path))
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(tmp_path)
    all_ok_once(run)
    events = [json.loads(line) for line in (run / "journal.jsonl").read_text().splitlines()]
    hosts = [event["hosts"] for event in events if event["event"] == "prepared"]
    used = {name: sorted(one[name]["cpus_used"] for one in hosts) for name in ("left", "right")}
    # A core of each socket, and no second thread; and both threads of a node's only core.
    assert used == {"left": [[0], [0, 2]], "right": [[0], [0, 1]]}
    assert rack.snapshot() ^ before == set()


def test_after_a_controller_that_was_killed_both_are_as_they_were(rack: Rack, tmp_path: Path) -> None:
    before = rack.snapshot()
    log, results = tmp_path / "log", tmp_path / "results"
    with running_orch(*rack.arguments(results), log=log) as process:
        wait_until(lambda: attempts_in(results) > 0, 600, f"a first attempt; {log}")
        process.send_signal(signal.SIGKILL)
        process.wait()
    restored = orch("restore", rack.file)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert rack.snapshot() ^ before == set()
