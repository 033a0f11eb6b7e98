# SPDX-License-Identifier: Apache-2.0
"""The table of requirements, in the order in which to fix them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from orchestrator import cache
from orchestrator.doctor import checks
from orchestrator.doctor.packages import SystemPackage, system_packages
from orchestrator.requirement import Checked, Need, Observation, Requirement
from orchestrator.spec import Testbed

IDLE = "Idle computer"
_COMPUTER = (
    Requirement("Computer", Need.REQUIRED, checks.computer, "The lab needs Linux on x86-64: use another computer."),
    Requirement("Python", Need.REQUIRED, checks.python, "Install Python 3.11, 3.12 or 3.13, with its venv module."),
    Requirement("Python packages", Need.REQUIRED, checks.python_packages),
    Requirement("Namespaces", Need.REQUIRED, checks.namespaces),
    Requirement("Seccomp", Need.REQUIRED, checks.seccomp, "Use a kernel that was built with CONFIG_SECCOMP_FILTER."),
    Requirement("Folders", Need.REQUIRED, checks.folders),
    Requirement("Memory", Need.REQUIRED, checks.memory, f"The lab needs {checks.MEMORY_NEEDED // checks.GIB} GiB."),
    Requirement(
        "Disk",
        Need.BUILD,
        checks.disk,
        f"Building the lab needs {checks.DISK_NEEDED // checks.GIB} GiB: make room, or name a folder on "
        "another disk in XDG_CACHE_HOME.",
    ),
)
_DEBIAN = (
    Requirement("Debian mirror", Need.BUILD, checks.debian_mirror),
    Requirement("Debian's archive keys", Need.BUILD, checks.archive_keys),
    Requirement("User ids for the image", Need.BUILD, checks.user_ids),
)
_MEASURING = (
    Requirement(
        "Real-time priority",
        Need.ADVICE,
        checks.realtime,
        "Run as root, or give yourself a limit (`YOU - rtprio 20` in /etc/security/limits.d/): without it, "
        "any other program that runs during a trial disturbs it.",
    ),
    Requirement("Cores", Need.ADVICE, checks.cores, "Scaling shows from two cores on."),
    Requirement(
        IDLE,
        Need.ADVICE,
        checks.idle,
        "End other programs before you measure in real time; virtual time does not need it.",
    ),
)
_INFORMATION = (
    Requirement("Virtual time", Need.INFORMATION, checks.virtual_time),
    Requirement("KVM", Need.INFORMATION, checks.kvm),
)


def _package_requirement(package: SystemPackage) -> Requirement:
    mark = package.mark.rsplit("/", 1)[-1]
    need = Need.REQUIRED if package.use == "run" else Need.BUILD
    name = package.name if mark.startswith(package.name) else f"{package.name} ({mark})"
    return Requirement(name, need, package.look)


def requirements(virtual: Sequence[Testbed] = ()) -> list[Requirement]:
    """Return every requirement of the lab. For testbeds in virtual time, those that only real time has are left out."""
    packages = [_package_requirement(package) for package in system_packages()]
    measuring = [
        Requirement("Virtual time", Need.REQUIRED, partial(checks.virtual_testbed, testbed)) for testbed in virtual
    ]
    return [*_COMPUTER, *packages, *_DEBIAN, *(measuring or [*_MEASURING, *_INFORMATION])]


def lab_is_built() -> bool:
    """Return whether the cache holds a lab that was built here or imported, so that build tools are only needed for
    changes."""
    kinds = {product.kind for product in cache.products()}
    return {"lab-kernel", "lab-disk"} <= kinds


def examine(
    table: Sequence[Requirement] | None = None, *, is_built: Callable[[], bool] = lab_is_built
) -> list[Checked]:
    """Check every requirement. If a lab is already built, requirements of a build become advice."""
    findings = []
    for requirement in requirements() if table is None else table:
        try:
            seen = requirement.check()
        except (OSError, ValueError) as error:
            seen = Observation(False, f"cannot be checked: {error}")
        remedy = seen.remedy or requirement.remedy
        findings.append(Checked.of(requirement.name, requirement.need, seen.found, seen.what, remedy))
    if any(not f.found and f.need is Need.BUILD for f in findings) and is_built():
        findings = [
            replace(f, need=Need.ADVICE, remedy=f"{f.remedy} (needed when the lab is built anew)")
            if not f.found and f.need is Need.BUILD
            else f
            for f in findings
        ]
    return findings
