# SPDX-License-Identifier: Apache-2.0
"""Where the queued work of a device runs while its mask of CPUs changes under traffic.

Arguments: RECEIVE THREADED. Prints, for each mask that was set, the CPUs on which each worker of WireGuard was seen,
and how many packets polls took from workers.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import tunnel

TRACING = Path("/sys/kernel/tracing")
EVENT = TRACING / "events/workqueue/workqueue_execute_start/enable"
LINE = re.compile(r"\[(\d+)\].*function (wg_packet_\w+_worker)")


def confine(mask):
    for end in tunnel.ENDS:
        script = f"echo {mask} >/sys/class/net/wg1/wireguard/cpus && cat /sys/class/net/wg1/wireguard/cpus"
        subprocess.run(["ip", "netns", "exec", end, "sh", "-c", script], check=True, stdout=subprocess.DEVNULL)


def seen(seconds):
    """{worker: CPUs} of the data path, over some time."""
    time.sleep(0.2)  # work that was queued under the mask before
    (TRACING / "trace").write_text("")
    EVENT.write_text("1")
    time.sleep(seconds)
    EVENT.write_text("0")
    found = {}
    for line in (TRACING / "trace").read_text().splitlines()[-20000:]:
        if (match := LINE.search(line)) and match[2] != "wg_packet_handshake_receive_worker":
            found.setdefault(match[2], set()).add(int(match[1]))
    return {name: sorted(cpus) for name, cpus in sorted(found.items())}


def main():
    tunnel.set_up()
    tunnel.make_tunnel(("queued", sys.argv[1]), ("queued", sys.argv[1]), sys.argv[2] == "1")
    tunnel.wait_for_handshake()
    server = subprocess.Popen(
        ["ip", "netns", "exec", "b", "iperf3", "-s", "-1", "--idle-timeout", "20"], stdout=subprocess.DEVNULL
    )
    time.sleep(0.5)
    client = subprocess.Popen(
        ["ip", "netns", "exec", "a", "iperf3", "-t", "60", "-c", tunnel.inner("b")], stdout=subprocess.DEVNULL
    )
    time.sleep(1.0)
    found = {}
    for mask in ("0-1", "1", "0", "0-1"):
        confine(mask)
        found.setdefault(mask, []).append(seen(0.7))
    running = client.poll() is None
    for process in (client, server):
        process.kill()
        process.wait()
    stolen = sum(int(tunnel.run(f"ip netns exec {end} cat /sys/class/net/wg1/wireguard/stolen")) for end in tunnel.ENDS)
    refused = 0
    for mask in ("", "77", "nothing"):
        try:
            confine(mask)
        except subprocess.CalledProcessError:
            refused += 1
    print(json.dumps({"seen": found, "running": running, "refused": refused, "stolen": stolen}))


main()
