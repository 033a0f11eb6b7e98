# SPDX-License-Identifier: Apache-2.0
"""Modules that are built on the host itself, against its headers, and then carry traffic: a guest with Debian's kernel.

Emulated, it takes a quarter of an hour or more: a compiler is installed there, and a kernel source is unpacked.
"""

import tempfile
import time
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.kernel.releases import load_releases
from orchestrator.testbed.qemu import machine
from tests.lab.carried import FOLDER, SOURCE, Fetcher, pack
from tests.lab.standing import StandingHosts, standing_hosts
from tests.lab.support import all_ok_once, last_object, orch, runs_in
from tests.lab.test_guests_as_hosts import ONE, ONE_GUEST, SPEC

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer"),
]
BUILDING = ONE.replace("server]}", "server], modules: build}")


def carry(hosts: StandingHosts, packages: list[str], script: str) -> None:
    """Bring packages and their index into FOLDER on a guest, and run a script there."""
    with tempfile.TemporaryDirectory(prefix="orch-carried-") as folder:
        fetcher = Fetcher(Path(folder), load_releases()["trixie-6.12"].suites)
        tar = Path(folder) / "carried.tar"
        pack(fetcher.fetch(packages, hosts.on("guest1", "cat /var/lib/dpkg/status")), tar)
        hosts.send("guest1", f"rm -rf {FOLDER}; mkdir -p {FOLDER} && tar -x -C {FOLDER} && {script}", tar)


def give_packages(hosts: StandingHosts, packages: list[str]) -> None:
    """Let a guest install packages with apt, which guests are made without; python3-apt is what Ansible needs of it."""
    folders = "mkdir -p /var/cache/apt/archives/partial /var/cache/debconf"
    carry(hosts, ["apt", "python3-apt"], f"{folders} && dpkg --install {FOLDER}/*.deb >/dev/null")
    carry(hosts, packages, f"rm -rf /etc/apt/sources.list.d/* && echo '{SOURCE}' >/etc/apt/sources.list")


def test_a_host_builds_the_modules_and_its_tunnels_carry_traffic(tmp_path: Path) -> None:
    lab = tmp_path / "one-guest.yaml"
    lab.write_text(ONE_GUEST)
    with standing_hosts(tmp_path, lab, BUILDING, SPEC.replace("CORES", "[1]")) as hosts:
        release = hosts.on("guest1", "uname -r").strip()
        assert hosts.on("guest1", f"ls /lib/modules/{release}/build; command -v gcc").strip() == ""
        hosts.on("guest1", "rm -r /usr/local/lib/orch")  # what this computer built for it
        series = ".".join(release.split(".")[:2])
        build = [f"linux-headers-{release}", f"linux-source-{series}", "gcc", "make", "patch", "xz-utils"]
        give_packages(hosts, build)
        assert orch("testbed", "enroll", hosts.file, "--yes").returncode == 0
        began = time.monotonic()
        first = orch("testbed", "provision", hosts.file, "--json", timeout_s=3600)
        print(f"provisioned and built in {time.monotonic() - began:.0f} s: {first.stdout[-300:]}")
        assert first.returncode == 0, first.stderr
        assert last_object(orch("testbed", "provision", hosts.file, "--json").stdout)["changed"] == 0
        done = orch(*hosts.arguments(tmp_path / "results"))
        assert done.returncode == 0, done.stderr
        (run,) = runs_in(tmp_path / "results")
        all_ok_once(run)
        there = store.read_run(run)["environment"]["testbed"]["hosts"]["guest1"]["modules"]
        used = {a["levels"]["variant"]: a["variant_build"] for a in store.read_attempts(run) if a["kind"] == "measure"}
        assert used == {"vanilla": there["upstream"], "inline": there["multitunnel"]}
        built = hosts.on("guest1", "cat /usr/local/lib/orch/modules/*/*/stamp").splitlines()
        assert len(built) == 2
