# SPDX-License-Identifier: Apache-2.0
"""WireGuard's own test on Debian's own kernels, with short flows."""

import re

import pytest

from orchestrator.kernel.variants import load_variants
from orchestrator.testbed.qemu.machine import missing_packages
from tests.lab.kernel.debian import KERNELS, complaints, one_guest
from tests.lab.kernel.test_netns import IPERF3, WG

pytestmark = [
    pytest.mark.lab,
    pytest.mark.full,
    pytest.mark.beside,
    pytest.mark.skipif(bool(missing_packages()), reason="QEMU is not on this computer"),
]


@pytest.mark.parametrize("variant", ["vanilla", "inline", "batched"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_wireguard_s_own_test_passes(kernel: str, variant: str) -> None:
    wanted = load_variants()[variant]
    with one_guest(kernel) as guest:
        guest.load(wanted.build, wanted.settings.get("transmit", ""), wanted.settings.get("receive", ""))
        guest.run("dmesg --console-level info")
        guest.put({"netns.sh": guest.selftests / "netns.sh"}, "/run/own")
        wrapper = WG.replace("THREADED", str(int(wanted.threaded)))
        for name, script in {"wg": wrapper, "iperf3": IPERF3}.items():
            guest.run(f"cat >/run/own/{name} && chmod +x /run/own/{name}", data=script.encode())
        guest.run("ln -s $(command -v iptables-legacy) /run/own/iptables")
        said = guest.run("cd /run/own && PATH=/run/own:$PATH timeout -k 5 1500 bash ./netns.sh 2>&1", timeout_s=1520)
        assert complaints(guest) == []
    assert len(re.findall(r"\[\+\]", said)) > 250  # it says each step
