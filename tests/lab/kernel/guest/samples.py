# SPDX-License-Identifier: Apache-2.0
"""CPU 0 reads random numbers and CPU 1 computes in user space while both are sampled; prints what the samples say."""

import bisect
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

FILE = "/proc/cpu_samples"
PERIOD_NS = 1009000


def told(text):
    """Whether the kernel takes what is written to it."""
    try:
        descriptor = os.open(FILE, os.O_WRONLY)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)
    except OSError:
        return False
    return True


def busy():
    """{CPU: seconds for which it did not idle}, by /proc/stat."""
    found = {}
    for line in Path("/proc/stat").read_text().splitlines():
        fields = line.split()
        if fields[0].startswith("cpu") and fields[0] != "cpu":
            ticks = [int(value) for value in fields[1:9]]
            found[fields[0][3:]] = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return found


def main():
    seconds, words = float(sys.argv[1]), int(sys.argv[2])
    refused = [text for text in ("1 100000", "1009000 1", "1009000", "x", "-1 100000") if not told(text)]
    assert told(f"{PERIOD_NS} {words}")
    assert not told(f"{PERIOD_NS} {words}"), "it was on"
    before, began = busy(), time.monotonic()
    commands = [["dd", "if=/dev/urandom", "of=/dev/null", "bs=64k"], [sys.executable, "-c", "while True: pass"]]
    running = [
        subprocess.Popen(["taskset", "-c", str(cpu), *command], stderr=subprocess.DEVNULL)
        for cpu, command in enumerate(commands)
    ]
    time.sleep(seconds)
    after, passed = busy(), time.monotonic() - began
    assert told("0")
    for process in running:
        process.kill()
    symbols = sorted(
        (int(a, 16), name)
        for a, kind, name, *_ in map(str.split, Path("/proc/kallsyms").read_text().splitlines())
        if kind in "tT"
    )
    starts = [start for start, _ in symbols]
    sampled, user, lost, chains = Counter(), Counter(), Counter(), Counter()
    for line in Path(FILE).read_text(errors="replace").splitlines():
        cpu, ns, place, task = line.split(" ", 3)
        if cpu == "lost":
            lost[ns] = int(task)
            continue
        sampled[cpu] += int(ns)
        if place == "user":
            user[cpu] += int(ns)
            continue
        addresses = [int(word, 16) - (depth > 0) for depth, word in enumerate(place.split(","))]
        names = [symbols[bisect.bisect_right(starts, address) - 1][1] for address in addresses]
        chains[task, " ".join(names)] += int(ns)
    print(
        json.dumps(
            {
                "refused": refused,
                "seconds": passed,
                "busy_s": {cpu: after[cpu] - before[cpu] for cpu in after},
                "sampled_s": {cpu: sampled[cpu] / 1e9 for cpu in after},
                "user_s": {cpu: user[cpu] / 1e9 for cpu in after},
                "lost_s": {cpu: lost[cpu] / 1e9 for cpu in after},
                "chains": [[task, names.split(), ns / 1e9] for (task, names), ns in chains.most_common(200)],
            }
        )
    )


main()
