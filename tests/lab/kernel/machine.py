# SPDX-License-Identifier: Apache-2.0
"""Lab machines for tests of the kernel modules: booted without a testbed around them, and spoken to over SSH."""

import io
import json
import math
import os
import subprocess
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator.agent.complaints import KNOWN
from orchestrator.kernel.builds import shipped_builds
from orchestrator.kernel.lab import lab_kernel
from orchestrator.kernel.modules import lab_module
from orchestrator.progress import Silent
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.uml.disk import BOOT_TIMEOUT_S, lab_products
from orchestrator.testbed.uml.machine import Machine, boot
from orchestrator.testbed.virtual import VirtualTime

LOG = "/run/kernel.log"
GUEST = Path(__file__).with_name("guest")
# What wireguard needs, in the order in which it can be loaded.
NEEDED = (
    *("libcryptoutils", "libcurve25519", "libchacha", "libpoly1305", "libchacha20poly1305"),
    *("udp_tunnel", "ip6_udp_tunnel"),
)
MEMORY = 1024 * 2**20


class KernelMachine:
    """A booted machine with the modules of every build in /run/modules and the programs of guest/ in /run/guest.

    ``selftests``: the folder of WireGuard's own test for its kernel.
    """

    def __init__(self, lab: Lab, name: str, selftests: Path) -> None:
        self.lab = lab
        self.name = name
        self.selftests = selftests

    def run(self, script: str, timeout_s: float = 120, data: bytes | None = None) -> str:
        """Run a shell script; AssertionError with what it said when it fails, TimeoutExpired when it takes too long.

        A machine that does not answer for a while is not given up before the timeout.
        """
        alive = ["-o", f"ServerAliveCountMax={math.ceil(timeout_s / 10)}"]  # an answer is asked for every 10 s
        command = ["ssh", *self.lab.ssh_options(), *alive, f"root@{self.name}", script]
        done = subprocess.run(command, input=data or b"", capture_output=True, timeout=timeout_s, check=False)
        said = done.stdout.decode(errors="replace")
        errors = done.stderr.decode(errors="replace")
        assert done.returncode == 0, (
            f"{self.lab.console(self.name)[-1500:]}\n{said[-3000:]}\n{errors[-3000:]}\n"
            f"status {done.returncode}{' (of ssh: the connection failed)' * (done.returncode == 255)}: {script[:200]}"
        )
        return said

    def program(self, name: str, *arguments: object, timeout_s: float = 120) -> Any:
        """Run a program of guest/ and return the JSON of its last line."""
        words = " ".join(str(argument) for argument in arguments)
        return json.loads(self.run(f"python3 /run/guest/{name}.py {words}", timeout_s).strip().splitlines()[-1])

    def put(self, files: dict[str, Path], folder: str) -> None:
        """Copy files into a folder of the machine."""
        archive = io.BytesIO()
        with tarfile.open(fileobj=archive, mode="w") as tar:
            for name, path in files.items():
                tar.add(path, name)
        self.run(f"mkdir -p {folder} && tar -xf - -C {folder}", data=archive.getvalue())

    def load(self, build: str, transmit: str = "", receive: str = "") -> None:
        """Bring a build into the kernel, with the settings that devices made from now on get."""
        self.run(
            "cd /run/modules; if [ -d /sys/module/wireguard ]; then rmmod wireguard; fi; "
            f"for m in {' '.join(NEEDED)}; do "
            f"[ ! -e $m.ko ] || [ -d /sys/module/$m ] || insmod $m.ko; done; insmod {build}.ko"
        )
        for name, value in (("transmit", transmit), ("receive", receive)):
            if value:
                self.run(f"echo {value} >/sys/module/wireguard/parameters/{name}")

    def complaints(self) -> list[str]:
        """What the kernel log has that should not be there."""
        lines = self.run(f"cat {LOG}").splitlines()
        said = [line.partition("] ")[2] or line for line in lines]  # behind the time stamp
        failed = [line for line in said if "self-test" in line and "self-tests: pass" not in line]
        return [*failed, *(line for line in said if KNOWN.search(line))]


@contextmanager
def machine(
    cores: int, kernel: str = "lab", *, virtual: bool = False, quantum_s: float = 20e-6, more: tuple[str, ...] = ()
) -> Iterator[KernelMachine]:
    """Boot a machine with a lab kernel (`lab`, or the slow `debug`) and end it on the way out.

    ``virtual``: in virtual time, with a slot on each core that this process may use and a quantum of ``quantum_s``.
    ``more``: further words of the kernel's command line.
    """
    slots = tuple(sorted(os.sched_getaffinity(0)))
    arguments = [*more, *(VirtualTime(cores, slots, quantum_s, len(slots)).arguments(cores) if virtual else [])]
    patience = (4 if kernel == "debug" else 1) * (4 if virtual else 1)
    lab = Lab.start()
    try:
        yield _boot(lab, 1, cores, kernel, arguments, patience)
    finally:
        lab.close()


@contextmanager
def two_machines() -> Iterator[tuple[KernelMachine, KernelMachine]]:
    """Boot two machines with a virtual CPU each and a link between them, which is their device vec1."""
    lab = Lab.start()
    try:
        yield _boot(lab, 1, 1, links=["wan"]), _boot(lab, 2, 1, links=["wan"])
    finally:
        lab.close()


def _boot(
    lab: Lab,
    number: int,
    cores: int,
    kernel: str = "lab",
    arguments: Sequence[str] = (),
    patience: float = 1,
    links: Sequence[str] = (),
) -> KernelMachine:
    products = lab_products(Silent())
    product = lab_kernel(Silent(), kernel)
    modules = {
        f"{build.name}.ko": lab_module(build, Silent(), kernel).path / "wireguard.ko"
        for build in shipped_builds().values()
    }
    modules |= {path.name: path for path in (product.path / "modules").glob("*.ko")}
    name, program = f"lab{number}", product.path / "linux"
    boot(lab, Machine(name, number, program, products.disk_file, cores, MEMORY, links=links, arguments=arguments))
    lab.wait_for_ssh(name, BOOT_TIMEOUT_S * patience)
    booted = KernelMachine(lab, name, product.path / "selftests")
    # Followed from the start, since the kernel's own buffer forgets: the debug kernel says much.
    booted.run(f"nohup dmesg --follow >{LOG} 2>&1 </dev/null &")
    booted.put(modules, "/run/modules")
    booted.put({path.name: path for path in GUEST.glob("*.py")}, "/run/guest")
    return booted


def two_cores() -> int:
    """Two virtual CPUs, or one where the computer has no more."""
    return min(2, len(os.sched_getaffinity(0)))
