# SPDX-License-Identifier: Apache-2.0
"""Guests: QEMU processes, started in a lab, and their monitors.

For options and commands, see QEMU's documentation, "Invocation" and "QEMU QMP Reference Manual".
"""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestrator.commands import capture
from orchestrator.errors import TestbedError
from orchestrator.testbed.lab.lab import Lab, address_of
from orchestrator.testbed.lab.machine import LabMachine

QEMU = "qemu-system-x86_64"
PACKAGES = {QEMU: "qemu-system-x86", "qemu-img": "qemu-utils"}
KVM, TCG = "kvm", "tcg"
_ANSWER_S = 10.0  # time-out of the monitor
_SHUTDOWN_S = 120.0  # time-out of a guest's end after its power button was pressed; measured: 2 to 6 s


def missing_packages() -> list[str]:
    """Return the Debian packages whose programs are missing."""
    return [package for program, package in PACKAGES.items() if shutil.which(program) is None]


def program(name: str = QEMU) -> Path:
    """Return the path of a QEMU program. Raises TestbedError, naming the missing packages."""
    found = shutil.which(name)
    missing = missing_packages()
    if found is None or missing:
        raise TestbedError(
            f"Guests need QEMU, which is not on this computer. Install it: sudo apt-get install {' '.join(missing)}"
        )
    return Path(found)


