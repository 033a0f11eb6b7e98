# SPDX-License-Identifier: Apache-2.0
"""Traffic between two network namespaces over their link, with a process on each CPU.

traffic.py SECONDS: how long it lasts. Prints {"cpus", "bytes": [that each pair carried]}.
"""

import json
import os
import subprocess
import sys
import time

import tunnel

SERVER = """
import socket
with socket.create_server(("ADDRESS", PORT)) as listener:
    peer, _ = listener.accept()
    count = 0
    while data := peer.recv(1 << 18):
        count += len(data)
    print(count)
"""
CLIENT = """
import socket, time
with socket.create_connection(("ADDRESS", PORT)) as peer:
    data, end = bytes(1 << 18), time.monotonic() + SECONDS
    while time.monotonic() < end:
        peer.sendall(data)
"""


def start(namespace, cpu, program, **values):
    for name, value in {"ADDRESS": tunnel.outer("b"), **values}.items():
        program = program.replace(name, str(value))
    command = ["ip", "netns", "exec", namespace, "taskset", "-c", str(cpu), "python3", "-S", "-c", program]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def main():
    seconds = float(sys.argv[1])
    cpus = sorted(os.sched_getaffinity(0))
    tunnel.set_up()
    pairs = [(5000 + number, cpus[number], cpus[-1 - number]) for number in range(max(1, len(cpus) // 2))]
    servers = [start("b", cpu, SERVER, PORT=port) for port, _, cpu in pairs]
    while tunnel.run("ip netns exec b ss -Hltn").count("LISTEN") < len(pairs):
        time.sleep(0.05)
    clients = [start("a", cpu, CLIENT, PORT=port, SECONDS=seconds) for port, cpu, _ in pairs]
    failed = [client.wait() for client in clients]
    counts = [int(server.communicate()[0]) for server in servers]
    for end in tunnel.ENDS:
        tunnel.run("ip netns delete " + end)
    print(json.dumps({"cpus": len(cpus), "bytes": counts if not any(failed) else []}))


main()
