# SPDX-License-Identifier: Apache-2.0
"""The testbed ``auto``: guests where this computer has KVM that works, else the lab of User-Mode Linux."""

from orchestrator.kernel.releases import load_releases
from orchestrator.progress import Progress
from orchestrator.spec import AUTO, Pool, Testbed, load_testbed
from orchestrator.testbed.qemu import probe
from orchestrator.testbed.qemu.image import guest_image
from orchestrator.testbed.qemu.machine import KVM, missing_packages
from orchestrator.testbed.qemu.schema import QemuTestbed

_GUESTS, _LAB = "guests", "lab"


def choose_testbed(name: str, progress: Progress | None) -> tuple[Testbed | Pool, str]:
    """The testbed of a name or a file, and a sentence on why, where it was chosen for ``auto``, else nothing.

    ``progress``: to try what is not known yet, which may build a guest image and starts a guest; None: nothing is
    started, and what is not known counts as not there. Raises SpecError, UserError, TestbedError.
    """
    if name != AUTO:
        return load_testbed(name), ""
    guests = load_testbed(_GUESTS)
    assert isinstance(guests, QemuTestbed)
    missing = missing_packages()
    if missing:
        return load_testbed(_LAB), f"auto is the testbed {_LAB}: guests would need {' and '.join(missing)}."
    found = probe.known_accelerator()
    if found is None and progress is None:
        return load_testbed(_LAB), (
            f"auto may be the testbed {_LAB} or {_GUESTS}; this plan is for {_LAB}, since whether guests run under KVM "
            "is tried when a run begins."
        )
    if found is None:
        assert progress is not None
        image = guest_image(load_releases()[guests.hosts[0].kernel], progress)
        found = probe.find_accelerator(image.path / "vmlinuz", image.path / "initrd", progress)
    if found.name == KVM:
        return guests, f"auto is the testbed {_GUESTS}: {found.why}."
    return load_testbed(_LAB), f"auto is the testbed {_LAB}: {found.why}."
