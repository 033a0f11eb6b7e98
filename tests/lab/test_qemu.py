# SPDX-License-Identifier: Apache-2.0
"""Guests with Debian's own kernels: a spec runs on them, and one that panics is told from one that is slow. Emulated
where KVM does not work, which takes minutes."""

import tempfile
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.testbed.qemu import machine
from tests.lab.kernel.debian import one_guest, qemu_testbed
from tests.lab.kernel.machine import two_cores
from tests.lab.support import lab_processes, last_object, orch, wait_until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
TESTBEDS = ("guests", "guests-6.1")
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
    series = qemu_testbed(name).hosts[0].kernel.rpartition("-")[2]
    assert described["kernel"]["release"].startswith(f"{series}.")
    used = {row["variant"]: row["variant_build"] for row in rows}
    assert used["inline"] == described["modules"]["multitunnel"]["build_id"]
    assert used["vanilla"] == described["modules"]["upstream"]["build_id"]
    assert lab_processes() == []


@pytest.mark.beside
def test_a_guest_that_panics_is_told_from_one_that_is_slow() -> None:
    with one_guest("trixie-6.12") as guest:
        cards = guest.run("ls -d /sys/class/net/nic0/queues/tx-*").split()
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
            assert "testbed guests, 1 virtual CPU per machine" in status
            assert "guest2: running" in status
            assert "Debian" in orch("lab", "shell", "guest2", "--", "uname", "-v").stdout
        finally:
            assert orch("lab", "down").returncode == 0