def version() -> str:
    """Return QEMU's version with its package, as QEMU prints it."""
    said = capture([program(), "--version"]).stdout
    return said.split("\n", 1)[0].removeprefix("QEMU emulator version ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest(LabMachine):
    """The parameters of a guest, whose interfaces are its devices nic0, nic1 and so on.

    ``accelerator``: KVM or TCG, QEMU's emulation.
    """

    initrd: Path
    accelerator: str


def processor(accelerator: str) -> list[str]:
    """Return options for the accelerator and the processor that a guest sees.

    Emulated processors take turns on one thread. In parallel they would be faster, but occasionally one would still run
    code that another has just changed (QEMU 7.2: in four of five runs of netns.sh on two processors, the kernel hit one
    of its own breakpoints after its removal, and panicked). Emulation shows whether something works, not how fast.
    """
    if accelerator == KVM:
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", "tcg,thread=single", "-cpu", "max"]


BARE = ("-nodefaults", "-no-user-config", "-display", "none", "-machine", "q35", "-serial", "stdio")


def command_line(guest: Guest) -> str:
    """Return the kernel's command line. An emulated processor has no vulnerabilities to mitigate, and mitigations would
    slow it down."""
    words = [
        *("root=/dev/vda", "rw", "console=ttyS0", "quiet", "net.ifnames=0", "fsck.mode=skip"),
        *("systemd.log_level=notice", "systemd.show_status=false"),
        *(["mitigations=off"] if guest.accelerator == TCG else []),
        f"orch.name={guest.name}",
        f"orch.address={address_of(guest.number)}/24",
    ]
    return " ".join(words)


def arguments(guest: Guest, folder: Path) -> list[str]:
    """Return QEMU's options for a guest of the lab in ``folder``."""
    if guest.writable:
        disk = f"file={_escaped(guest.disk)},format=raw"
    else:
        disk = f"file={_escaped(overlay(folder, guest.name))},format=qcow2,cache=unsafe"
    options = [
        *BARE,
        *processor(guest.accelerator),
        *("-name", guest.name, "-smp", str(guest.cpus), "-m", f"{guest.memory_bytes // 2**20}M"),
        *("-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", command_line(guest)),
        *("-drive", f"{disk},if=virtio"),
        *("-drive", f"file={_escaped(folder / 'keys.tar')},format=raw,readonly=on,if=virtio"),
        *("-qmp", f"unix:{_escaped(monitor(folder, guest.name))},server=on,wait=off"),
        # A panic pauses the guest, which distinguishes it from a slow one.
        *("-device", "pvpanic-pci", "-action", "panic=pause"),
    ]
    queues = guest.cpus
    several = queues > 1
    for index, (device, mac) in enumerate(guest.interfaces()):
        tap = f"tap,id=n{index},ifname={device},script=no,downscript=no,vhost=off"
        card = f"virtio-net-pci,netdev=n{index},mac={mac},romfile="
        options += ["-netdev", tap + f",queues={queues}" * several]
        options += ["-device", card + f",mq=on,vectors={2 * queues + 2}" * several]
    return options


def _escaped(path: Path) -> str:
    """Return a path as a value in one of QEMU's option lists."""
    return str(path).replace(",", ",,")


def overlay(folder: Path, name: str) -> Path:
    """Return the copy-on-write file of a guest."""
    return folder / f"{name}.qcow2"


def monitor(folder: Path, name: str) -> Path:
    """Return the socket of a guest's monitor."""
    return folder / f"{name}.qmp"


def boot(lab: Lab, guest: Guest) -> None:
    """Start or restart a guest from its provisioned disk. Raises TestbedError."""
    qemu, image_tool = program(), program("qemu-img")
    lab.request("stop", name=guest.name)
    monitor(lab.folder, guest.name).unlink(missing_ok=True)
    if not guest.writable:
        over = overlay(lab.folder, guest.name)
        over.unlink(missing_ok=True)
        create = [str(image_tool), "create", "-q", "-f", "qcow2", "-b", str(guest.disk), "-F", "raw", str(over)]
        done = capture(create)
        if done.returncode:
            raise TestbedError(f"{guest.name}: no disk could be made over {guest.disk}: {done.stderr.strip()}")
    lab.start_program(guest.name, guest.number, qemu, arguments(guest, lab.folder), guest.ports("tap", guest.cpus))


# --- the monitor ---


def ask(lab: Lab, name: str, command: str) -> Any:
    """Have QEMU execute a monitor command for a guest, and return the answer. Raises TestbedError."""
    from qemu.qmp import QMPError

    async def answer() -> Any:
        return await asyncio.wait_for(_execute(monitor(lab.folder, name), command), _ANSWER_S)

    try:
        with ThreadPoolExecutor(1) as pool:  # because in a notebook this thread has an event loop that runs already
            return pool.submit(asyncio.run, answer()).result()
    except (QMPError, OSError, TimeoutError, EOFError) as error:
        said = str(error) or type(error).__name__
        raise TestbedError(f"{name}: QEMU does not answer to {command} ({said}).") from error


async def _execute(socket: Path, command: str) -> Any:
    from qemu.qmp import QMPClient

    client = QMPClient()
    await client.connect(str(socket))
    try:
        return await client.execute(command)
    finally:
        await client.disconnect()


def run_state(lab: Lab, name: str) -> str:
    """Return QEMU's state of a guest, such as running, paused or guest-panicked. Raises TestbedError if the guest has
    ended."""
    return str(ask(lab, name, "query-status")["status"])


def accelerator_of(lab: Lab, name: str) -> str:
    """Return the accelerator that a guest really uses: KVM or TCG."""
    return KVM if ask(lab, name, "query-kvm")["enabled"] else TCG


def wait_until_up(lab: Lab, name: str, timeout_s: float) -> None:
    """Return once the guest's sshd answers. Raises TestbedError with the guest's state and the end of its console if it
    does not."""
    try:
        lab.wait_for_ssh(name, timeout_s)
    except TestbedError as error:
        try:
            state = f"QEMU says that it is {run_state(lab, name)}."
        except TestbedError:
            state = "QEMU has ended."
        raise TestbedError(f"{state} {error}") from error


def shut_down(lab: Lab, name: str) -> None:
    """Press the power button, and wait until the guest has written everything to disk and ended. Raises
    TestbedError."""
    ask(lab, name, "system_powerdown")
    if not lab.request("wait", _SHUTDOWN_S + 5, name=name, patience_s=_SHUTDOWN_S)["ended"]:
        raise TestbedError(f"{name} did not end within {_SHUTDOWN_S:g} s after its power button was pressed.")
