# SPDX-License-Identifier: Apache-2.0
"""Tunnels under traffic while peers, devices, links and settings come and go.

After every few changes each tunnel must carry a datagram again. Arguments: SECONDS SEED VARIANTS, the settings that
devices are made with, as TRANSMIT/RECEIVE, separated by commas. Prints how often each kind of change was made.
"""

import json
import random
import subprocess
import sys
import threading
import time

import tunnel

NUMBERS = (1, 2, 3)


class Soak:
    def __init__(self, seed, settings):
        self.rng = random.Random(seed)
        self.settings = settings
        self.keys = {}
        self.threaded = {}
        self.done = {}
        self.stop = threading.Event()
        self.carried = 0

    def tell(self, end, number):
        """Let one end know the other's key again."""
        tunnel.add_peer(end, self.keys[tunnel.other(end), number], number, self.threaded.get((end, number), False))

    def make(self, end, number):
        tunnel.choose(*self.rng.choice(self.settings))
        self.keys[end, number] = tunnel.make_device(end, number)

    def traffic(self, number):
        """TCP, both ways, again and again, whatever happens to the tunnel."""
        while not self.stop.is_set():
            for server, client in (("b", "a"), ("a", "b")):
                port = str(5200 + number)
                address = tunnel.inner(server, number)
                one = subprocess.Popen(
                    ["ip", "netns", "exec", server, "iperf3", "-s", "-1", "-p", port, "--idle-timeout", "10"],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                time.sleep(0.3)
                done = subprocess.run(
                    [
                        "ip",
                        "netns",
                        "exec",
                        client,
                        "timeout",
                        "-k",
                        "1",
                        "8",
                        "iperf3",
                        "-P",
                        "4",
                        "-t",
                        "4",
                        "-p",
                        port,
                        "-c",
                        address,
                        "--connect-timeout",
                        "2000",
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    check=False,
                )
                self.carried += done.returncode == 0
                one.kill()
                one.wait()

    # --- changes; each leaves the tunnels so that they can carry again ---

    def peer_goes_and_comes(self, end, number):
        tunnel.run(f"ip netns exec {end} wg set wg{number} peer {self.keys[tunnel.other(end), number]} remove")
        time.sleep(self.rng.random() * 0.2)
        self.tell(end, number)

    def device_is_made_again(self, end, number):
        tunnel.run(f"ip -n {end} link del wg{number}")
        self.threaded.pop((end, number), None)
        self.make(end, number)
        self.tell(end, number)
        far = tunnel.other(end)
        tunnel.run(f"ip -n {far} link del wg{number}")
        self.threaded.pop((far, number), None)
        self.make(far, number)
        self.tell(far, number)
        self.tell(end, number)

    def device_goes_down(self, end, number):
        tunnel.run(f"ip -n {end} link set wg{number} down")
        time.sleep(self.rng.random() * 0.3)
        tunnel.run(f"ip -n {end} link set wg{number} up")

    def polls_move(self, end, number):
        self.threaded[end, number] = not self.threaded.get((end, number), False)
        tunnel.set_threaded(end, self.threaded[end, number], number)

    def link_goes_down(self, end, number):
        tunnel.run(f"ip -n {end} link set veth0 down")
        time.sleep(self.rng.random() * 0.3)
        tunnel.run(f"ip -n {end} link set veth0 up")

    def namespace_is_counted(self, end, number):
        tunnel.run(f"ip netns exec {end} wg show all dump")
        tunnel.run(f"ip -n {end} -s link show wg{number}")

    def key_changes(self, end, number):
        key = tunnel.run("wg genkey").strip()
        tunnel.run(f"ip netns exec {end} wg set wg{number} private-key /dev/stdin", key + "\n")
        far = tunnel.other(end)
        tunnel.run(f"ip netns exec {far} wg set wg{number} peer {self.keys[end, number]} remove")
        self.keys[end, number] = tunnel.run(f"ip netns exec {end} wg show wg{number} public-key").strip()
        self.tell(far, number)

    def go(self, seconds):
        tunnel.set_up()
        for number in NUMBERS:
            for end in tunnel.ENDS:
                self.make(end, number)
            for end in tunnel.ENDS:
                self.tell(end, number)
            tunnel.wait_for_handshake(number, 30)
        senders = [threading.Thread(target=self.traffic, args=(number,)) for number in NUMBERS]
        for sender in senders:
            sender.start()
        changes = [
            self.peer_goes_and_comes,
            self.device_is_made_again,
            self.device_goes_down,
            self.polls_move,
            self.link_goes_down,
            self.namespace_is_counted,
            self.key_changes,
        ]
        deadline = time.monotonic() + seconds
        try:
            while time.monotonic() < deadline:
                for _ in range(6):
                    change = self.rng.choice(changes)
                    change(self.rng.choice(tunnel.ENDS), self.rng.choice(NUMBERS))
                    self.done[change.__name__] = self.done.get(change.__name__, 0) + 1
                    time.sleep(self.rng.random())
                for number in NUMBERS:
                    tunnel.wait_for_handshake(number, 60)
        finally:
            self.stop.set()
            for sender in senders:
                sender.join()
        for number in NUMBERS:
            for end in tunnel.ENDS:
                tunnel.run(f"ip -n {end} link del wg{number}")
        for end in tunnel.ENDS:
            tunnel.run("ip netns delete " + end)


def main():
    settings = [tuple(pair.split("/")) for pair in sys.argv[3].split(",")]
    soak = Soak(int(sys.argv[2]), settings)
    soak.go(float(sys.argv[1]))
    print(json.dumps({"changes": soak.done, "tcp_flows": soak.carried}))


main()
