# SPDX-License-Identifier: Apache-2.0
"""The segments of a TCP sender as they arrive through a tunnel: their headers, checksums and data.

The receiver of a tunnel trusts the checksums inside, since messages are authenticated; so they are verified here.
Arguments: TRANSMIT RECEIVE BYTES, how many bytes are sent over IPv4 and over IPv6. Prints for each of both {"segments":
how many with data were captured, "wrong": the first few that are not as they must be, "missing": bytes that are in no
segment, "again": how many have only bytes that came before, "same": whether the application got what was sent,
"largest": the most bytes of data in one, "pushed": how many have the flag PSH, "finished": how many have FIN,
"datagrams": how many UDP counted at b, of which a packet of UDP segments that is taken whole is one}.
"""

import json
import os
import socket
import struct
import sys
import threading

import tunnel

PACKET_OUTGOING = 4
FIN, SYN, PSH = 0x01, 0x02, 0x08
FAMILIES = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
FIRST_BYTES = 20000  # sent alone, so that the congestion window has grown before the rest


def address(family, end):
    return tunnel.inner(end) if family == socket.AF_INET else f"fd00::{tunnel.ENDS.index(end) + 1}"


def add_ipv6():
    """Addresses of IPv6 at both ends of the tunnel."""
    for end in tunnel.ENDS:
        here, far = (address(socket.AF_INET6, which) for which in (end, tunnel.other(end)))
        tunnel.run(f"ip -n {end} addr add {here}/64 dev wg1 nodad")
        allowed = f"{tunnel.inner(tunnel.other(end))}/32,{far}/128"
        tunnel.run(f"ip netns exec {end} wg set wg1 peer {tunnel.peer_key(end)} allowed-ips {allowed}")


def checksum(data):
    """The Internet checksum, which is 0 over data that contains its own."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def parse(packet):
    """(what is wrong with it or "", sequence number, flags, data) of a TCP packet; None of any other packet."""
    if packet[0] >> 4 == 4:
        ip_bytes, protocol = (packet[0] & 15) * 4, packet[9]
        length, ends = struct.unpack("!H", packet[2:4])[0], packet[12:20]
        wrong = "" if not checksum(packet[:ip_bytes]) else "checksum of IPv4"
    else:
        ip_bytes, protocol = 40, packet[6]
        length, ends, wrong = 40 + struct.unpack("!H", packet[4:6])[0], packet[8:40], ""
    if protocol != socket.IPPROTO_TCP:
        return None
    if length != len(packet):
        wrong = f"{length} bytes by its header, and {len(packet)} captured"
    tcp = packet[ip_bytes:]
    sequence, offset, flags = struct.unpack("!I4xBB", tcp[4:14])
    if checksum(ends + struct.pack("!II", len(tcp), protocol) + tcp):
        wrong = "checksum of TCP"
    return wrong, sequence, flags, tcp[(offset >> 4) * 4 :]


def datagrams():
    """The number of datagrams that UDP has received in namespace b, over IPv4 and IPv6."""
    with tunnel.inside("b"), open("/proc/thread-self/net/snmp") as ipv4, open("/proc/thread-self/net/snmp6") as ipv6:
        names, values = (line.split() for line in ipv4 if line.startswith("Udp:"))
        (of_ipv6,) = (line.split()[1] for line in ipv6 if line.startswith("Udp6InDatagrams"))
    return int(values[names.index("InDatagrams")]) + int(of_ipv6)


def transfer(family, data):
    """Send data from a to b; returns what arrived there, and the packets that b's device delivered."""
    with tunnel.inside("b"):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(tunnel.ETH_P_ALL))
        raw.setsockopt(socket.SOL_SOCKET, tunnel.SO_RCVBUFFORCE, 64 * 2**20)
        raw.bind(("wg1", tunnel.ETH_P_ALL))
        listener = socket.create_server((address(family, "b"), 0), family=family)
    with tunnel.inside("a"):
        sender = socket.create_connection(listener.getsockname()[:2])
    receiver, _ = listener.accept()
    arrived = bytearray()

    def receive():
        while part := receiver.recv(1 << 20):
            arrived.extend(part)

    thread = threading.Thread(target=receive)
    thread.start()
    sender.sendall(data[:FIRST_BYTES])
    sender.sendall(data[FIRST_BYTES:])
    sender.close()
    thread.join()
    raw.settimeout(0.2)
    packets = []
    try:
        while True:
            packet, (_, _, kind, _, _) = raw.recvfrom(1 << 16)
            if kind != PACKET_OUTGOING:
                packets.append(packet)
    except TimeoutError:
        return bytes(arrived), packets


def examine(data, arrived, packets):
    parsed = [found for found in map(parse, packets) if found]
    first = next(sequence for _, sequence, flags, _ in parsed if flags & SYN) + 1
    wrong, seen = [problem for problem, *_ in parsed if problem], bytearray(len(data))
    with_data = [found for found in parsed if found[3]]
    again = 0
    for _, sequence, _, part in with_data:
        at = (sequence - first) % 2**32
        if data[at : at + len(part)] != part:
            wrong.append(f"other data at {at}")
        again += seen.count(0, at, at + len(part)) == 0
        seen[at : at + len(part)] = b"\1" * len(part)
    return {
        "segments": len(with_data),
        "wrong": wrong[:5],
        "missing": seen.count(0),
        "again": again,
        "same": arrived == data,
        "largest": max(len(part) for *_, part in with_data),
        "pushed": sum(bool(flags & PSH) for _, _, flags, _ in with_data),
        "finished": sum(bool(flags & FIN) for _, _, flags, _ in parsed),
    }


def main():
    transmit, receive, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    tunnel.set_up()
    tunnel.make_tunnel((transmit, "queued"), ("queued", receive))
    add_ipv6()
    tunnel.wait_for_handshake()
    tunnel.run("ip netns exec b ethtool -K wg1 gro off")
    data = os.urandom(size)
    found = {}
    for name, family in FAMILIES.items():
        before = datagrams()
        found[name] = examine(data, *transfer(family, data))
        found[name]["datagrams"] = datagrams() - before
    print(json.dumps(found))


main()
