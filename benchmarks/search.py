# SPDX-License-Identifier: Apache-2.0
"""Check that searches find a known capacity: a token bucket on the link between the gateways, without tunnels.

For each of three rates, it searches repeatedly, and counts the searches whose bounds include the true rate within 1 %
and are at most 2 % apart. Then the link loses 0.1 % at random: NDR must have no lower bound, and PDR must be correct.

    .venv/bin/python benchmarks/search.py [searches] [seconds of a load] [packets/s,packets/s,...]

The bucket and its queue together hold only 0.2 % of the packets of a load: 10 ms in 5 s. The lab's processors must not
pause for longer. Below 10,000 packets per second, pktgen sleeps between packets; above, it computes all the time, and
if other programs need that processor, Linux gives them 50 ms of every second (sched(7), sched_rt_runtime_us): then
loads of 30 s bridge the pauses. So the rates are low, and the computer should be idle.
"""

import sys
import time

from known_capacity import LOSS, PACKET, PDR_LOSS, KnownLink, holds

from orchestrator.cli.display import LineDisplay
from orchestrator.search import GoalBounds
from orchestrator.spec import load_testbed
from orchestrator.testbed.uml.provider import OpenUmlTestbed
from orchestrator.tools.pktgen.rate_search import kpps

RATES_PPS = (2_000, 4_000, 8_000)
NEEDED = 0.9


def said(found: GoalBounds) -> str:
    """Return the bounds of a goal as text."""
    return f"{found.goal.name} {kpps(found.lower_pps)} to {kpps(found.upper_pps)} ({found.reason})"


def main() -> None:
    searches = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    load_s = float(sys.argv[2]) if len(sys.argv) > 2 else 5.0
    rates = [int(rate) for rate in sys.argv[3].split(",")] if len(sys.argv) > 3 else list(RATES_PPS)
    met = True
    with OpenUmlTestbed(load_testbed("lab"), LineDisplay("uml")) as testbed:
        link = KnownLink(testbed)
        for rate in rates:
            truth_pps = link.limit(rate, load_s)
            counts = {"ndr": 0, "pdr": 0}
            for number in range(1, searches + 1):
                began = time.monotonic()
                found, loads = link.search(truth_pps, load_s)
                for one in found:
                    counts[one.goal.name] += holds(one, truth_pps / (1 - one.goal.loss_ratio))
                took = f"{loads} loads, {time.monotonic() - began:.0f} s"
                print(f"{kpps(truth_pps)}, {number}: {', '.join(map(said, found))}; {took}", flush=True)
            print(f"truth {kpps(truth_pps)}: ndr holds {counts['ndr']}/{searches}, pdr {counts['pdr']}/{searches}")
            met = met and min(counts.values()) >= NEEDED * searches
        truth_pps = link.limit(rates[1 % len(rates)], load_s, loss=LOSS)
        lossy = [link.search(truth_pps, load_s)[0] for _ in range(searches)]
        for ndr, pdr in lossy:
            print(f"{LOSS:.1%} lost at {kpps(truth_pps)}: {said(ndr)}, {said(pdr)}")
        loud = sum(ndr.lower_pps is None and ndr.reason == "minimum" for ndr, _ in lossy)
        kept = sum(holds(pdr, truth_pps * (1 - LOSS) / (1 - PDR_LOSS)) for _, pdr in lossy)
        print(f"lossy link: ndr fails loudly {loud}/{searches}, pdr holds {kept}/{searches}")
        met = met and loud == searches and kept >= NEEDED * searches
    print(f"{PACKET} bytes a packet, loads of {load_s:g} s. Goal, {NEEDED:.0%}: {'met' if met else 'not met'}.")


if __name__ == "__main__":
    main()
