# SPDX-License-Identifier: Apache-2.0
"""How long `wg set` takes to give a peer a new endpoint while all other CPUs send to that peer.

Arguments: TRANSMIT RECEIVE CHANGES. Prints {"cpus", "changes", "longest_s", "median_s"} of `wg set`, by this machine's
clock.
"""

import json
import os
import statistics
import sys
import time

import tunnel

SEGMENT_BYTES = 64


def main():
    transmit, receive, changes = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tunnel.set_up()
    tunnel.run("ip -n b addr add 198.18.0.3/24 dev veth0")
    tunnel.make_tunnel((transmit, receive), (transmit, receive))
    tunnel.wait_for_handshake()
    key = tunnel.peer_key("a")
    here, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {here})
    took = []
    with tunnel.senders(others, SEGMENT_BYTES, 64):
        for number in range(changes):
            began = time.monotonic()
            tunnel.run(f"ip netns exec a wg set wg1 peer {key} endpoint 198.18.0.{2 + number % 2}:{tunnel.PORT + 1}")
            took.append(time.monotonic() - began)
    result = {"cpus": 1 + len(others), "changes": changes}
    print(json.dumps({**result, "longest_s": max(took), "median_s": statistics.median(took)}))


main()
