# SPDX-License-Identifier: Apache-2.0
"""Rounds of computing per second of the machine's clock: of a process, and of a child that it forks after a while.

forks.py SECONDS: how long each computes. Prints {"parent", "child"}, in rounds per second.
"""

import json
import os
import sys
import time


def rate(seconds):
    began = now = time.monotonic()
    rounds = 0
    while now - began < seconds:
        for _ in range(2000):
            rounds += 1
        now = time.monotonic()
    return rounds / (now - began)


def main():
    seconds = float(sys.argv[1])
    parent = rate(seconds)
    told, tell = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(tell, b"%f" % rate(seconds / 4))
        os._exit(0)
    child = float(os.read(told, 100))
    os.waitpid(pid, 0)
    print(json.dumps({"parent": parent, "child": child}))


main()
