# SPDX-License-Identifier: Apache-2.0
"""Echo requests, which the kernel at the other end answers: reachability and round-trip times.

icmp(7), RFC 792, RFC 4443. The times are measured in this process and include its system calls, which take microseconds
on real processors and about 55 us each on the lab's machines.
"""

import contextlib
import os
import select
import socket
import struct
import threading
import time

from orchestrator.agent.host import inside

ICMP_HEADER = 8
PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}  # request, reply
SOL_RAW, ICMP_FILTER, ECHO_REPLY = 255, 1, 0
PROBE_SIZE = 64  # bytes of a probe's ICMP message: an IP packet of 84, as with ping
LATE_S = 1.0  # how long to wait for the answers to the last probes


def echo_request(identity, number, size, family=socket.AF_INET):
    """Return an ICMP echo request of ``size`` bytes with the checksum of RFC 1071.

    Over IPv6 the kernel replaces the checksum.
    """
    data = struct.pack("!BBHHH", ECHO[family][0], 0, 0, identity, number & 0xFFFF) + bytes(size - ICMP_HEADER)
    even = data + bytes(size % 2)
    total = sum(struct.unpack("!%dH" % (len(even) // 2), even))
    total = (total & 0xFFFF) + (total >> 16)
    total = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return data[:2] + struct.pack("!H", total) + data[4:]


def echo_answer(packet, identity, family=socket.AF_INET):
    """Return (number, bytes of the message) if a packet of a raw socket answers one of our requests, else None."""
    header = (packet[0] & 15) * 4 if family == socket.AF_INET else 0  # raw IPv6 sockets omit it
    kind, _, _, who, number = struct.unpack_from("!BBHHH", packet, header)
    return (number, len(packet) - header) if (kind, who) == (ECHO[family][1], identity) else None


class Echoes:
    """Context manager that times round trips from a role to an address, at an even pace, in a thread.

    ``request``: an `EchoStream`.
    """

    def __init__(self, request):
        self.request = request
        self.identity = (os.getpid() + 1) & 0xFFFF  # not that of `reach`
        self.sent = 0
        self.rtts_s = []  # type: list[float]
        self.leaving = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def __enter__(self):
        with inside(self.request["role"]):
            self.socket = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.IPPROTO_ICMP)
        self.socket.setsockopt(SOL_RAW, ICMP_FILTER, struct.pack("=I", ~(1 << ECHO_REPLY) & 0xFFFFFFFF))
        self.socket.bind((self.request["source"], 0))
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.leaving.set()
        self.thread.join()
        self.socket.close()

    def run(self):
        """Send what is due and receive what comes.

        A request that is due while the thread waits for the CPU is sent late.
        """
        gap_s, count = 1 / self.request["pace_pps"], round(self.request["pace_pps"] * self.request["duration_s"])
        began = time.monotonic() + self.request.get("after_s", 0.0)
        waiting = {}  # type: dict[int, float]
        end = began + self.request["duration_s"] + LATE_S
        while True:
            now = time.monotonic()
            more = self.sent < count and not self.leaving.is_set()
            due = began + self.sent * gap_s if more else end
            if more and now >= due:
                message = echo_request(self.identity, self.sent, PROBE_SIZE)
                waiting[self.sent & 0xFFFF] = time.monotonic()
                self.sent += 1
                with contextlib.suppress(OSError):  # a full queue: this probe is lost
                    self.socket.sendto(message, (self.request["destination"], 0))
                continue
            if now >= end or not (more or waiting):
                return
            if select.select([self.socket], [], [], min(max(0.0, due - now), 0.2))[0]:
                self.take(waiting)

    def take(self, waiting):
        with contextlib.suppress(OSError):
            packet = self.socket.recv(2048)
            now = time.monotonic()
            answer = echo_answer(packet, self.identity)
            if answer is not None and answer[0] in waiting:
                self.rtts_s.append(now - waiting.pop(answer[0]))

    def result(self):
        """Return {"sent", "rtts_s"}: the round-trip times in seconds of the answers, in the order of their arrival."""
        return {"sent": self.sent, "rtts_s": [round(rtt, 7) for rtt in self.rtts_s]}
