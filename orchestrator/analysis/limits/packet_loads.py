# SPDX-License-Identifier: Apache-2.0
"""The CPU load of each role at the packet rate of each cell, and the places where packets were lost."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from orchestrator.analysis.dataset import Run
from orchestrator.analysis.frames import cpu_rows, ok_attempts
from orchestrator.analysis.limits.loads import (
    FRAME_BYTES,
    CellLoad,
    Packets,
    busy_share,
    groups_of,
    in_order,
    link_bps,
    overhead_of,
)
from orchestrator.analysis.limits.profile_shares import profile_shares
from orchestrator.analysis.packets import CLOSED_LOOP, GENERATOR, goals, highest_asked_pps, packet_cells
from orchestrator.spec import Cell
from orchestrator.spec.fields import LARGEST_PACKET

_IMIX_BYTES = (7 * 64 + 4 * 576 + LARGEST_PACKET) / 12  # for runs without counts of bytes
# A packet counted as lost by a link found no room at the role behind it.
_BEHIND = {"client": "gateway-a", "gateway-a": "gateway-b", "gateway-b": "server"}

Attempt = Mapping[str, Any]


def packet_loads(run: Run) -> list[CellLoad]:
    """Return the load of every cell of a run of packet rates, in the order of `orchestrator.analysis.cells`.

    CPU times are from the load just above the rate that was found, which lost too many packets. If no load lost too
    many, or the spec gave the rate, they are from the load at that rate. If a search has several goals, the first of
    `goals` counts.
    """
    goal = goals(run)[0]
    traffic, profiled = run.traffic, profile_shares(run)
    trials: dict[Cell, list[Attempt]] = {}
    for attempt in ok_attempts(run):
        if attempt["kind"] == "measure":
            trials.setdefault(Cell.of(dict(attempt["levels"])), []).append(attempt)
    found = []
    for row in packet_cells(run).to_dict("records"):
        key = Cell.of(row)
        if row["goal"] != goal or key not in trials or not row["median_pps"] > 0:
            continue
        cpus, offered = [], []
        for attempt in trials[key]:
            probes, sampled = _sampled(attempt, goal)
            rows = [{**cpu, "busy": float(busy_share(cpu))} for cpu in cpu_rows(run, {**attempt, "probes": probes})]
            if rows:
                cpus.append(rows)
                offered.append(sampled)
        if not cpus:
            continue
        shared = {cpu["role"] for rows in cpus for cpu in rows} == {""}
        packets = _packets(key, row, offered)
        bits = 8 * packets.bytes
        baseline = float(row["baseline_pps"])
        asked = highest_asked_pps(traffic, key)
        load = CellLoad(
            key,
            len(cpus),
            float(row["median_pps"]) * bits,
            groups_of(cpus, "host" if shared else "role"),
            shared,
            baseline * bits if baseline > 0 else None,
            asked * bits if asked else None,
            link_bps(traffic, key),
            (overhead_of(run, key.variant).outer_bytes(packets.bytes) + FRAME_BYTES) / packets.bytes,
            baseline_headroom=run.headroom,
            profile=profiled.get(key, {}),
            packets=packets,
        )
        if load.sampled:
            found.append(load)
    return in_order(run, found)


def _sampled(attempt: Attempt, goal: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return the probes of the load that shows the limit of a trial, and that load; each is empty if not stored."""
    probes, measurements = attempt.get("probes") or {}, attempt.get("measurements") or {}
    bounds = (probes.get("bounds") or {}).get(goal) or {}
    side = next((side for side in ("upper", "lower") if bounds.get(side)), None)
    loads: Sequence[Mapping[str, Any]] = measurements.get("loads") or ()
    if side is None:  # a rate was given, so that there is one load; or an old run does not say whose probes it has
        return probes, (loads[0] if len(loads) == 1 else {})
    bound_pps = measurements.get(f"{goal}_{side}_pps")
    near: Mapping[str, Any] = {}
    if bound_pps:
        near = min(loads, key=lambda load: abs(load["offered_pps"] - bound_pps), default={})
    return bounds[side], near


def _packets(key: Cell, row: Mapping[Any, Any], loads: Sequence[Mapping[str, Any]]) -> Packets:
    """Return the facts about a cell from its row of `packet_cells` and one load per trial."""
    counted = [load for load in loads if load and load["received"] > 0 and load["received_pps"] > 0]
    octets = sum(load.get("received_bytes") or 0 for load in counted)
    size = key.packet_size if isinstance(key.packet_size, int) and key.packet_size > 0 else _IMIX_BYTES
    bounded_by = str(row["bounded_by"])
    drops: dict[str, int] = {}
    for load in counted:
        for place, packets in (load.get("drops") or {}).items():
            drops[place] = drops.get(place, 0) + packets
    all_lost = sum(max(0, load["sent"] - load["received"]) for load in counted)
    places = {place: packets / all_lost for place, packets in drops.items()} if all_lost else {}
    roles: dict[str, float] = {}
    for place, share in places.items():
        role = _without_room(place)
        roles[role] = roles.get(role, 0.0) + share
    return Packets(
        bytes=octets / sum(load["received"] for load in counted) if octets > 0 else float(size),
        arrived_pps=median(load["received_pps"] for load in counted) if counted else float(row["median_pps"]),
        loss_ratio=median(load["loss_ratio"] for load in counted) if counted else 0.0,
        lost=dict(sorted(roles.items(), key=lambda item: -item[1])),
        places=dict(sorted(places.items(), key=lambda item: -item[1])),
        bounded_by=bounded_by,
        waits=bounded_by not in (CLOSED_LOOP, GENERATOR) and not _is_unlimited(loads),
    )


def _is_unlimited(loads: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the generator sent as fast as it could, without a rate."""
    return bool(loads) and all("rate_pps" in load and load["rate_pps"] is None for load in loads)


def _without_room(place: str) -> str:
    """Return the role that had no room for the packets of a counter, given as ROLE/COUNTER."""
    role, _, counter = place.partition("/")
    return _BEHIND.get(role, role) if counter.endswith(" link") else role
