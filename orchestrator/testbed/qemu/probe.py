# SPDX-License-Identifier: Apache-2.0
"""Whether guests can run under KVM here: only where one really does within a deadline.

That /dev/kvm is there says little: in many virtual machines it is, and no ordinary guest gets through its first second.
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
DEADLINE_S = 15.0  # a guest takes 1 to 2 s to its first program where KVM works
MARKER = b"orch: a program runs in a guest"  # of guest/probe, in the initrd


@dataclass(frozen=True, slots=True)
class Accelerator:
    """What guests run by, KVM or TCG, and why: a clause."""

    name: str
    why: str


def _fact() -> str:
    """What the answer is remembered as: it holds for this boot of the computer."""
    return f"kvm/{boot_of_computer()}"


def known_accelerator() -> Accelerator | None:
    """The accelerator as far as it is known without starting anything; None where a guest has to be tried."""
    if not DEVICE.exists():
        return Accelerator(TCG, f"this computer has no {DEVICE}")
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return Accelerator(TCG, f"{DEVICE} may not be used by this user")
    remembered = learned(_fact())
    if remembered is None:
        return None
    if remembered:
        return Accelerator(KVM, "a guest has booted under KVM")
    return Accelerator(TCG, f"{DEVICE} is there, and a guest did not boot under KVM")


def find_accelerator(kernel: Path, initrd: Path, progress: Progress) -> Accelerator:
    """The accelerator for guests; where it is not known yet, a guest is tried, and the answer is remembered for this
    boot of the computer. Raises TestbedError where QEMU is missing."""
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
    """Whether a program prints something within a deadline; it is ended then."""
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
