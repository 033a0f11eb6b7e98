# SPDX-License-Identifier: Apache-2.0
"""The CPU time that messages take which must be dropped: replays, and forgeries with a counter not yet seen.

Large messages of a tunnel with jumbo frames are captured, then sent again, many in one system call, as they are or
with a new counter. Virtual time charges each CPU what it used. Arguments: TRANSMIT RECEIVE ROUNDS. Prints
{"replay_ns", "forgery_ns": medians, of the CPU time of one message, sender included; "delivered"}.
"""

import ctypes
import json
import os
import statistics
import struct
import sys
import time

import tunnel

MESSAGES = 200
MTU = 32_000


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_char_p), ("length", ctypes.c_size_t)]


class Header(ctypes.Structure):
    """struct msghdr of Linux."""

    _fields_ = [
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(Vector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    ]


class Message(ctypes.Structure):
    """struct mmsghdr of Linux."""

    _fields_ = [("header", Header), ("length", ctypes.c_uint)]


def batch(messages):
    """The messages as an argument of sendmmsg(2)."""
    made = (Message * len(messages))()
    for one, message in zip(made, messages, strict=True):
        one.header.vectors = ctypes.pointer(Vector(message, len(message)))
        one.header.vector_count = 1
    return made


def busy_ns():
    with open("/proc/virtual_time") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("cpu") and "_busy_ns" in line)


def cost_ns(sender, messages):
    made, sent, before = batch(messages), 0, busy_ns()
    while sent < len(messages):
        done = tunnel.LIBC.sendmmsg(sender.fileno(), ctypes.byref(made[sent]), len(messages) - sent, 0)
        if done < 0:
            raise OSError(ctypes.get_errno(), "sendmmsg")
        sent += done
    time.sleep(0.02)
    return (busy_ns() - before) / len(messages)


def main():
    transmit, receive, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3])
    os.sched_setaffinity(0, {0})
    tunnel.set_up()
    for end in tunnel.ENDS:
        tunnel.run(f"ip -n {end} link set veth0 mtu {MTU}")
    tunnel.make_tunnel((transmit, receive), (transmit, receive))
    for end in tunnel.ENDS:
        tunnel.run(f"ip -n {end} link set wg1 mtu {MTU - 80}")
    tunnel.wait_for_handshake()
    receiver = tunnel.datagrams("b", port=tunnel.PAYLOAD_PORT)
    raw, sender = tunnel.frames("b"), tunnel.datagrams("a")
    raw.settimeout(5.0)
    found = []
    while len(found) < MESSAGES:
        sender.sendto(bytes(MTU - 120), (tunnel.inner("b"), tunnel.PAYLOAD_PORT))
        if message := tunnel.data_message(raw.recv(MTU + 100)):
            found.append(message)
    raw.close()
    time.sleep(0.2)
    receiver.setblocking(False)
    for _ in found:
        receiver.recv(MTU)
    outer = tunnel.datagrams("a")
    outer.connect((tunnel.outer("b"), tunnel.PORT + 1))
    replays, forgeries = [], []
    for number in range(rounds):
        later = [m[:8] + struct.pack("<Q", 10**6 + number * MESSAGES + i) + m[16:] for i, m in enumerate(found)]
        replays.append(cost_ns(outer, found))
        forgeries.append(cost_ns(outer, later))
    delivered = 0
    try:
        while receiver.recv(MTU):
            delivered += 1
    except BlockingIOError:
        pass
    medians = {"replay_ns": statistics.median(replays), "forgery_ns": statistics.median(forgeries)}
    print(json.dumps({**medians, "delivered": delivered}))


main()
