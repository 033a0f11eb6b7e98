# SPDX-License-Identifier: Apache-2.0
"""The part of namespaces.py that runs in new namespaces: reads cases from standard input and prints each result as
JSON.

It needs only Python and the agent's files, so that it can run on any machine.
"""

import ctypes
import json
import os
import socket
import subprocess
import sys
import traceback
from collections.abc import Callable, Mapping
from typing import Any

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000
Step = str | Mapping[str, Any]


def _in_a_child(work: Callable[[], Any]) -> Any:
    """Return the result of a function in a child of this process."""
    reading, writing = os.pipe()
    if not os.fork():
        status = 1
        try:
            os.write(writing, json.dumps(work()).encode())
            status = 0
        except SystemExit as error:
            print(error, file=sys.stderr, flush=True)
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    if os.wait()[1]:
        raise SystemExit("A step failed.")
    return json.loads(text)


def _shell(script: str) -> "subprocess.CompletedProcess[str]":
    arguments = ["sh", "-ec", script]
    return subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _become_a_host() -> None:
    """Enter new namespaces. A sysfs shows the network namespace in which it was mounted; /run is the host's own."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS | _CLONE_NEWNET):
        raise SystemExit(f"unshare: {os.strerror(ctypes.get_errno())}")
    begun = _shell("mount -t tmpfs none /run; mount -t sysfs none /sys; ip link set lo up; mkdir /run/orch")
    if begun.returncode:
        raise SystemExit(f"unshare: {begun.stderr}")


def _carry_out(case: Mapping[str, Any]) -> list[Any]:
    _become_a_host()
    os.environ["SSH_CONNECTION"] = case["connection"]
    os.dup2(os.pipe()[0], 0)  # a controller that is there and says nothing
    kept: list[socket.socket] = []
    return [_one_step(step, kept) for step in case["steps"]]


def _has(kind: str) -> bool:
    """Return whether this kernel has a kind of interface, or of queueing discipline (qdisc ...)."""
    _become_a_host()
    if kind.startswith("qdisc "):
        return not _shell(f"ip link add v0 type veth peer name v1; tc qdisc add dev v0 root {kind[6:]}").returncode
    if kind == "tun":
        return not _shell("ip tuntap add dev t0 mode tun").returncode
    more = {"vlan": "id 1", "macvlan": "mode bridge", "vrf": "table 9", "vxlan": "id 5 dstport 4789"}
    more |= {"geneve": "id 5 remote 192.0.2.1"} | dict.fromkeys(("gre", "ipip", "sit"), "remote 192.0.2.1")
    under = "link v0" if kind in ("vlan", "macvlan", "ipvlan") else ""
    return not _shell(
        f"ip link add v0 type veth peer name v1; ip link add {under} t0 type {kind} {more.get(kind, '')}"
    ).returncode


def _one_step(step: Step, kept: list[socket.socket]) -> Any:
    from orchestrator.agent.agent import answer
    from orchestrator.agent.way import nic_troubles

    if isinstance(step, str):
        done = _shell(step)
        if done.returncode:
            raise SystemExit(f"{step}: {done.stderr}")
        return done.stdout
    if step["op"] == "log in":  # stands for sshd: an ancestor of the agent with a connection
        kept.append(socket.create_connection((step["address"], 22), 5))
        return None
    work = nic_troubles if step["op"] == "way" else lambda: answer(step)
    return _in_a_child(lambda: [connection.close() for connection in kept] and work()) if kept else work()


if __name__ == "__main__":
    _cases = json.load(sys.stdin)
    _needed = {kind for case in _cases.values() for kind in case["needs"]}
    _there = {kind for kind in _needed if _in_a_child(lambda kind=kind: _has(kind))}
    _possible = {name: case for name, case in _cases.items() if _there.issuperset(case["needs"])}
    print(json.dumps({name: _in_a_child(lambda case=case: _carry_out(case)) for name, case in _possible.items()}))
