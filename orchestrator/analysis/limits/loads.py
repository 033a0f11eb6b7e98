# SPDX-License-Identifier: Apache-2.0
"""The CPU load of each role while a cell was measured, with other facts that identify the limit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Protocol, TypeVar

import numpy as np

from orchestrator.analysis.baselines import baseline_of, baselines_of
from orchestrator.analysis.dataset import Run
from orchestrator.analysis.limits.profile_shares import ProfileShares, profile_shares
from orchestrator.spec import Cell
from orchestrator.spec.fields import DEFAULT_MTU, MAX
from orchestrator.spec.links import RATE
from orchestrator.spec.overhead import WIREGUARD_OVERHEAD, Overhead


@dataclass(frozen=True)
class Group:
    """The CPUs of one role, or of a host that several roles share.

    ``busy``: the share (0 to 1) of the measured window in which each CPU was not idle, the busiest first; ``softirq``:
    the share that each of them spent in softirqs, in the same order. Both are medians over trials, by rank and not by
    CPU number: work that moves between CPUs from trial to trial is on the busiest CPU in each of them.
    """

    name: str
    busy: tuple[float, ...]
    softirq: tuple[float, ...]

    @property
    def total(self) -> float:
        """Return the sum of all shares: the number of busy CPUs."""
        return sum(self.busy)

    @property
    def mean(self) -> float:
        """Return the mean share for which a CPU was busy."""
        return self.total / len(self.busy)

    @property
    def softirqs(self) -> float:
        """Return the time in softirqs as a number of CPUs; the rest of ``total`` is processes and kernel threads."""
        return min(sum(self.softirq), self.total)


@dataclass(frozen=True)
class Packets:
    """The facts about the packets sent while the CPUs of a cell were sampled.

    They describe the lowest load that lost too much, if a search found one, and otherwise the load at the cell's rate.

    ``bytes``: the mean size of an IP packet in the tunnel. ``arrived_pps``: packets/s that reached the server.
    ``loss_ratio``: the share of the sent packets that did not reach it. ``lost``: the share of the lost packets by the
    role that had no room for them; empty if nothing was lost or the place is unknown. ``places``: the same by counter
    of the kernel, as ROLE/COUNTER, the largest share first. ``bounded_by``: see `orchestrator.analysis.packets`; empty
    if the spec gave the rate. ``waits``: whether the generator had time to wait between packets. It spins while it
    waits, so its CPU counts as busy.
    """

    bytes: float
    arrived_pps: float
    loss_ratio: float = 0.0
    lost: Mapping[str, float] = field(default_factory=dict)
    places: Mapping[str, float] = field(default_factory=dict)
    bounded_by: str = ""
    waits: bool = True


@dataclass(frozen=True)
class CellLoad:
    """The facts about one cell: its throughput, reference values, and its CPUs by role, in the path's order.

    ``baseline_bps``: the throughput without a tunnel; ``offered_bps``: the highest rate that the sender was told to
    send; ``link_bps``: the capacity of the link between the gateways, for all directions of the traffic together, in
    bits of its frames; each None if unknown. ``frame_overhead``: bits on the link per bit of ``throughput_bps``.
    ``baseline_headroom``: how far below the baseline a cell must be, as a share, for the generator not to be the limit.
    ``shared``: whether roles share CPUs, so that a group is a host. ``n``: the number of trials behind the medians.
    ``profile``: the observations of the cell's profile, by group; empty if it was not profiled.
    ``packets``: the facts about packets if packets were counted, in which case all rates are those of IP packets.
    """

    key: Cell
    n: int
    throughput_bps: float
    groups: tuple[Group, ...]
    shared: bool = False
    baseline_bps: float | None = None
    offered_bps: float | None = None
    link_bps: float | None = None
    frame_overhead: float = 1.06
    baseline_headroom: float = 0.1
    profile: Mapping[str, ProfileShares] = field(default_factory=dict)
    packets: Packets | None = None

    @property
    def packet_bytes(self) -> float:
        """Return the packet size in bytes that costs refer to: of the counted packets, or of a full TCP segment."""
        return INNER_PACKET_BYTES if self.packets is None else self.packets.bytes

    @property
    def carried_bps(self) -> float:
        """Return the rate in bit/s that arrived while the CPUs were sampled."""
        return self.throughput_bps if self.packets is None else self.packets.arrived_pps * 8 * self.packets.bytes

    @property
    def unit(self) -> str:
        """Return the unit of `shown`: Gbit/s, or kpps if packets were counted."""
        return "Gbit/s" if self.packets is None else "kpps"

    def shown(self, bps: float) -> float:
        """Return a rate in bit/s in the load's `unit`."""
        return bps / 1e9 if self.packets is None else bps / (8e3 * self.packets.bytes)

    @property
    def counts_waiting(self) -> bool:
        """Return whether the busy time of the groups includes the waiting of a packet generator."""
        return self.shared and self.packets is not None and self.packets.waits

    @property
    def sampled(self) -> tuple[Group, ...]:
        """Return the groups whose busy time is work. The client is not one of them if it generates packets, because
        its CPUs count as busy while it waits."""
        if self.packets is None:
            return self.groups
        return tuple(group for group in self.groups if group.name != "client")

    def group(self, name: str) -> Group | None:
        """Return the CPUs of a role; None if it has none of its own."""
        return next((group for group in self.groups if group.name == name), None)


FRAME_BYTES = 14  # what a frame of Ethernet has before its IP packet
INNER_PACKET_BYTES = DEFAULT_MTU  # the size of a packet with a full TCP segment
_PATH = {"client": 0, "gateway-a": 1, "gateway-b": 2, "server": 3}


