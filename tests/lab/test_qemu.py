# SPDX-License-Identifier: Apache-2.0
"""Guests with Debian's own kernels: a spec runs on them, WireGuard's own test passes in them, and one that panics is
told from one that is slow. Emulated where KVM does not work, which takes minutes."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.kernel.variants import load_variants
from orchestrator.progress import Silent
from orchestrator.provision import from_here
from orchestrator.spec import load_testbed
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.qemu import machine
from orchestrator.testbed.qemu.disk import BOOT_TIMEOUT_S
from orchestrator.testbed.qemu.provider import GuestMachines
from orchestrator.testbed.qemu.schema import QemuTestbed
from tests.lab.kernel.machine import GUEST, KernelMachine, two_cores
from tests.lab.kernel.test_netns import IPERF3, WG
from tests.lab.support import lab_processes, last_object, orch, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
TESTBEDS = ("guests", "guests-6.1")
KERNELS = ("bookworm-6.1", "trixie-6.12", "trixie-rt-6.12")
SPEC = """
experiment: guests
description: What guests carry
factors:
  variant: [vanilla, threaded, inline, ipsec-gcm]
  cores: [1]
  tunnels: [1, 2]
traffic: {warm_up: 1s, duration: 2s}
repetitions: 1
retries: 2
"""


def of(name: str) -> QemuTestbed:
    testbed = load_testbed(name)
    assert isinstance(testbed, QemuTestbed)
    return testbed


@pytest.mark.parametrize("name", TESTBEDS)
def test_two_guests_carry_every_variant(name: str, tmp_path: Path) -> None:
    spec = tmp_path / "guests.yaml"
    spec.write_text(SPEC)
    done = orch("run", spec, "--testbed", name, "--yes", "--json", "--results", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    outcome = last_object(done.stdout)
    variants = {"vanilla", "inline", "ipsec-gcm"} | ({"threaded"} if name == "guests" else set())
    assert outcome["ok"] == 2 * len(variants) + 2  # and the baselines of one and of two address pairs
    run = Path(outcome["run"])
    trials, _ = store.tables(run)
    rows = trials.to_pylist()
    assert {row["variant"] for row in rows} == variants | {"none"}
    assert all(row["throughput_bps"] > 0 for row in rows)
    meta = store.read_run(run)
    described = meta["environment"]["testbed"]
    assert meta["testbed"]["provider"] == "qemu"
    assert meta["testbed"]["emulated"] == (described["accelerator"]["name"] == machine.TCG)
    assert ("emulated: functional only" in meta["testbed"]["label"]) == meta["testbed"]["emulated"]
    series = of(name).hosts[0].kernel.rpartition("-")[2]
    assert described["kernel"]["release"].startswith(f"{series}.")
    used = {row["variant"]: row["variant_build"] for row in rows}
    assert used["inline"] == described["modules"]["multitunnel"]["build_id"]
    assert used["vanilla"] == described["modules"]["upstream"]["build_id"]
    assert lab_processes() == []


@contextmanager
def one_guest(kernel: str) -> Iterator[KernelMachine]:
    """A guest with a kernel of kernel/releases.yaml, two virtual CPUs (or one, as the computer has cores), and the
    programs of kernel/guest."""
    host = of("guests").hosts[0].model_copy(update={"kernel": kernel})
    guests = GuestMachines(of("guests").model_copy(update={"hosts": (host,)}), Silent())
    products = guests.products[host.kernel]
    lab = Lab.start()
    try:
        guests.boot(lab, 1, two_cores())
        machine.wait_until_up(lab, host.name, BOOT_TIMEOUT_S[guests.accelerator.name])
        guest = KernelMachine(lab, host.name, products.builds["upstream"].path)
        modules = {build: from_here(build, product).path for build, product in products.builds.items()}
        # Their dependencies are the kernel's own modules.
        depends = "modinfo -F depends {0} | tr , ' ' | xargs modprobe -a && ln -s {0} /run/modules/{1}.ko"
        guest.run("; ".join(["set -e; mkdir /run/modules", *(depends.format(modules[b], b) for b in modules)]))
        guest.put({path.name: path for path in GUEST.glob("*.py")}, "/run/guest")
        yield guest
    finally:
        lab.close()


def complaints(guest: KernelMachine) -> list[str]:
    """What the guest's kernel log has that should not be there."""
    return re.findall(r".*(?:WARNING|BUG:|Oops|general protection).*", guest.run("dmesg"))


