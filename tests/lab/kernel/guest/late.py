# SPDX-License-Identifier: Apache-2.0
"""Packets of a tunnel inside a tunnel while no worker gets a CPU, and then many more through the outer one alone.

The sender has real-time priority, so that nothing else runs on its CPU (take a machine with one). What it sends
through the inner tunnel must arrive, however much the outer one has carried in between. Arguments: TRANSMIT RECEIVE
NESTED DIRECT, how many packets through each. Prints {"nested", "delivered", "direct"}.
"""

import json
import os
import socket
import struct
import sys
import time

import tunnel

SEGMENTS, SEGMENT_BYTES = 100, 16
STARVED_S = 0.15


def main():
    transmit, receive, nested, direct = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tunnel.set_up()
    tunnel.make_tunnel((transmit, receive), (transmit, receive))
    tunnel.wait_for_handshake()
    tunnel.make_tunnel((transmit, receive), (transmit, receive), number=2)
    tunnel.put_inside(2, 1)
    tunnel.wait_for_handshake(2)
    receiver = tunnel.datagrams("b", port=tunnel.PAYLOAD_PORT, number=2)
    sender, fresh = tunnel.datagrams("a"), tunnel.datagrams("a", segment=SEGMENT_BYTES)
    with open("/proc/sys/kernel/sched_rt_runtime_us", "w") as file:
        file.write("-1")
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    time.sleep(0.2)
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    for number in range(nested):
        sender.sendto(struct.pack("!I", number), (tunnel.inner("b", 2), tunnel.PAYLOAD_PORT))
    sent, enough = 0, time.monotonic() + STARVED_S
    while time.monotonic() < enough:
        pass
    while sent < direct:  # without a pause that lets workers run
        fresh.sendto(bytes(SEGMENT_BYTES * SEGMENTS), socket.MSG_DONTWAIT, (tunnel.inner("b"), tunnel.PAYLOAD_PORT + 1))
        sent += SEGMENTS
    os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    receiver.settimeout(2.0)
    seen = set()
    try:
        while True:
            seen.add(struct.unpack("!I", receiver.recv(64)[:4])[0])
    except TimeoutError:
        pass
    print(json.dumps({"nested": nested, "delivered": len(seen), "direct": sent}))


main()
