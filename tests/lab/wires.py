# SPDX-License-Identifier: Apache-2.0
"""Cables between machines of QEMU: taps in a network namespace of their own, joined two by two by bridges.

A tap has as many queues as its machine's interface. QEMU stays where this process is, and gets the descriptors of the
queues. `socket` networks of QEMU's own would do without a namespace, and have one queue.
"""

import contextlib
import fcntl
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator

_TUNSETIFF = 0x400454CA
_TAP, _MULTI_QUEUE, _NO_PI, _VNET_HDR = 0x0002, 0x0100, 0x1000, 0x4000
_ENTER = ["unshare", "--user", "--map-root-user", "--net"]
Cable = tuple[list[int], list[int]]


@contextlib.contextmanager
def cables(count: int, queues: int) -> Iterator[list[Cable]]:
    """Cables: of each, the descriptors of the queues at both ends. They are gone with the block, or this process."""
    here, there = socket.socketpair()
    command = [*_ENTER, sys.executable, __file__, str(there.fileno()), str(count), str(queues)]
    with here, subprocess.Popen(command, pass_fds=[there.fileno()], stdin=subprocess.DEVNULL) as process:
        there.close()
        ends: list[list[int]] = []
        try:
            while len(ends) < 2 * count:
                _, fds, _, _ = socket.recv_fds(here, 1, queues)
                assert fds, "no cables: the process that makes them has ended"
                ends.append(list(fds))
            yield list(zip(ends[::2], ends[1::2], strict=True))
        finally:
            for fd in (fd for end in ends for fd in end):
                os.close(fd)
            here.shutdown(socket.SHUT_RDWR)  # its process waits for that
            process.wait(10)


def _queue(tap: str, several: bool) -> int:
    """The descriptor of a further queue of a tap, which is made with its first one. Linux: networking/tuntap.rst"""
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    flags = _TAP | _NO_PI | _VNET_HDR | (_MULTI_QUEUE if several else 0)
    fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", tap.encode(), flags))
    return fd


def _make(connection: socket.socket, count: int, queues: int) -> None:
    """Make cables in this namespace, send their descriptors, and wait until the other side has gone."""
    for number in range(count):
        ends = [f"tap{number}{end}" for end in "ab"]
        fds = [[_queue(end, queues > 1) for _ in range(queues)] for end in ends]
        lines = [f"link add cable{number} type bridge"]
        lines += [f"link set {end} master cable{number} up" for end in ends] + [f"link set cable{number} up"]
        subprocess.run(["ip", "-batch", "-"], input="\n".join(lines), text=True, check=True)
        for end in fds:
            socket.send_fds(connection, [b"."], end)
    connection.recv(1)


if __name__ == "__main__":
    _descriptor, _count, _queues = map(int, sys.argv[1:])
    _make(socket.socket(fileno=_descriptor), _count, _queues)