@pytest.mark.beside
@pytest.mark.parametrize("variant", ["vanilla", "inline", "batched"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_wireguard_s_own_test_passes(kernel: str, variant: str) -> None:
    wanted = load_variants()[variant]
    with one_guest(kernel) as guest:
        guest.load(wanted.build, wanted.settings.get("transmit", ""), wanted.settings.get("receive", ""))
        guest.run("dmesg --console-level info")
        guest.put({"netns.sh": guest.selftests / "netns.sh"}, "/run/own")
        wrapper = WG.replace("THREADED", str(int(wanted.threaded)))
        for name, script in {"wg": wrapper, "iperf3": IPERF3}.items():
            guest.run(f"cat >/run/own/{name} && chmod +x /run/own/{name}", data=script.encode())
        guest.run("ln -s $(command -v iptables-legacy) /run/own/iptables")
        said = guest.run("cd /run/own && PATH=/run/own:$PATH timeout -k 5 1500 bash ./netns.sh 2>&1", timeout_s=1520)
        assert complaints(guest) == []
    assert len(re.findall(r"\[\+\]", said)) > 250  # it says each step


@pytest.mark.beside
@pytest.mark.parametrize("kernel", KERNELS)
def test_the_paths_of_our_module_do_there_what_they_do_in_the_lab(kernel: str) -> None:
    """As test_paths.py and test_inline.py, with fewer packets: an emulated processor is slow."""
    queued = ("queued", "queued")
    with one_guest(kernel) as guest:
        guest.load("multitunnel")
        for paths in (("inline", "inline"), ("batched", "batched"), ("queued", "workqueue"), ("queued", "steal")):
            for end_a, end_b in ((paths, paths), (paths, queued), (queued, paths)):
                found = guest.program("flows", *end_a, *end_b, 0, 3, timeout_s=300)
                assert min(found["tcp_bps"]) > 1e6
                assert found["sent"] > 50
                assert (found["out_of_order"], found["twice"]) == (0, 0)
                assert found["lost"] < 0.2 * found["sent"]
            found = guest.program("replay", *paths, 0, 500, timeout_s=300)
            assert (found["captured"], found["twice"]) == (found["packets"], 0)
            assert found["delivered"] > 0.5 * found["packets"]
            found = guest.program("fuzz", *paths, 0, 1000, 20261127, timeout_s=300)
            assert (found["delivered"], found["counted"], found["alive"]) == (0, 0, True)
            if paths[0] == "queued":
                continue
            found = guest.program("nested", *paths, 6, 50, timeout_s=300)
            assert (found["delivered"], found["out_of_order"]) == (found["sent"], 0)
            guest.program("roam", *paths, 10, timeout_s=300)
        assert complaints(guest) == []


@pytest.mark.beside
def test_a_guest_that_panics_is_told_from_one_that_is_slow() -> None:
    with one_guest("trixie-6.12") as guest:
        cards = guest.run("ls -d /sys/class/net/nic1/queues/tx-*").split()
        assert len(cards) == two_cores()
        assert machine.run_state(guest.lab, guest.name) == "running"
        guest.run("nohup sh -c 'sleep 1; echo c >/proc/sysrq-trigger' >/dev/null 2>&1 </dev/null &")
        wait_until(lambda: machine.run_state(guest.lab, guest.name) == "guest-panicked", 60, "QEMU knows of the panic")
        with pytest.raises(Exception, match=r"^QEMU says that it is guest-panicked\. The lab machine guest1 did not"):
            machine.wait_until_up(guest.lab, guest.name, 3.0)


def test_a_standing_lab_of_guests(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="orch-") as folder:  # short: sockets lie in it
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        try:
            done = orch("lab", "up", "guests")
            assert done.returncode == 0, done.stderr
            status = orch("lab", "status").stdout
            assert "testbed guests, 1 virtual CPU a machine" in status
            assert "guest2: running" in status
            assert "Debian" in orch("lab", "shell", "guest2", "--", "uname", "-v").stdout
        finally:
            assert orch("lab", "down").returncode == 0