def loads(run: Run) -> list[CellLoad]:
    """Return the load of every cell with an ok trial whose CPUs were sampled, in the order of
    `orchestrator.analysis.cells`.

    Cells measured on several testbeds of a pool are described by all their trials together.
    """
    samples = run.per_core
    samples = samples[samples["kind"] == "measure"]
    rates = run.measured.set_index("trial_id")["throughput_bps"].dropna()
    baselines = baselines_of(run)
    traffic = run.traffic
    samples = samples.assign(busy=busy_share(samples))
    by_trial: dict[str, list[dict[Any, Any]]] = {}
    for row in samples[samples["trial_id"].isin(rates.index)].to_dict("records"):
        by_trial.setdefault(row["trial_id"], []).append(row)
    by_cell: dict[Cell, dict[str, list[dict[Any, Any]]]] = {}
    for trial_id, rows in by_trial.items():
        by_cell.setdefault(Cell.of(rows[0]), {})[trial_id] = rows
    profiled = profile_shares(run)
    found = []
    for key, trials in by_cell.items():
        shared = {row["role"] for rows in trials.values() for row in rows} == {""}
        groups = groups_of(list(trials.values()), "host" if shared else "role")
        rate = median(float(rates[trial_id]) for trial_id in trials)
        found.append(
            CellLoad(
                key,
                len(trials),
                rate,
                groups,
                shared,
                baseline_of(key, baselines),
                offered_bps(traffic, key),
                link_bps(traffic, key),
                frame_overhead(traffic, key, overhead_of(run, key.variant)),
                baseline_headroom=run.headroom,
                profile=profiled.get(key, {}),
            )
        )
    return in_order(run, found)


class _OfCell(Protocol):
    @property
    def key(self) -> Cell: ...


_K = TypeVar("_K", bound=_OfCell)


def in_order(run: Run, found: Iterable[_K]) -> list[_K]:
    """Return what is known of cells by place, and there in the run's order of variants."""
    order = {name: place for place, name in enumerate(run.variants)}
    return sorted(found, key=lambda one: (one.key.place, order.get(one.key.variant, len(order))))


def groups_of(trials: list[list[dict[Any, Any]]], column: str) -> tuple[Group, ...]:
    """Return the groups of CPUs given by ``column``, as medians over trials by rank.

    ``trials``: for each trial, the rows of its CPUs with the shares ``busy`` and ``softirq``.
    """
    ranked: dict[str, list[list[tuple[float, float]]]] = {}
    for rows in trials:
        mine: dict[str, list[tuple[float, float]]] = {}
        for row in rows:
            mine.setdefault(str(row[column]), []).append((row["busy"], row["softirq"]))
        for name, pairs in mine.items():
            ranked.setdefault(name, []).append(sorted(pairs, reverse=True))
    groups = []
    for name, found in ranked.items():
        width = min(map(len, found))
        middle = [tuple(median(pairs[rank][part] for pairs in found) for rank in range(width)) for part in (0, 1)]
        groups.append(Group(name, *middle))
    return tuple(sorted(groups, key=lambda group: (_PATH.get(group.name, len(_PATH)), group.name)))


def busy_share(cpus: Any) -> Any:
    """Return the share (0 to 1) for which CPUs were busy: a number for a row of `Run.per_core`, a series for a frame of
    such rows."""
    return np.clip(1 - cpus["idle"] - cpus["iowait"] - cpus["steal"], 0, 1)


def offered_bps(traffic: Mapping[str, Any], key: Cell) -> float | None:
    """Return the rate at which all tunnels together were told to send in all directions, in bit/s; None at full
    speed."""
    rate = key.get("traffic.bitrate", traffic.get("bitrate_bps"))
    if not rate or rate == MAX:
        return None
    return float(rate) * key.tunnels * _directions(traffic, key)


def _directions(traffic: Mapping[str, Any], key: Cell) -> int:
    """Return the number of directions of the traffic."""
    return 2 if key.get("traffic.direction", traffic.get("direction")) == "both" else 1


def link_bps(traffic: Mapping[str, Any], key: Cell) -> float | None:
    """Return the capacity of a link that the cell shapes, for all directions of the traffic together, in bit/s of its
    frames; None if it is not shaped."""
    rate = key.get(RATE)
    return float(rate) * _directions(traffic, key) if rate else None


def overhead_of(run: Run, variant: str) -> Overhead:
    """Return what a variant's system adds to each packet, as recorded in the run; if it is not, that of WireGuard."""
    recorded = ((run.meta.get("variants") or {}).get(variant) or {}).get("overhead")
    return Overhead.of(recorded) if recorded else WIREGUARD_OVERHEAD


def frame_overhead(traffic: Mapping[str, Any], key: Cell, overhead: Overhead = WIREGUARD_OVERHEAD) -> float:
    """Return the bits of Ethernet frames on the link between the gateways per bit of payload in full packets."""
    version = 6 if key.get("traffic.ip_version", traffic.get("ip_version")) == 6 else 4
    udp = key.get("traffic.protocol", traffic.get("protocol")) == "udp"
    headers = (40 if version == 6 else 20) + (8 if udp else 32)  # TCP with time stamps
    mtu = int(key.get("tunnel.mtu", DEFAULT_MTU))
    size = key.get("traffic.datagram", traffic.get("datagram_bytes")) if udp else None
    segment = key.get("traffic.mss", traffic.get("mss_bytes"))
    payload = mtu - headers
    if size:
        payload = min(payload, int(size))
    elif segment and not udp:
        payload = min(payload, int(segment) - 12)
    packet = payload + headers
    return (overhead.outer_bytes(packet, mtu) + FRAME_BYTES) / payload
