# SPDX-License-Identifier: Apache-2.0
"""Checks of this computer. Each really tries what the lab will do, unless that would leave traces."""

import os
import platform
import pwd
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from orchestrator.cache import refuse_odd_path
from orchestrator.commands import capture
from orchestrator.debian import keyring, mirror
from orchestrator.dependencies import REMEDY, absent_packages, lacking
from orchestrator.errors import TestbedError, UserError
from orchestrator.paths import cache_home
from orchestrator.private import lab_base
from orchestrator.requirement import Observation
from orchestrator.spec import MOST_CORES_OF_OWN, Testbed
from orchestrator.testbed.lab.lab import own_namespaces
from orchestrator.testbed.provider import provider_of
from orchestrator.testbed.qemu.probe import known_accelerator

GIB = 2**30
DISK_NEEDED = 6 * GIB  # kernel source and build 4, image, disk and modules 1, and room for results
MEMORY_NEEDED = 2 * GIB  # a lab machine of 1 GiB, and the controller with a compiler
PRIORITY = 10  # the real-time priority of a lab machine while traffic runs
IDLE_WINDOW_S = 0.5
BUSY_CORES = 0.2  # more than this much of a core in use by others disturbs a measurement
PYTHONS = ((3, 11), (3, 14))  # versions for which requirements.lock is valid: from the first, below the second

# The objects that a lab creates in its namespaces: a bridge, a pair of interfaces, a tmpfs.
_TRIAL = """
set -e
ip link set lo up
ip link add orch-try type bridge
ip link add orch-a type veth peer name orch-b
ip link set orch-a master orch-try
mount -t tmpfs none /tmp
"""


def _run(arguments: Sequence[str], timeout_s: float = 20) -> tuple[bool, str]:
    """Return whether a command succeeds, and the last line of its output."""
    try:
        done = capture(arguments, timeout_s=timeout_s)
    except FileNotFoundError:
        return False, f"{arguments[0]} is not installed"
    except subprocess.TimeoutExpired:
        return False, f"{arguments[0]} did not answer within {timeout_s:g} s"
    said = (done.stderr.strip() or done.stdout.strip()).splitlines()
    return done.returncode == 0, said[-1] if said else f"status {done.returncode}"


def computer() -> Observation:
    """Check for Linux on x86-64, for which the lab kernel is built."""
    what = f"{platform.system()} {platform.release()} on {platform.machine()}"
    return Observation(platform.system() == "Linux" and platform.machine() == "x86_64", what)


def python() -> Observation:
    """Check for a version that every locked requirement supports."""
    return Observation(PYTHONS[0] <= sys.version_info[:2] < PYTHONS[1], platform.python_version())


def python_packages() -> Observation:
    """Check for the packages that the program declares."""
    absent = absent_packages()
    return Observation(not absent, lacking(absent) if absent else "all that the program needs", REMEDY)


def namespaces() -> Observation:
    """Create the namespaces of a lab with its kinds of interfaces in them, and leave them again."""
    user = os.geteuid() != 0
    kinds = ("user, " if user else "") + "network, mount, process"
    if not shutil.which("unshare") or not shutil.which("ip"):
        return Observation(
            False, "cannot be tried without unshare and ip", "Install the packages util-linux, iproute2."
        )
    works, said = _run([*own_namespaces(), "sh", "-c", _TRIAL])
    if works:
        return Observation(True, f"{kinds}; with bridge, veth and tmpfs")
    return Observation(False, f"making them ({kinds}) fails: {said}", _namespace_remedy(user))


