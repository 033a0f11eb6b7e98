# SPDX-License-Identifier: Apache-2.0
"""From the polls that the kernel recorded to rows that say whose they were. Pure."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from orchestrator.measure.layout import Placement

COLUMNS = ("host", "role", "device", "bin", "cpu", "polls", "packets", "empty")


def of_hosts(
    measured: Mapping[str, Mapping[str, Any]],
    interfaces: Mapping[str, Mapping[str, Mapping[str, int]]],
    where: Placement,
    shared: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """The content of polls.json: {"bin_s", "lost", "columns", "rows"}, a row for each bin, CPU and device with polls.

    ``empty`` counts the polls that delivered no packet. ``shared``: {device: how many peers it has}, of devices that
    tunnels share; each of their peers has a poll of its own, and rows of its own with ``DEVICE/N`` as the device. N is
    no tunnel's number: the kernel does not say whose poll it was, so the peers count in the order of their packets.


    ``measured``: what the agents' ``measure`` answered, by host; ``interfaces``: {role: {device: counters}} of the same
    window. Devices of several roles on a host share their names, and the kernel tells only the addresses of their
    polls: the one that took more packets belongs to the role whose device received more.
    """
    rows: list[list[Any]] = []
    lost, bin_s = 0, 0.0
    for host, answer in measured.items():
        trace = answer["polls"]
        lost, bin_s = lost + trace["lost"], trace["bin_s"]
        here = {role: devices for role, devices in interfaces.items() if where.host_of(role) == host}
        owners = _owners(trace["rows"], here, shared or {})
        rows += [
            [host, *owners[poll, device], at, cpu, polls, packets, empty]
            for at, cpu, poll, device, polls, packets, empty in trace["rows"]
        ]
    return {"bin_s": bin_s, "lost": lost, "columns": list(COLUMNS), "rows": rows}


def _owners(
    rows: list[list[Any]], interfaces: Mapping[str, Mapping[str, Mapping[str, int]]], shared: Mapping[str, int]
) -> dict[tuple[int, str], tuple[str, str]]:
    """{(poll, device): (role, what the row calls the device)}, by rank; a poll of a device that no role has, such as a
    tunnel of the host's own, has the role ""."""
    taken: Counter[tuple[int, str]] = Counter()
    for _, _, poll, device, _, packets, _ in rows:
        taken[poll, device] += packets
    owners = {one: ("", one[1]) for one in taken}
    for device in {device for _, device in taken}:
        polls = sorted((p for p in taken if p[1] == device), key=lambda p: -taken[p])
        roles = sorted(
            (role for role, devices in interfaces.items() if device in devices),
            key=lambda role: -interfaces[role][device].get("rx_packets", 0),
        )
        names = [device] * len(roles)
        if device in shared:
            roles = roles[:1] * shared[device]
            names = [f"{device}/{number}" for number in range(1, len(roles) + 1)]
        owners.update(zip(polls, zip(roles, names, strict=True), strict=False))
    return owners
