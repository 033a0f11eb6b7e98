# SPDX-License-Identifier: Apache-2.0
"""The testbed ``auto``: guests if KVM works on this computer, otherwise the User-Mode Linux lab."""

from orchestrator.progress import Progress
from orchestrator.spec import AUTO, Pool, Testbed, load_testbed

_GUESTS, _LAB = "guests", "lab"


def choose_testbed(name: str, progress: Progress | None) -> tuple[Testbed | Pool, str]:
    """Return the testbed with a name or from a file, and a sentence that explains the choice for ``auto`` (otherwise
    empty).

    ``progress``: if given, KVM is tried, which may build a guest image and start a guest. With None, nothing is
    started, and KVM counts as unavailable until it has been tried. Raises SpecError, UserError or TestbedError.
    """
    if name != AUTO:
        return load_testbed(name), ""
    from orchestrator.kernel.releases import load_releases
    from orchestrator.testbed.qemu import probe
    from orchestrator.testbed.qemu.image import guest_image
    from orchestrator.testbed.qemu.machine import KVM, missing_packages
    from orchestrator.testbed.qemu.schema import QemuTestbed

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
