# SPDX-License-Identifier: Apache-2.0
"""WireGuard's own test, tools/testing/selftests/wireguard/netns.sh, unmodified, for every variant."""

import re

import pytest

from orchestrator.kernel.variants import Variant, load_variants
from tests.lab.kernel.machine import KernelMachine, machine, two_cores

pytestmark = [pytest.mark.lab, pytest.mark.beside]

# The test uses `iptables` as it was before nf_tables, and knows no choice of where polls run: both come in through the
# PATH. Polls are set whenever the test adds a peer, as that is when a device gets its NAPI.
WG = """#!/bin/bash
/usr/bin/wg "$@"; status=$?
if [[ "$1" == set && " $* " == *" peer "* ]]; then
    for f in /sys/class/net/wg*/threaded; do echo THREADED >"$f" && cat "$f" >>/run/own/threaded; done 2>/dev/null
fi
exit $status
"""


# Each of some forty flows takes 3 s; in the short test, as long as 16 MB.
IPERF3 = """#!/bin/bash
words=("$@")
for i in "${!words[@]}"; do if [[ ${words[i]} == -t ]]; then words[i]=-n; words[i + 1]=16M; fi; done
exec /usr/bin/iperf3 "${words[@]}"
"""


def _with_short_flows() -> list[object]:
    """The variants that have a module of WireGuard: without --full inline, with it all but batched, whose are long."""
    found = [(name, variant) for name, variant in load_variants().items() if variant.build and name != "batched"]
    return [pytest.param(one, id=name, marks=[] if name == "inline" else [pytest.mark.full]) for name, one in found]


@pytest.mark.parametrize("variant", _with_short_flows())
def test_netns_passes_with_short_flows(variant: Variant) -> None:
    passes(variant, two_cores(), short=True)


@pytest.mark.full
@pytest.mark.parametrize("name", ["inline", "batched"])  # the changed code, both directions of it
def test_netns_passes(name: str) -> None:
    passes(load_variants()[name], two_cores())


@pytest.mark.full
@pytest.mark.parametrize("name", ["vanilla", "inline"])
def test_netns_passes_in_virtual_time(name: str) -> None:
    passes(load_variants()[name], 8, virtual=True)


def passes(variant: Variant, cores: int, *, virtual: bool = False, short: bool = False) -> None:
    with machine(cores, virtual=virtual) as guest:
        said = netns(guest, variant, 600, short=short)
        assert set(guest.run("cat /run/own/threaded").split()) == {str(int(variant.threaded))}
        assert guest.complaints() == []
    assert len(re.findall(r"\[\+\]", said)) > 300  # it says each step


def netns(guest: KernelMachine, variant: Variant, timeout_s: float, *, short: bool) -> str:
    """Load a variant, run the test on it, and return what it said. ``short``: its flows end after 16 MB, not 3 s."""
    guest.load(variant.build, variant.settings.get("transmit", ""), variant.settings.get("receive", ""))
    guest.put({"netns.sh": guest.selftests / "netns.sh"}, "/run/own")
    wrapper = WG.replace("THREADED", str(int(variant.threaded)))
    for name, script in {"wg": wrapper, **({"iperf3": IPERF3} if short else {})}.items():
        guest.run(f"cat >/run/own/{name} && chmod +x /run/own/{name}", data=script.encode())
    guest.run("ln -s $(command -v iptables-legacy) /run/own/iptables")
    run = f"cd /run/own && PATH=/run/own:$PATH timeout -k 5 {timeout_s:g} bash ./netns.sh 2>&1"
    return guest.run(run, timeout_s=timeout_s + 20)
