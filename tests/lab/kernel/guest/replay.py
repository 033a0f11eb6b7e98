# SPDX-License-Identifier: Apache-2.0
"""Every encrypted packet, sent again by all CPUs at once, must be delivered exactly once.

The originals are captured on the receiver's veth and kept from its WireGuard by a filter; copies of each then come
from every CPU at the same time. Arguments: TRANSMIT RECEIVE THREADED PACKETS. Prints
{"packets", "captured", "delivered", "twice", "missing"}.
"""

import json
import os
import socket
import struct
import sys
import threading
import time

import tunnel


def capture(raw, wanted, found):
    """UDP payloads of WireGuard data messages from a's device."""
    deadline = time.monotonic() + 30
    raw.settimeout(1.0)
    while len(found) < wanted and time.monotonic() < deadline:
        try:
            message = tunnel.data_message(raw.recv(4096))
        except TimeoutError:
            continue
        if message:
            found.append(message)


def inject(cpu, packets, go, done):
    """Send all packets from one CPU; over veth they are received on it."""
    os.sched_setaffinity(0, {cpu})
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.bind((tunnel.outer("a"), 0))
    target = (tunnel.outer("b"), tunnel.PORT + 1)
    os.write(done, b"r")
    os.read(go, 1)
    for packet in packets:
        sender.sendto(packet, target)
    os._exit(0)


def main():
    transmit, receive, threaded, count = sys.argv[1], sys.argv[2], sys.argv[3] == "1", int(sys.argv[4])
    tunnel.set_up()
    with open("/proc/sys/net/core/netdev_max_backlog", "w") as file:
        file.write(str(10 * count))  # what a CPU has yet to receive, where the computer stood still
    tunnel.make_tunnel((transmit, receive), (transmit, receive), threaded)
    tunnel.wait_for_handshake()
    receiver = tunnel.datagrams("b", port=tunnel.PAYLOAD_PORT)
    raw = tunnel.frames("b")
    sender = tunnel.datagrams("a")
    tunnel.run("ip netns exec b iptables-legacy -A INPUT -i veth0 -p udp --sport %s -j DROP" % (tunnel.PORT + 1))
    found = []
    reader = threading.Thread(target=capture, args=(raw, count, found))
    reader.start()
    for number in range(count):
        sender.sendto(struct.pack("!I", number) + bytes(60), (tunnel.inner("b"), tunnel.PAYLOAD_PORT))
    reader.join()

    go_read, go_write = os.pipe()
    done_read, done_write = os.pipe()
    cpus = sorted(os.sched_getaffinity(0))
    children = []
    for cpu in cpus:
        with tunnel.inside("a"):
            child = os.fork()
            if child == 0:
                inject(cpu, found, go_read, done_write)
        children.append(child)
    for _ in children:
        os.read(done_read, 1)
    os.write(go_write, b"g" * len(children))

    seen = {}
    receiver.settimeout(2.0)
    try:
        while True:
            number = struct.unpack("!I", receiver.recv(2048)[:4])[0]
            seen[number] = seen.get(number, 0) + 1
    except TimeoutError:
        pass
    for child in children:
        os.waitpid(child, 0)
    print(
        json.dumps(
            {
                "packets": count,
                "captured": len(found),
                "cpus": len(cpus),
                "delivered": len(seen),
                "twice": sum(times > 1 for times in seen.values()),
            }
        )
    )


main()
