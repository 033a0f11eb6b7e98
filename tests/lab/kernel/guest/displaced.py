# SPDX-License-Identifier: Apache-2.0
"""Reordering of one tunnel's packets while every CPU sends long lists through it.

A process on each CPU sends datagrams of many small segments (UDP GSO). What WireGuard sends is captured where the
sender's device gets it, each CPU's by a socket of its own, as one for all would be what they wait for; then it is
sorted by its timestamps. Arguments: TRANSMIT RECEIVE LISTS SEGMENTS: how many datagrams each CPU sends, and of how many
segments. Prints {"cpus", "captured", "displaced": by how many numbers nine of ten packets were late at most}: the last
tenth tells more of CPUs that were interrupted than of WireGuard.
"""

import json
import os
import socket
import struct
import sys
import time

import tunnel

SEGMENT_BYTES = 64
SOL_PACKET, PACKET_FANOUT, PACKET_FANOUT_CPU = 263, 18, 2
SO_TIMESTAMPNS = 35


def send(cpu, lists, segments, go, ready):
    os.sched_setaffinity(0, {cpu})
    sender = tunnel.datagrams("a", segment=SEGMENT_BYTES)
    os.write(ready, b"r")
    os.read(go, 1)
    for _ in range(lists):
        sender.sendto(bytes(SEGMENT_BYTES * segments), (tunnel.inner("b"), tunnel.PAYLOAD_PORT))
    os._exit(0)


def captured(raw):
    """(when, number) of each data message that a socket has."""
    found = []
    raw.setblocking(False)
    while True:
        try:
            frame, notes, _, _ = raw.recvmsg(256, 64)
        except BlockingIOError:
            return found
        message = tunnel.data_message(frame)
        if message:
            seconds, nanoseconds = struct.unpack("qq", notes[0][2])
            found.append((seconds * 10**9 + nanoseconds, struct.unpack("<Q", message[8:16])[0]))


def main():
    transmit, receive, lists, segments = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tunnel.set_up()
    tunnel.make_tunnel((transmit, receive), (transmit, receive))
    tunnel.wait_for_handshake()
    cpus = sorted(os.sched_getaffinity(0))
    sockets = []
    for _ in cpus:
        raw = tunnel.frames("a", tunnel.ETH_P_ALL)
        raw.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        raw.setsockopt(SOL_PACKET, PACKET_FANOUT, 1 | PACKET_FANOUT_CPU << 16)
        sockets.append(raw)
    go_read, go_write = os.pipe()
    ready_read, ready_write = os.pipe()
    children = []
    for cpu in cpus:
        child = os.fork()
        if child == 0:
            send(cpu, lists, segments, go_read, ready_write)
        children.append(child)
    for _ in children:
        os.read(ready_read, 1)
    time.sleep(0.1)
    os.write(go_write, b"g" * len(children))
    for child in children:
        os.waitpid(child, 0)
    numbers = [number for _, number in sorted(one for raw in sockets for one in captured(raw))]
    newest, late = 0, []
    for number in numbers:
        newest = max(newest, number)
        late.append(newest - number)
    late.sort()
    print(json.dumps({"cpus": len(cpus), "captured": len(late), "displaced": late[9 * len(late) // 10]}))


main()
