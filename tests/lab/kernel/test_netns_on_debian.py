# SPDX-License-Identifier: Apache-2.0
"""WireGuard's own test on Debian's own kernels, with short flows."""

import re

import pytest

from orchestrator.kernel.variants import load_variants
from orchestrator.testbed.qemu.machine import missing_packages
from tests.lab.kernel.debian import KERNELS, complaints, one_guest
from tests.lab.kernel.test_netns import netns

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.beside,
    pytest.mark.skipif(bool(missing_packages()), reason="QEMU is not on this computer"),
]


# Without vanilla on the real-time kernel, which takes longest: upstream's code, tested on the same version without RT.
@pytest.mark.parametrize(
    ("kernel", "variant"),
    [(k, v) for k in KERNELS for v in ("vanilla", "inline", "batched") if (k, v) != (KERNELS[2], "vanilla")],
)
def test_wireguard_s_own_test_passes(kernel: str, variant: str) -> None:
    with one_guest(kernel) as guest:
        guest.run("dmesg --console-level info")
        said = netns(guest, load_variants()[variant], 1500, short=True)
        assert complaints(guest) == []
    assert len(re.findall(r"\[\+\]", said)) > 250  # it says each step
