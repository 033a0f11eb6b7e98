# SPDX-License-Identifier: Apache-2.0
"""Modules that are built on the host itself, against its headers, and then carry traffic.

On a lab machine, whose headers are no package; and on a guest with Debian's kernel, which, emulated, takes a quarter of
an hour or more: a compiler is installed there, and a kernel source is unpacked.
"""

import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.kernel.lab import lab_kernel
from orchestrator.kernel.releases import load_releases
from orchestrator.kernel.source import obtain_source
from orchestrator.progress import Silent
from orchestrator.testbed.qemu import machine
from tests.lab.carried import FOLDER, SOURCE, Fetcher, pack
from tests.lab.standing import StandingHosts, standing_hosts
from tests.lab.support import all_ok_once, last_object, orch, runs_in
from tests.lab.test_guests_as_hosts import ONE, ONE_GUEST, SPEC

pytestmark = [pytest.mark.lab, pytest.mark.full]
BUILDING = ONE.replace("server]}", "server], modules: build}")


def carry(hosts: StandingHosts, packages: list[str], script: str) -> None:
    """Bring packages and their index into FOLDER on a host, and run a script there."""
    (host,) = hosts.names
    with tempfile.TemporaryDirectory(prefix="orch-carried-") as folder:
        fetcher = Fetcher(Path(folder), load_releases()["trixie-6.12"].suites)
        tar = Path(folder) / "carried.tar"
        pack(fetcher.fetch(packages, hosts.on(host, "cat /var/lib/dpkg/status")), tar)
        hosts.send(host, f"rm -rf {FOLDER}; mkdir -p {FOLDER} && tar -x -C {FOLDER} && {script}", tar)


def give_packages(hosts: StandingHosts, packages: list[str]) -> None:
    """Let a guest install packages with apt, which guests are made without; python3-apt is what Ansible needs of it."""
    folders = "mkdir -p /var/cache/apt/archives/partial /var/cache/debconf"
    carry(hosts, ["apt", "python3-apt"], f"{folders} && dpkg --install {FOLDER}/*.deb >/dev/null")
    carry(hosts, packages, f"rm -rf /etc/apt/sources.list.d/* && echo '{SOURCE}' >/etc/apt/sources.list")


def built_there(hosts: StandingHosts, results: Path, timeout_s: float) -> None:
    """Provision a host, which builds; measure with what it built; a second pass changes nothing."""
    (host,) = hosts.names
    hosts.on(host, "rm -rf /usr/local/lib/orch")  # what this computer built for it
    assert orch("testbed", "enroll", hosts.file, "--yes").returncode == 0
    began = time.monotonic()
    first = orch("testbed", "provision", hosts.file, "--json", timeout_s=timeout_s)
    print(f"provisioned and built in {time.monotonic() - began:.0f} s: {first.stdout[-300:]}")
    assert first.returncode == 0, first.stderr
    assert last_object(orch("testbed", "provision", hosts.file, "--json").stdout)["changed"] == 0
    done = orch(*hosts.arguments(results))
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(results)
    all_ok_once(run)
    there = store.read_run(run)["environment"]["testbed"]["hosts"][host]["modules"]
    used = {a["levels"]["variant"]: a["variant_build"] for a in store.read_attempts(run) if a["kind"] == "measure"}
    assert used == {"vanilla": there["upstream"], "inline": there["multitunnel"]}
    assert len(hosts.on(host, "cat /usr/local/lib/orch/modules/*/*/stamp").splitlines()) == 2


ONE_MACHINE = """\
testbed: one-machine
provider: uml
hosts:
  - {name: lab1, roles: [client, gateway-a, gateway-b, server], memory: 3 GiB}
"""
ROOMS = "for d in /usr/src /usr/local/lib; do mkdir -p $d; mount -t tmpfs -o size=700m tmpfs $d; done"


def test_a_lab_machine_builds_the_modules_and_its_tunnels_carry_traffic(tmp_path: Path) -> None:
    lab = tmp_path / "one-machine.yaml"
    lab.write_text(ONE_MACHINE)
    kernel, source = lab_kernel(Silent(), with_headers=True), obtain_source(Silent())
    headers = tmp_path / "headers.tar"
    subprocess.run(["tar", "--create", "--file", headers, "--directory", kernel.path / "headers", "."], check=True)
    with standing_hosts(tmp_path, lab, BUILDING.replace("guest1", "lab1"), SPEC.replace("CORES", "[1]")) as hosts:
        release = kernel.description["facts"]["release"]
        hosts.on("lab1", ROOMS)
        # As a package of headers would leave them; the lab's are of an architecture that `uname -m` does not say.
        there = f"/lib/modules/{release}/build"
        hosts.send("lab1", f"mkdir {there} && tar -x -C {there} && sed -i '1i ARCH := um' {there}/Makefile", headers)
        series = ".".join(release.split(".")[:2])
        hosts.send("lab1", f"cat >/usr/src/linux-source-{series}.tar.xz", source.tarball)
        carry(hosts, ["gcc", "make", "patch", "xz-utils"], f"dpkg --install {FOLDER}/*.deb >/dev/null")
        built_there(hosts, tmp_path / "results", 1500)


@pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer")
def test_a_guest_builds_the_modules_and_its_tunnels_carry_traffic(tmp_path: Path) -> None:
    lab = tmp_path / "one-guest.yaml"
    lab.write_text(ONE_GUEST)
    with standing_hosts(tmp_path, lab, BUILDING, SPEC.replace("CORES", "[1]")) as hosts:
        release = hosts.on("guest1", "uname -r").strip()
        assert hosts.on("guest1", f"ls /lib/modules/{release}/build; command -v gcc").strip() == ""
        series = ".".join(release.split(".")[:2])
        build = [f"linux-headers-{release}", f"linux-source-{series}", "gcc", "make", "patch", "xz-utils"]
        give_packages(hosts, build)
        built_there(hosts, tmp_path / "results", 3600)
