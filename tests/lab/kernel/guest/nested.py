# SPDX-License-Identifier: Apache-2.0
"""Tunnels, each inside the one before: what is sent through the innermost must arrive.

Arguments: TRANSMIT RECEIVE DEPTH DATAGRAMS. Prints {"sent", "delivered", "out_of_order"}.
"""

import itertools
import json
import struct
import sys

import tunnel


def main():
    transmit, receive, depth, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    tunnel.set_up()
    for number in range(1, depth + 1):
        tunnel.make_tunnel((transmit, receive), (transmit, receive), number=number)
        if number > 1:
            tunnel.put_inside(number, number - 1)
        tunnel.wait_for_handshake(number)
    receiver = tunnel.datagrams("b", port=tunnel.PAYLOAD_PORT, number=depth)
    sender = tunnel.datagrams("a")
    for number in range(count):
        sender.sendto(struct.pack("!I", number) + bytes(600), (tunnel.inner("b", depth), tunnel.PAYLOAD_PORT))
    receiver.settimeout(2.0)
    seen = []
    try:
        while len(seen) < count:
            seen.append(struct.unpack("!I", receiver.recv(1024)[:4])[0])
    except TimeoutError:
        pass
    print(
        json.dumps(
            {
                "sent": count,
                "delivered": len(set(seen)),
                "out_of_order": sum(a > b for a, b in itertools.pairwise(seen)),
            }
        )
    )


main()
