# SPDX-License-Identifier: Apache-2.0
"""Modules that are built on the host itself, against its headers, and then carry traffic.

On a lab machine, whose headers are no package; and on a plain Debian machine, where provisioning installs the compiler,
headers and source. Emulated, that takes a quarter of an hour or more.
"""

import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import store
from orchestrator.kernel.lab import lab_kernel
from orchestrator.kernel.releases import load_releases
from orchestrator.kernel.source import obtain_source
from orchestrator.progress import Silent
from orchestrator.testbed.qemu import machine
from tests.lab.carried import FOLDER, Fetcher, pack
from tests.lab.computers import Computer, start
from tests.lab.debian_machine import debian_machine, give_archive
from tests.lab.standing import StandingHosts, standing_hosts
from tests.lab.support import all_ok_once, last_object, orch, runs_in
from tests.lab.test_guests_as_hosts import ONE, SPEC

pytestmark = [pytest.mark.lab, pytest.mark.full, pytest.mark.beside]
BUILDING = ONE.replace("server]}", "server], modules: build}")


def carry(hosts: StandingHosts, packages: list[str], script: str) -> None:
    """Bring packages and their index into FOLDER on a host, and run a script there."""
    (host,) = hosts.names
    with tempfile.TemporaryDirectory(prefix="orch-carried-") as folder:
        fetcher = Fetcher(Path(folder), load_releases()["trixie-6.12"].suites)
        tar = Path(folder) / "carried.tar"
        pack(fetcher.fetch(packages, hosts.on(host, "cat /var/lib/dpkg/status")), tar)
        hosts.send(host, f"rm -rf {FOLDER}; mkdir -p {FOLDER} && tar -x -C {FOLDER} && {script}", tar)


def built_there(file: Path, spec: Path, host: str, on: Callable[[str], str], results: Path, timeout_s: float) -> None:
    """Provision a host, which builds; measure with what it built; a second pass changes nothing. ``on``: runs a script
    there."""
    on("rm -rf /usr/local/lib/orch")  # what this computer built for it
    assert orch("testbed", "enroll", file, "--yes").returncode == 0
    began = time.monotonic()
    first = orch("testbed", "provision", file, "--json", timeout_s=timeout_s)
    print(f"provisioned and built in {time.monotonic() - began:.0f} s: {first.stdout[-300:]}")
    assert first.returncode == 0, first.stderr
    assert last_object(orch("testbed", "provision", file, "--json").stdout)["changed"] == 0
    done = orch("run", spec, "--no-report", "--testbed", file, "--results", results, timeout_s=timeout_s)
    assert done.returncode == 0, done.stderr
    (run,) = runs_in(results)
    all_ok_once(run)
    there = store.read_run(run)["environment"]["testbed"]["hosts"][host]["modules"]
    used = {a["levels"]["variant"]: a["variant_build"] for a in store.read_attempts(run) if a["kind"] == "measure"}
    assert used == {"vanilla": there["upstream"], "inline": there["multitunnel"]}
    assert len(on("cat /usr/local/lib/orch/modules/*/*/stamp").splitlines()) == 2


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
    kernel, source = lab_kernel(Silent()), obtain_source(Silent())
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
        built_there(hosts.file, hosts.spec, "lab1", lambda script: hosts.on("lab1", script), tmp_path / "results", 1500)


DEBIAN = """\
testbed: builds
provider: ssh
hosts:
  - name: one
    address: 127.0.0.1
    port: {port}
    user: root
    key: {key}
    roles: [client, gateway-a, gateway-b, server]
    modules: build
"""


@pytest.mark.skipif(bool(machine.missing_packages()), reason="QEMU is not on this computer")
def test_a_debian_machine_builds_the_modules_and_its_tunnels_carry_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = debian_machine(Silent())
    with start(Computer("one", made.path / "disk.raw", made.path / "key", tmp_path)) as one:
        release = one.run("uname -r").strip()
        assert one.run(f"ls /lib/modules/{release}/build 2>/dev/null; command -v gcc; true").strip() == ""
        series = ".".join(release.split(".")[:2])
        needs = [f"linux-headers-{release}", f"linux-source-{series}", "bzip2", "gcc", "make", "patch", "xz-utils"]
        give_archive(one, tmp_path, needs)
        file, spec = tmp_path / "builds.yaml", tmp_path / "spec.yaml"
        file.write_text(DEBIAN.format(port=one.port, key=one.key))
        spec.write_text(SPEC.replace("CORES", "[1]"))
        built_there(file, spec, "one", one.run, tmp_path / "results", 7200)
