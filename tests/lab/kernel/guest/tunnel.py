# SPDX-License-Identifier: Apache-2.0
"""Runs in the lab machine: two namespaces, a and b, joined by veth, and tunnels between them."""

import base64
import contextlib
import ctypes
import os
import socket
import subprocess
import time

CLONE_NEWNET = 0x40000000
LIBC = ctypes.CDLL(None, use_errno=True)
PORT = 51820
PAYLOAD_PORT = 7000
SO_RCVBUFFORCE = 33
UDP_SEGMENT = 103
ETH_P_IP, ETH_P_ALL = 0x0800, 3
ENDS = ("a", "b")


def run(command, text=None):
    done = subprocess.run(command.split(), input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@contextlib.contextmanager
def inside(end):
    """Be in a namespace; sockets that are made here stay in it."""
    with open("/proc/thread-self/ns/net") as before, open("/run/netns/" + end) as target:
        if LIBC.setns(target.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            LIBC.setns(before.fileno(), CLONE_NEWNET)


def other(end):
    return ENDS[1 - ENDS.index(end)]


def outer(end):
    return "198.18.0.%s" % (ENDS.index(end) + 1)


def inner(end, number=1):
    return f"10.{number}.0.{ENDS.index(end) + 1}"


def datagrams(end, *, port=None, number=1, segment=None):
    """A socket for datagrams in an end's namespace; with a port, one that receives there, with much room.

    ``number``: the tunnel that it receives from. ``segment``: the length in bytes of the datagrams that the kernel
    makes of what is sent at once (UDP GSO).
    """
    with inside(end):
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    if port is not None:
        made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 * 2**20)
        made.bind((inner(end, number), port))
    if segment is not None:
        made.setsockopt(socket.IPPROTO_UDP, UDP_SEGMENT, segment)
    return made


@contextlib.contextmanager
def senders(cpus, segment, segments, number=1):
    """A process on each of these CPUs that sends datagrams through a tunnel from end a, as fast as it goes.

    ``segment``: the length in bytes of each; ``segments``: how many are handed to the kernel at once. Entered once they
    have had time to begin.
    """
    children = []
    try:
        for cpu in cpus:
            child = os.fork()
            if child == 0:
                os.sched_setaffinity(0, {cpu})
                sender = datagrams("a", segment=segment)
                packets, target = bytes(segment * segments), (inner("b", number), PAYLOAD_PORT)
                while True:
                    sender.sendto(packets, target)
            children.append(child)
        time.sleep(0.2)
        yield
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)


def frames(end, protocol=ETH_P_IP):
    """A socket that receives every IPv4 frame that arrives on an end's veth.

    ``protocol``: ETH_P_ALL for every frame that leaves it as well, as it was when the device got it.
    """
    with inside(end):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(protocol))
        raw.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 * 2**20)
        raw.bind(("veth0", protocol))
    return raw


def data_message(frame):
    """WireGuard's data message in a frame, or None for any other frame, a keepalive among them."""
    is_data = frame[23] == socket.IPPROTO_UDP and frame[42:43] == b"\x04" and len(frame) > 42 + 32
    return frame[42:] if is_data else None


def set_up():
    """The namespaces and the link, from scratch."""
    for end in ENDS:
        subprocess.run(["ip", "netns", "delete", end], capture_output=True, check=False)
    for end in ENDS:
        run("ip netns add " + end)
        run(f"ip -n {end} link set lo up")
    run("ip link add veth0 netns a type veth peer name veth0 netns b")
    for end in ENDS:
        run(f"ip -n {end} addr add {outer(end)}/24 dev veth0")
        run(f"ip -n {end} link set veth0 up")


def choose(transmit, receive):
    """What devices that are made from now on do; nothing to choose for upstream's module."""
    for name, value in (("transmit", transmit), ("receive", receive)):
        path = "/sys/module/wireguard/parameters/" + name
        if os.path.exists(path):
            with open(path, "w") as file:
                file.write(value)


def make_device(end, number=1):
    """A device with a fresh key, up, with its address; returns its public key."""
    private = base64.b64encode(os.urandom(32)).decode()
    name = f"wg{number}"
    run(f"ip -n {end} link add {name} type wireguard")
    run(f"ip -n {end} addr add {inner(end, number)}/24 dev {name}")
    config = f"[Interface]\nPrivateKey = {private}\nListenPort = {PORT + number}\n"
    run(f"ip netns exec {end} wg setconf {name} /dev/stdin", config)
    run(f"ip -n {end} link set {name} up")
    return run(f"ip netns exec {end} wg show {name} public-key").strip()


def add_peer(end, key, number=1, threaded=False):
    """Let a device know its peer at the other end."""
    far = other(end)
    allowed = f"allowed-ips {inner(far, number)}/32"
    run(f"ip netns exec {end} wg set wg{number} peer {key} endpoint {outer(far)}:{PORT + number} {allowed}")
    set_threaded(end, threaded, number)


def set_threaded(end, threaded, number=1):
    """Where the polls of a device run; `ip netns exec` shows the namespace's own sysfs."""
    script = f"echo {int(threaded)} >/sys/class/net/wg{number}/threaded"
    subprocess.run(["ip", "netns", "exec", end, "sh", "-c", script], check=True)


def make_tunnel(settings_a, settings_b, threaded=False, number=1):
    """A tunnel whose ends may differ; settings: (transmit, receive)."""
    choose(*settings_a)
    key_a = make_device("a", number)
    choose(*settings_b)
    key_b = make_device("b", number)
    add_peer("a", key_b, number, threaded)
    add_peer("b", key_a, number, threaded)


def peer_key(end, number=1):
    """The public key of the peer that a device knows."""
    return run(f"ip netns exec {end} wg show wg{number} peers").strip()


def put_inside(number, outside):
    """Let a tunnel's packets go through another tunnel."""
    for end in ENDS:
        key = peer_key(end, number)
        far = f"{inner(other(end), outside)}:{PORT + number}"
        run(f"ip netns exec {end} wg set wg{number} peer {key} endpoint {far}")


def wait_for_handshake(number=1, patience_s=10.0):
    """Until a datagram from a has come through the tunnel to b."""
    with inside("b"):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((inner("b", number), 9000))
    receiver.settimeout(0.2)
    with inside("a"):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deadline = time.monotonic() + patience_s
    try:
        while time.monotonic() < deadline:
            sender.sendto(b"hello", (inner("b", number), 9000))
            with contextlib.suppress(TimeoutError):
                receiver.recv(16)
                return
    finally:
        sender.close()
        receiver.close()
    raise RuntimeError(f"nothing came through tunnel {number} within {patience_s} s")


def counters(end, name):
    """{counter: value} of a device."""
    with inside(end), open("/proc/thread-self/net/dev") as file:
        for line in file:
            label, _, rest = line.partition(":")
            if label.strip() == name:
                values = [int(value) for value in rest.split()]
                return {
                    "rx_packets": values[1],
                    "rx_errors": values[2],
                    "rx_drops": values[3],
                    "tx_packets": values[9],
                }
    raise RuntimeError("no device " + name)
