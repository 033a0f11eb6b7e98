# SPDX-License-Identifier: Apache-2.0
"""A stream of malformed, truncated, altered and replayed data messages: none may be delivered or counted as received.

Real messages of a live tunnel are captured, then sent again: as they are (a replay), cut short, with bits changed, with
other indices and counters, and random bytes. Arguments: TRANSMIT RECEIVE THREADED MESSAGES SEED. Prints
{"sent", "delivered", "counted", "alive"}: delivered and counted must be 0.
"""

import json
import random
import socket
import struct
import sys
import time

import tunnel


def samples(count):
    """Data messages of the tunnel, as they were on the wire, all of them delivered."""
    raw = tunnel.frames("b")
    raw.settimeout(5.0)
    sender = tunnel.datagrams("a")
    found = []
    while len(found) < count:
        sender.sendto(bytes(random.randrange(1, 1300)), (tunnel.inner("b"), 9))
        message = tunnel.data_message(raw.recv(4096))
        if message:
            found.append(message)
    raw.close()
    return found


def altered(message, rng):
    """One of the ways in which a message can be wrong."""
    data = bytearray(message)
    way = rng.randrange(7)
    if way == 0:
        return bytes(data)  # a replay
    if way == 1:
        return bytes(data[: rng.randrange(len(data))])
    if way == 2:
        data[rng.randrange(16, len(data))] ^= 1 << rng.randrange(8)
    elif way == 3:
        data[8:16] = struct.pack("<Q", rng.choice([0, 1, 2**63, 2**64 - 1, rng.randrange(2**64), rng.randrange(10000)]))
    elif way == 4:
        data[4:8] = rng.randbytes(4)
    elif way == 5:
        data[0:4] = struct.pack("<I", rng.choice([0, 1, 2, 3, 4, 5, 255, rng.randrange(2**32)]))
    else:
        return rng.randbytes(rng.choice([0, 1, 15, 16, 31, 32, 33, 64, 148, 1400]))
    return bytes(data)


def main():
    transmit, receive, threaded = sys.argv[1], sys.argv[2], sys.argv[3] == "1"
    count, seed = int(sys.argv[4]), int(sys.argv[5])
    rng = random.Random(seed)
    tunnel.set_up()
    tunnel.make_tunnel((transmit, receive), (transmit, receive), threaded)
    tunnel.wait_for_handshake()
    real = samples(200)
    with tunnel.inside("b"):
        receiver = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
        receiver.bind((tunnel.inner("b"), 0))
    time.sleep(0.5)
    receiver.setblocking(False)
    before = tunnel.counters("b", "wg1")
    sender = tunnel.datagrams("a")
    target = (tunnel.outer("b"), tunnel.PORT + 1)
    for _ in range(count):
        sender.sendto(altered(rng.choice(real), rng), target)
    time.sleep(1.0)
    after = tunnel.counters("b", "wg1")
    delivered = 0
    try:
        while receiver.recv(2048):
            delivered += 1
    except BlockingIOError:
        pass
    # Messages that look like handshakes may bring a real one about; its packets have no payload.
    received = after["rx_packets"] - before["rx_packets"]
    tunnel.wait_for_handshake()
    print(json.dumps({"sent": count, "delivered": delivered, "counted": received, "alive": True}))


main()
