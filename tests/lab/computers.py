# SPDX-License-Identifier: Apache-2.0
"""Computers that QEMU emulates, and that only SSH leads to: a port of this computer's is forwarded to theirs.

What they are made of is said by `Hardware`; the lab has no part in them.
"""

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from orchestrator.testbed.qemu import machine

# An emulated machine that has a whole processor is up in a minute; on a busy computer it takes as much longer.
BOOT_S = 900.0
# With threads of cores, which QEMU has for processors of Intel alone, and without leaves of hypervisors; without svm,
# for which udev would load KVM; without la57, with which Debian's Linux 6.12.117 gave the paths of all mounts as xxx on
# this processor (QEMU 7.2), so that systemd found none of its mounts and started nothing.
PROCESSOR = "max,vendor=GenuineIntel,-svm,-la57"


@dataclass(frozen=True)
class Hardware:
    """What a computer has beside a disk and an interface for SSH. ``more``: options of QEMU; ``fds``: descriptors that
    these name. ``writable``: the disk itself is written, not a copy-on-write file over it."""

    cpus: str = "1"
    memory_mib: int = 1024
    more: Sequence[str] = ()
    fds: Sequence[int] = ()
    writable: bool = False


@dataclass(frozen=True)
class Computer:
    """A computer: its name, disk, the key that logs in as root, a folder for what it leaves, and what it is made of."""

    name: str
    disk: Path
    key: Path
    folder: Path
    hardware: Hardware = field(default_factory=Hardware)
    port: int = 0

    def ssh(self) -> list[str]:
        """A command that logs in, whatever host key there is."""
        options = ["BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        options += ["ConnectTimeout=30", "IdentitiesOnly=yes"]
        words = [word for option in options for word in ("-o", option)]
        return ["ssh", "-F", "none", *words, "-i", str(self.key), "-p", str(self.port), "root@127.0.0.1"]

    def run(self, script: str, timeout_s: float = 300, data: Path | None = None) -> str:
        """What a script printed there; AssertionError where it fails. ``data``: its standard input."""
        with contextlib.ExitStack() as stack:
            given = stack.enter_context(data.open("rb")) if data else subprocess.DEVNULL
            done = subprocess.run(
                [*self.ssh(), script], stdin=given, capture_output=True, timeout=timeout_s, check=False
            )
        said = done.stdout.decode()
        assert done.returncode == 0, f"{self.name}: {script}: {done.stderr.decode()}{said}"
        return said

    def answers(self) -> bool:
        """Whether it greets as sshd does."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), 5) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait(self, timeout_s: float = BOOT_S) -> None:
        """Return once it can be logged in to."""
        deadline = time.monotonic() + timeout_s
        while not (self.answers() and self._lets_in()):
            assert time.monotonic() < deadline, f"{self.name} is not up: {self.console()[-2000:]}"
            time.sleep(1)

    def _lets_in(self) -> bool:
        done = subprocess.run([*self.ssh(), "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return done.returncode == 0

    def console(self) -> str:
        """What it printed on its serial port."""
        return (self.folder / f"{self.name}.console").read_text(errors="replace")


class Running(Computer):
    """A computer that runs."""

    process: "subprocess.Popen[bytes]"

    def shut_down(self) -> None:
        """Switch it off as `poweroff` does, and wait for its end."""
        self.run("(sleep 0.5; systemctl poweroff) >/dev/null 2>&1 </dev/null &")
        self.process.wait(300)

    def restart(self) -> None:
        """Start it anew as `reboot` does, and wait until it is back."""
        boot_id = "cat /proc/sys/kernel/random/boot_id"
        before = self.run(boot_id)
        self.run("(sleep 0.5; systemctl reboot) >/dev/null 2>&1 </dev/null &")
        deadline = time.monotonic() + BOOT_S
        while True:
            with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
                if self.run(boot_id, timeout_s=60) != before:
                    return
            assert time.monotonic() < deadline, f"{self.name} is not back: {self.console()[-2000:]}"
            time.sleep(1)


def arguments(computer: Computer, disk: str) -> list[str]:
    """QEMU's options for a computer."""
    hardware = computer.hardware
    processor = ["-accel", "tcg,thread=single", "-cpu", PROCESSOR]
    return [
        *(str(machine.program()), *machine.BARE, *processor),
        *("-name", computer.name, "-smp", hardware.cpus, "-m", f"{hardware.memory_mib}M"),
        *("-drive", f"{disk},if=virtio,discard=unmap"),
        *("-netdev", f"user,id=mgmt,restrict=on,hostfwd=tcp:127.0.0.1:{computer.port}-:22"),
        *("-device", "virtio-net-pci,netdev=mgmt,mac=02:00:00:00:00:01,romfile="),
        *("-device", "virtio-rng-pci"),
        *hardware.more,
    ]


def free_port() -> int:
    """A TCP port of the loopback interface that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@contextlib.contextmanager
def start(computer: Computer, *, wait: bool = True) -> Iterator[Running]:
    """Start a computer, and wait until it can be logged in to; it ends with the block, and with this process."""
    folder, name, hardware = computer.folder, computer.name, computer.hardware
    running = Running(name, computer.disk, computer.key, folder, hardware, computer.port or free_port())
    disk = f"file={computer.disk},format=raw"
    if not hardware.writable:
        over = folder / f"{name}.qcow2"
        if not over.exists():
            create = ["qemu-img", "create", "-q", "-f", "qcow2", "-b", computer.disk, "-F", "raw", over]
            subprocess.run(create, check=True)
        disk = f"file={over},format=qcow2,cache=unsafe"
    with (folder / f"{name}.console").open("wb") as console:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *arguments(running, disk)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=list(hardware.fds),
        )
    object.__setattr__(running, "process", process)
    try:
        if wait:
            running.wait()
        yield running
    finally:
        process.kill()
        process.wait()
