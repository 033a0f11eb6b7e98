# SPDX-License-Identifier: Apache-2.0
"""Determining whether guests can run under KVM on this computer: whether one really boots within a deadline.

The existence of /dev/kvm says little: many virtual machines have it, but an ordinary guest does not survive its first
second there.
"""

import os
import select
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from orchestrator.learned import learn, learned
from orchestrator.progress import Progress
from orchestrator.testbed.computer import boot_of_computer
from orchestrator.testbed.qemu.machine import BARE, KVM, TCG, processor, program

DEVICE = Path("/dev/kvm")
DEADLINE_S = 15.0  # a guest starts its first program within 1 to 2 s if KVM works
MARKER = b"orch: a program runs in a guest"  # printed by guest/probe in the initrd


@dataclass(frozen=True, slots=True)
class Accelerator:
    """The accelerator of guests, KVM or TCG, and the reason as a clause."""

    name: str
    why: str


def _fact() -> str:
    """Return the key under which the result is stored. It is valid for this boot of the computer."""
    return f"kvm/{boot_of_computer()}"


def known_accelerator() -> Accelerator | None:
    """Return the accelerator if it is known without starting anything; None if a guest must be tried."""
    if not DEVICE.exists():
        return Accelerator(TCG, f"this computer has no {DEVICE}")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Accelerator(TCG, f"{DEVICE} may not be used by this user")
    remembered = learned(_fact())
    if remembered is None:
        return None
    if remembered:
        return Accelerator(KVM, "a guest has booted under KVM")
    return Accelerator(TCG, f"{DEVICE} exists, but a guest did not boot under KVM")


def find_accelerator(kernel: Path, initrd: Path, progress: Progress) -> Accelerator:
    """Return the accelerator for guests. If it is not known yet, try a guest, and remember the result for this boot of
    the computer. Raises TestbedError if QEMU is missing."""
    known = known_accelerator()
    if known is not None:
        return known
    progress.stage("Trying whether a guest boots under KVM", DEADLINE_S)
    command = [
        *(str(program()), *BARE, *processor(KVM), "-smp", "2", "-m", "512M", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", "console=ttyS0 quiet orch.probe"),
    ]
    learn(_fact(), float(says(command, MARKER, DEADLINE_S)))
    found = known_accelerator()
    assert found is not None
    return found


def says(command: Sequence[str], marker: bytes, deadline_s: float) -> bool:
    """Return whether a program prints ``marker`` within ``deadline_s`` seconds; then kill the program."""
    process = subprocess.Popen(
        ["setpriv", "--pdeathsig", "KILL", *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    said, until = b"", time.monotonic() + deadline_s
    try:
        while marker not in said and (left := until - time.monotonic()) > 0:
            if select.select([process.stdout], [], [], left)[0]:
                more = os.read(process.stdout.fileno(), 65536)
                if not more:
                    break
                said = said[-len(marker) :] + more
        return marker in said
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
