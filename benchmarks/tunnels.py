# SPDX-License-Identifier: Apache-2.0
"""Time for many tunnels: creating and configuring them on both gateways, all handshakes, and removing them.

One lab machine has both gateways. The goal is that 1,000 tunnels are configured and complete their handshakes within
20 s, and that the time grows about linearly. Run it on an idle computer: python benchmarks/tunnels.py [REPETITIONS]
"""

import statistics
import sys
import time

from orchestrator.cli.display import LineDisplay
from orchestrator.kernel.variants import load_variants
from orchestrator.measure import layout
from orchestrator.measure.roles import make_links
from orchestrator.measure.tunnels import make_tunnels, remove_tunnels, shake_hands
from orchestrator.spec import load_testbed
from orchestrator.systems import system_of
from orchestrator.testbed import usable_cores
from orchestrator.testbed.protocol import State
from orchestrator.testbed.uml.provider import OpenUmlTestbed

TUNNELS = (1, 10, 100, 300, 1000)
GOAL_S = 20.0


def once(testbed: OpenUmlTestbed, tunnels: int) -> tuple[float, float, float]:
    """Return the seconds of configuring, of the handshakes, and of removing."""
    began = time.monotonic()
    make_tunnels(testbed, layout.Net(layout.SITE_TO_SITE), tunnels, load_variants()["vanilla"])
    configured = time.monotonic()
    shake_hands(testbed, layout.SITE_TO_SITE, tunnels)
    ready = time.monotonic()
    remove_tunnels(testbed, tunnels)
    return configured - began, ready - configured, time.monotonic() - ready


def main() -> None:
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    cores = min(2, usable_cores())
    with OpenUmlTestbed(load_testbed("lab"), LineDisplay("uml")) as testbed:
        testbed.prepare(State(cores))
        make_links(testbed, layout.Net(layout.SITE_TO_SITE), max(TUNNELS))
        vanilla = load_variants()["vanilla"]
        system_of(vanilla).load(testbed, vanilla)
        for tunnels in TUNNELS:
            rows = [once(testbed, tunnels) for _ in range(repetitions)]
            ready = [configured + shaken for configured, shaken, _ in rows]
            parts = [statistics.median(row[i] for row in rows) for i in range(3)]
            median = statistics.median(ready)
            print(
                f"{tunnels:5} tunnels: ready after {median:6.2f} s ({min(ready):.2f} to {max(ready):.2f}, "
                f"n = {repetitions}), {1000 * median / tunnels:6.1f} ms each; configuring {parts[0]:.2f}, handshakes "
                f"{parts[1]:.2f}, removing {parts[2]:.2f} s",
                flush=True,
            )
    print(f"{cores} cores. Goal for {TUNNELS[-1]} tunnels, {GOAL_S:g} s: {'met' if median <= GOAL_S else 'not met'}.")


if __name__ == "__main__":
    main()
