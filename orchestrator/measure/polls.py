# SPDX-License-Identifier: Apache-2.0
"""Attribution of the polls that the kernel recorded to roles and devices. Pure."""

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
    """Return the content of polls.json: {"bin_s", "lost", "columns", "rows"}, a row per bin, CPU and polled device.

    ``measured``: the answers of the agents' ``measure``, by host; ``interfaces``: {role: {device: counters}} of the
    same window. ``empty`` counts the polls that delivered no packet. Devices of several roles on a host share their
    names, and the kernel reports only the addresses of their poll structures: the one that took more packets is
    attributed to the role whose device received more.

    ``shared``: {device: number of peers} of devices that tunnels share. Each of their peers has its own poll structure,
    and its own rows with ``DEVICE/N`` as the device. N is not a tunnel number: the kernel does not say whose poll it
    was, so the peers are numbered in the order of their packets.
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
    """Return {(poll, device): (role, device name in the row)}, matched by rank.

    A poll of a device that no role has, such as a tunnel of the host's own, has the role "".
    """
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