def _setting(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text().strip()
    except OSError:
        return ""


def _namespace_remedy(is_user: bool) -> str:
    if is_user and _setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        setting = "kernel.apparmor_restrict_unprivileged_userns"
        return f"AppArmor forbids it to ordinary users: sudo sysctl {setting}=0"
    if is_user and _setting("kernel/unprivileged_userns_clone") == "0":
        return "The kernel forbids it to ordinary users: sudo sysctl kernel.unprivileged_userns_clone=1"
    if is_user and _setting("user/max_user_namespaces") == "0":
        return "The kernel's limit is 0: sudo sysctl user.max_user_namespaces=10000"
    if is_user:
        return "Allow user namespaces, or run as root."
    return "A container must be given the right to (for example --privileged); else use a virtual machine."


def seccomp() -> Observation:
    """Check for the system call filter, which a lab kernel with more than one virtual CPU needs."""
    try:
        there = "Seccomp:" in Path("/proc/self/status").read_text()
    except OSError as error:
        return Observation(False, f"/proc/self/status cannot be read: {error.strerror}")
    return Observation(there, "there" if there else "this kernel was built without it")


def folders() -> Observation:
    """Check the paths of the lab's folders: sockets can be created there, and no program mistakes a part of them for a
    separator."""
    try:
        refuse_odd_path()
        base = lab_base()
    except TestbedError as error:
        return Observation(False, "cannot be used", str(error))
    return Observation(True, f"{base} for what runs, {cache_home()} for what was built")


def user_ids() -> Observation:
    """Check that an ordinary user has a range of user ids: these own the files of the lab image while it is built."""
    if os.geteuid() == 0:
        return Observation(True, "not needed by root")
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return Observation(False, f"the user id {os.geteuid()} has no name in /etc/passwd, so that it has no range")
    for file in ("/etc/subuid", "/etc/subgid"):
        try:
            lines = [line.split(":") for line in Path(file).read_text().splitlines()]
        except OSError:
            lines = []
        if not any(len(f) == 3 and f[0] in (name, str(os.geteuid())) and int(f[2]) >= 65536 for f in lines):
            remedy = f"sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {name}"
            return Observation(False, f"{file} gives {name} no range of 65536", remedy)
    return Observation(True, f"{name} has a range in /etc/subuid and /etc/subgid")


def disk() -> Observation:
    """Check the free space for the lab's products."""
    home = cache_home()
    folder = home
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    what = f"{free / GIB:.1f} GiB free for {home}"
    if not os.access(folder, os.W_OK):
        return Observation(False, f"{folder} cannot be written", "Name another place in XDG_CACHE_HOME.")
    return Observation(free >= DISK_NEEDED, what)


def memory() -> Observation:
    """Check the memory that is available without swapping."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
            return Observation(available >= MEMORY_NEEDED, f"{available / GIB:.1f} GiB available")
    return Observation(False, "/proc/meminfo does not say how much is available")


def debian_mirror() -> Observation:
    """Report the source of Debian packages. Its availability is not checked until it is used."""
    try:
        return Observation(True, mirror())
    except UserError as error:
        return Observation(False, "none is named", str(error))


def archive_keys() -> Observation:
    """Check for the keys with which Debian signs its archive."""
    try:
        return Observation(True, str(keyring()))
    except UserError as error:
        return Observation(False, "not there", str(error))


def cores() -> Observation:
    """Report the number of virtual CPUs that a lab machine can have in real time."""
    count = len(os.sched_getaffinity(0))
    what = f"{count} core{'s' if count > 1 else ''}: in real time, cells with more are left out"
    return Observation(count > 1, what)


def virtual_time() -> Observation:
    """Report what virtual time can do on this computer."""
    count = len(os.sched_getaffinity(0))
    slots = f"{count} core{'s' * (count != 1)}"
    return Observation(
        True,
        f"up to {MOST_CORES_OF_OWN} virtual CPUs in each gateway on {slots} (`--testbed virtual-lab`); it needs no "
        "idle computer and no real-time priority: other programs make a trial longer, not wrong",
    )


def virtual_testbed(testbed: Testbed) -> Observation:
    """Report the size of a testbed in virtual time on this computer."""
    try:
        found = provider_of(testbed).virtual(testbed)
    except TestbedError as error:
        return Observation(False, "cannot be used here", str(error))
    assert found is not None
    each = f" ({found.cores} in each gateway)" if found.own_cpus else ""
    slots = f"{found.slots} core{'s' * (found.slots != 1)}"
    return Observation(
        True,
        f"{testbed.testbed}: up to {found.machine_cpus(found.cores)} virtual CPUs{each} on {slots}, quantum "
        f"{found.quantum_s * 1e6:g} us; it needs no idle computer and no real-time priority",
    )


def realtime() -> Observation:
    """Check the lab's real-time priority, by giving it to a program that does nothing."""
    works, said = _run(["chrt", "--fifo", str(PRIORITY), "true"])
    return Observation(works, f"SCHED_FIFO {PRIORITY} is allowed" if works else said)


def _busy_s() -> float:
    ticks = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def idle() -> Observation:
    """Check whether other programs use this computer now."""
    before, began = _busy_s(), time.monotonic()
    time.sleep(IDLE_WINDOW_S)
    busy = (_busy_s() - before) / (time.monotonic() - began)
    return Observation(busy <= BUSY_CORES, f"{busy:.1f} of {os.cpu_count()} cores are busy now")


def kvm() -> Observation:
    """Report hardware virtualization for QEMU guests. The lab does not use it."""
    known = known_accelerator()
    if known is None:
        return Observation(True, "/dev/kvm is there; a run with --testbed auto tries whether a guest boots under it")
    return Observation(True, f"{known.why}; the lab does without")
