# SPDX-License-Identifier: Apache-2.0
"""Our module's data paths on Debian's own kernels: order, replays, forgeries, nesting and roaming."""

import pytest

from orchestrator.testbed.qemu.machine import missing_packages
from tests.lab.kernel.debian import KERNELS, complaints, one_guest

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.beside,
    pytest.mark.skipif(bool(missing_packages()), reason="QEMU is not on this computer"),
]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_paths_of_our_module_do_there_what_they_do_in_the_lab(kernel: str) -> None:
    """As test_paths.py and test_inline.py, with fewer packets: an emulated processor is slow."""
    queued = ("queued", "queued")
    with one_guest(kernel) as guest:
        guest.load("multitunnel")
        for paths in (("inline", "inline"), ("batched", "batched"), ("queued", "workqueue"), ("queued", "steal")):
            for end_a, end_b in ((paths, paths), (paths, queued), (queued, paths)):
                found = guest.program("flows", *end_a, *end_b, 0, 3, timeout_s=300)
                assert min(found["tcp_bps"]) > 1e6
                assert found["sent"] > 50
                assert (found["out_of_order"], found["twice"]) == (0, 0)
                assert found["lost"] < 0.2 * found["sent"]
            found = guest.program("replay", *paths, 0, 500, timeout_s=300)
            assert (found["captured"], found["twice"]) == (found["packets"], 0)
            assert found["delivered"] > 0.5 * found["packets"]
            found = guest.program("fuzz", *paths, 0, 1000, 20261127, timeout_s=300)
            assert (found["delivered"], found["counted"], found["alive"]) == (0, 0, True)
            if paths[0] == "queued":
                continue
            found = guest.program("nested", *paths, 6, 50, timeout_s=300)
            assert (found["delivered"], found["out_of_order"]) == (found["sent"], 0)
            guest.program("roam", *paths, 10, timeout_s=300)
        assert complaints(guest) == []
