# SPDX-License-Identifier: Apache-2.0
"""Loads of packets: the kernel's generator on the client, a count at the server, and an account of every loss."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.agent.packet_messages import HopsAnswer, HopsRequest, PktgenRequest, RemoveSinkRequest, SinkRequest
from orchestrator.agent.traffic_messages import EchoStream, MeasureRequest, ServeRequest
from orchestrator.measure import attached, layout, probes, requests
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.load import Load
from orchestrator.spec import IMIX, LINKS
from orchestrator.spec.fields import LARGEST_PACKET
from orchestrator.testbed.remote import AgentFailure, request_all
from orchestrator.tools.pktgen.losses import growth, lost
from orchestrator.tools.pktgen.traffic import PktgenTraffic

# The mixture as (bytes of the IP packet, weight): 7 small, 4 medium and 1 large packet of 12. It is the "simple IMIX"
# of 40, 576 and 1500 bytes in the proportions 7:4:1 (RFC 6985, section 1, on the mixtures in use), fitted to a tunnel:
# the smallest has room for pktgen's own header, the largest is what passes a tunnel unfragmented.
IMIX_SIZES = ((64, 7), (576, 4), (LARGEST_PACKET, 1))
_FIRST_PORT = 1024
_LONGEST_GAP_NS = 0x7FFFFFFE  # pktgen takes one more for "never"
_DRAIN_AGAIN_S = 0.05  # between two readings that must be equal
_DRAIN_MOST_S = 2.0  # for real processors; slow testbeds get more
_PATIENCE_S = 15.0


def largest_packet(packet_size: int | str | None) -> int | None:
    """Return the bytes of the largest IP packet of a level; None if packet size is not a factor."""
    if packet_size == IMIX:
        return max(size for size, _ in IMIX_SIZES)
    return None if packet_size is None else int(packet_size)


@dataclass(frozen=True, slots=True)
class Sender:
    """One of pktgen's devices: the flows of a tunnel that one CPU sends.

    Their UDP source ports are consecutive, from ``port``.
    """

    name: str
    cpu: int
    tunnel: int
    port: int
    flows: int


def senders(device: str, cpus: Sequence[int], tunnels: int, flows: int) -> list[Sender]:
    """Spread ``flows`` flows per tunnel over CPUs.

    Each flow has one CPU: flow f of tunnel t has CPU number t + f, modulo the number of CPUs. So with one flow per
    tunnel each tunnel has one CPU, and with more flows every CPU sends to every tunnel.
    """
    found: list[Sender] = []
    for tunnel in range(1, tunnels + 1):
        counts = [0] * len(cpus)
        for flow in range(flows):
            counts[(tunnel - 1 + flow) % len(cpus)] += 1
        port = _FIRST_PORT
        for cpu, count in zip(cpus, counts, strict=True):
            if count:
                found.append(Sender(f"{device}@{len(found)}", cpu, tunnel, port, count))
                port += count
    return found


def paces(
    sending: Sequence[Sender], rate_pps: float | None, duration_s: float, burst: int
) -> dict[str, tuple[int, int]]:
    """Return {device: (packets, nanoseconds between two bursts)}, with the rate shared equally between flows.

    Without a rate, each device sends as fast as it can until it is stopped; a gap of one nanosecond lets the devices of
    a CPU take turns.
    """
    if rate_pps is None:
        return {sender.name: (0, 1) for sender in sending}
    flows = sum(sender.flows for sender in sending)
    found = {}
    due = 0.0
    for sender in sending:
        rate = rate_pps * sender.flows / flows
        begun, due = round(due), due + rate * duration_s  # so that rounding errors do not accumulate
        gap = min(_LONGEST_GAP_NS, max(1, round(1e9 * burst / rate)))
        found[sender.name] = (max(1, round(due) - begun), gap)
    return found


@dataclass(frozen=True, slots=True)
class Beside:
    """Measurements that are made while a load is offered.

    ``echoes``: the round trips that the sender times, as the agent's `Echoes` takes them; ``probed``: whether the
    spec's probes run; ``profiled``: whether CPUs are profiled, into profile.json.
    """

    echoes: EchoStream | None = None
    probed: bool = False
    profiled: bool = False


ALONE = Beside()


def offer(attempt: Attempt, rate_pps: float | None, duration_s: float, beside: Beside = ALONE) -> Load:
    """Offer one load over tunnels that are ready for about ``duration_s``; ``rate_pps`` None: as fast as possible.

    Counters are read before the load, and after the packets in flight have arrived. A generator that cannot keep the
    rate sends less: compare ``offered_pps``. Raises AgentFailure if nothing could be sent, TestbedError if a host does
    not answer.
    """
    testbed, agents, placement = attempt.testbed, attempt.testbed.agents, attempt.placement
    traffic, tunnels = PktgenTraffic.of(attempt.trial.traffic), attempt.trial.levels.tunnels
    sending = _make_ready(attempt)
    loads = paces(sending, rate_pps, duration_s, traffic.burst)
    request_all(agents, {host: ServeRequest([], _PATIENCE_S) for host in attempt.hosts})
    commands = attached.requests(attempt) if beside.probed else {}
    before = _hops(attempt)
    sender = placement.host_of(attempt.ends.sender)
    with testbed.prioritized(duration_s + _PATIENCE_S) as computer_use:
        measured = request_all(
            agents,
            {
                host: MeasureRequest(
                    start_at=None,
                    warm_up_s=0.0,
                    duration_s=duration_s,
                    patience_s=duration_s + _PATIENCE_S,
                    sample_roles=[role for role in attempt.roles if placement.host_of(role) == host],
                    pktgen=loads if host == sender else None,
                    echoes=beside.echoes if host == sender else None,
                    profile=beside.profiled,
                    attached=commands.get(host),
                )
                for host in attempt.hosts
            },
            timeout_s=duration_s + 2 * _PATIENCE_S,
        )
        after = _drained(attempt)
    attempt.outcome.computer_use = computer_use.value
    if beside.profiled:
        attempt.outcome.raw["profile.json"] = json.dumps({host: one["profile"] for host, one in measured.items()})
    printed = {name: process for answer in measured.values() for name, process in answer["processes"].items()}
    results = measured[sender]["pktgen"] or []
    given = {result["name"]: result["sent"] + result["errors"] for result in results}
    sent = sum(given.values())
    if not sent:
        raise AgentFailure(f"{sender}: pktgen sent nothing within {duration_s:g} s.")
    # Each device by its own times: those of several CPUs begin up to a tenth of a second apart.
    offered_pps = sum(given[one["name"]] / max(one["stopped_s"] - one["started_s"], 1e-6) for one in results)
    roles = {role: counters for answer in before.values() for role, counters in answer["hops"].items()}
    grown = {
        role: growth(roles[role], counters) for answer in after.values() for role, counters in answer["hops"].items()
    }
    arrived = {int(tunnel): counts for tunnel, counts in grown[attempt.ends.receiver]["sink"].items()}
    received = sum(packets for packets, _ in arrived.values())
    virtual = [link for link, (one, other) in LINKS.items() if placement.host_of(one) == placement.host_of(other)]
    drops = lost(grown, sent, virtual, tunnels=attempt.tunnelled)
    by_tunnel = dict.fromkeys(range(1, tunnels + 1), 0)
    for one in sending:
        by_tunnel[one.tunnel] += given[one.name]
    return Load(
        rate_pps=rate_pps,
        sent=sent,
        received=received,
        seconds=sent / offered_pps,
        drops=drops,
        unexplained=sent - received - sum(drops.values()),
        offered_pps=offered_pps,
        received_bytes=sum(octets for _, octets in arrived.values()),
        backlog_dropped=sum(after[host]["backlog_dropped"] - before[host]["backlog_dropped"] for host in after),
        tunnels={tunnel: (count, arrived[tunnel][0]) for tunnel, count in by_tunnel.items()},
        probes={
            **probes.of_hosts(measured, duration_s, attempt.cpu_owners),
            **(attached.of_hosts(attempt, measured, printed) if beside.probed else {}),
            "computer": computer_use.value.computer,
        },
        echoes=measured[sender]["echoes"],
    )


def _make_ready(attempt: Attempt) -> list[Sender]:
    """Configure the generator and the sink for this trial; ready ones stay as they are. Return the senders."""
    trial, placement, agents = attempt.trial, attempt.placement, attempt.testbed.agents
    traffic, levels, ends = PktgenTraffic.of(trial.traffic), trial.levels, attempt.ends
    host = placement.host_of(ends.sender)
    cpus = list(attempt.testbed.cpus[ends.sender])[: traffic.threads]
    device = layout.generator_device(ends.sender)
    sending = senders(device, cpus, levels.tunnels, traffic.flows)
    size = levels.packet_size
    assert size is not None
    subnets = {str(tunnel): layout.receiver_subnet(tunnel) for tunnel in range(1, levels.tunnels + 1)}
    agents[placement.host_of(ends.receiver)].request(SinkRequest(ends.receiver, subnets))
    wanted = PktgenRequest(
        role=ends.sender,
        device=device,
        gateway=requests.neighbours(attempt.net)[ends.sender][0],
        sizes=IMIX_SIZES if size == IMIX else [[int(size), 1]],
        clone=traffic.clone,
        burst=traffic.burst,
        devices=[
            {
                "name": sender.name,
                "cpu": sender.cpu,
                "source": layout.sender_address(sender.tunnel),
                "destination": layout.receiver_address(sender.tunnel),
                "ports": [sender.port, sender.flows],
            }
            for sender in sending
        ],
    )
    agents[host].request(wanted, timeout_s=30 + 0.1 * len(sending))
    return sending


def end_loads(attempt: Attempt) -> None:
    """Remove the sink, so that packets reach the receiver again."""
    receiver = attempt.ends.receiver
    attempt.testbed.agents[attempt.placement.host_of(receiver)].request(RemoveSinkRequest(receiver))


def _hops(attempt: Attempt) -> dict[str, HopsAnswer]:
    roles = {host: [r for r in attempt.roles if attempt.placement.host_of(r) == host] for host in attempt.hosts}
    return request_all(attempt.testbed.agents, {host: HopsRequest(mine) for host, mine in roles.items()})


def _drained(attempt: Attempt) -> dict[str, HopsAnswer]:
    """Return the counters of the hops once no packets are in flight, that is, once two readings agree."""
    deadline = time.monotonic() + _DRAIN_MOST_S * attempt.patience
    now = _hops(attempt)
    while True:
        attempt.sleep(_DRAIN_AGAIN_S)
        last, now = now, _hops(attempt)
        alike = all(_passed(last[host]) == _passed(now[host]) for host in now)
        if alike or time.monotonic() > deadline:
            return now


def _passed(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a host's counters that grow while packets are in flight."""
    return {
        role: (counters["sink"], counters["protocols"]["Ip"]["ForwDatagrams"], counters["protocols"]["Udp"])
        for role, counters in answer["hops"].items()
    }
