# SPDX-License-Identifier: Apache-2.0
"""How long a first packet takes through a new session, its handshake included, while every CPU sends through another
tunnel.

Arguments: TRANSMIT RECEIVE SESSIONS. Prints {"cpus", "sessions", "idle_s", "longest_s", "median_s"}, by this machine's
clock; ``idle_s`` is the median of sessions that are begun before the others send.
"""

import json
import os
import statistics
import sys
import time

import tunnel

SEGMENT_BYTES = 1000
BUSY, NEW = 1, 2  # tunnels
PATIENCE_S = 30.0


def session(keys, sender, receiver):
    """The seconds from the first datagram of a new session until it is there."""
    for end in tunnel.ENDS:
        tunnel.run(f"ip netns exec {end} wg set wg{NEW} peer {keys[tunnel.other(end)]} remove")
    for end in tunnel.ENDS:
        tunnel.add_peer(end, keys[tunnel.other(end)], NEW)
    began = time.monotonic()
    sender.sendto(b"hello", (tunnel.inner("b", NEW), tunnel.PAYLOAD_PORT))
    receiver.recv(16)
    return time.monotonic() - began


def main():
    transmit, receive, sessions = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tunnel.set_up()
    for number in (BUSY, NEW):
        tunnel.make_tunnel((transmit, receive), (transmit, receive), number=number)
        tunnel.wait_for_handshake(number)
    keys = {end: tunnel.peer_key(tunnel.other(end), NEW) for end in tunnel.ENDS}
    sender, receiver = tunnel.datagrams("a"), tunnel.datagrams("b", port=tunnel.PAYLOAD_PORT, number=NEW)
    receiver.settimeout(PATIENCE_S)
    idle = [session(keys, sender, receiver) for _ in range(5)]
    cpus = sorted(os.sched_getaffinity(0))
    with tunnel.senders(cpus, SEGMENT_BYTES, 60, BUSY):
        took = [session(keys, sender, receiver) for _ in range(sessions)]
    result = {"cpus": len(cpus), "sessions": sessions, "idle_s": statistics.median(idle)}
    print(json.dumps({**result, "longest_s": max(took), "median_s": statistics.median(took)}))


main()
