# SPDX-License-Identifier: Apache-2.0
"""Traffic between two network namespaces through a pair of virtual devices, with a process on each CPU.

traffic.py SECONDS: how long it lasts. Prints {"cpus", "bytes": [that each pair carried]}.
"""

import json
import os
import subprocess
import sys
import time

SERVER = """
import socket
with socket.create_server(("10.0.0.2", PORT)) as listener:
    peer, _ = listener.accept()
    count = 0
    while data := peer.recv(1 << 18):
        count += len(data)
    print(count)
"""
CLIENT = """
import socket, time
with socket.create_connection(("10.0.0.2", PORT)) as peer:
    data, end = bytes(1 << 18), time.monotonic() + SECONDS
    while time.monotonic() < end:
        peer.sendall(data)
"""


def start(namespace, cpu, program, **values):
    for name, value in values.items():
        program = program.replace(name, str(value))
    command = ["ip", "netns", "exec", namespace, "taskset", "-c", str(cpu), "python3", "-S", "-c", program]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


def main():
    seconds = float(sys.argv[1])
    cpus = sorted(os.sched_getaffinity(0))
    setup = """netns add one
netns add two
link add one netns one type veth peer name two netns two
-n one address add 10.0.0.1/24 dev one
-n two address add 10.0.0.2/24 dev two
-n one link set one up
-n two link set two up"""
    for line in setup.splitlines():
        subprocess.run(["ip", *line.split()], check=True)
    pairs = [(5000 + number, cpus[number], cpus[-1 - number]) for number in range(max(1, len(cpus) // 2))]
    servers = [start("two", cpu, SERVER, PORT=port) for port, _, cpu in pairs]
    listening = ["ip", "netns", "exec", "two", "ss", "-Hltn"]
    while subprocess.run(listening, stdout=subprocess.PIPE, check=True).stdout.count(b"LISTEN") < len(pairs):
        time.sleep(0.05)
    clients = [start("one", cpu, CLIENT, PORT=port, SECONDS=seconds) for port, cpu, _ in pairs]
    failed = [client.wait() for client in clients]
    counts = [int(server.communicate()[0]) for server in servers]
    for name in ("one", "two"):
        subprocess.run(["ip", "netns", "delete", name], check=True)
    print(json.dumps({"cpus": len(cpus), "bytes": counts if not any(failed) else []}))


main()
