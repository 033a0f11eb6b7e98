# SPDX-License-Identifier: Apache-2.0
"""One numbered flow of datagrams from one CPU through a tunnel, beside TCP that keeps it busy: lost, out of order,
twice.

Arguments: TRANSMIT RECEIVE TRANSMIT RECEIVE THREADED SECONDS, the settings of each end. Prints the counts, and how much
the TCP flow carried in each direction.
"""

import itertools
import json
import os
import struct
import subprocess
import sys
import threading
import time

import tunnel

INTERVAL_S = 0.002


def tcp(server, client, port, seconds):
    """A TCP flow between the ends, as two processes."""
    serve = ["ip", "netns", "exec", server, "iperf3", "-s", "-1", "-J", "-p", str(port)]
    process = subprocess.Popen(serve, stdout=subprocess.PIPE)
    while "LISTEN" not in tunnel.run(f"ip netns exec {server} ss -Htln sport = :{port}"):
        time.sleep(0.02)
    send = ["ip", "netns", "exec", client, "iperf3", "-J", "-p", str(port), "-t", str(seconds), "-c"]
    sender = subprocess.Popen([*send, tunnel.inner(server)], stdout=subprocess.DEVNULL)
    return process, sender


def main():
    settings = sys.argv[1:5]
    threaded, seconds = sys.argv[5] == "1", int(sys.argv[6])
    tunnel.set_up()
    tunnel.make_tunnel(tuple(settings[:2]), tuple(settings[2:]), threaded)
    tunnel.wait_for_handshake()
    receiver = tunnel.datagrams("b", port=tunnel.PAYLOAD_PORT)
    flows = [tcp("b", "a", 5201, seconds), tcp("a", "b", 5202, seconds)]
    sender = tunnel.datagrams("a")
    numbers = []

    def receive():
        receiver.settimeout(1.0)
        try:
            while True:
                numbers.append(struct.unpack("!I", receiver.recv(64)[:4])[0])
        except TimeoutError:
            pass

    reader = threading.Thread(target=receive)
    reader.start()
    # Inline, a sender that moves to another CPU can overtake a packet that is still on its way on the CPU before.
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        sender.sendto(struct.pack("!I", sent), (tunnel.inner("b"), tunnel.PAYLOAD_PORT))
        sent += 1
        time.sleep(INTERVAL_S)
    reader.join()
    carried = []
    for server, client in flows:
        report = json.loads(server.communicate(timeout=30)[0])
        client.wait(30)
        carried.append(report["end"]["sum_received"]["bits_per_second"])
    late = sum(b < a for a, b in itertools.pairwise(numbers))
    print(
        json.dumps(
            {
                "sent": sent,
                "lost": sent - len(set(numbers)),
                "out_of_order": late,
                "twice": len(numbers) - len(set(numbers)),
                "tcp_bps": carried,
                "cpus": os.cpu_count(),
            }
        )
    )


main()
