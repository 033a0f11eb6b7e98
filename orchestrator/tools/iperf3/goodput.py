# SPDX-License-Identifier: Apache-2.0
"""Goodput: the iperf3 processes of a trial, and what their receivers, or the tunnels' interfaces, counted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from orchestrator.agent.packet_messages import GeneratorRequest
from orchestrator.agent.traffic_messages import Client
from orchestrator.measure.after_traffic import AfterTraffic
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.driving import Processes
from orchestrator.measure.judge import Passage, total_rates, variation
from orchestrator.measure.latency import through_first_tunnel
from orchestrator.measure.streams import BadReport, Stream
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.protocol import own_cpus
from orchestrator.testbed.remote import AgentFailure, request_all
from orchestrator.tools.iperf3 import pairs as iperf3
from orchestrator.tools.iperf3 import report
from orchestrator.tools.iperf3.traffic import Iperf3Traffic
from orchestrator.tools.protocol import Jobs, Reading

_ETHERNET_BYTES = 14  # which links count and tunnels do not
_EVERYTHING = {True: "all tunnels", False: "the link"}  # by whether there are tunnels


def prepare(attempt: Attempt) -> Jobs:
    """Return the processes of a trial. Raises AgentFailure if an end lacks what it needs."""
    traffic, ends = Iperf3Traffic.of(attempt.trial.traffic), attempt.ends
    pairs = _checked_pairs(attempt)

    def clients() -> Sequence[Client]:
        pinned = traffic.affinity or own_cpus(attempt.testbed)
        cpus = (attempt.testbed.cpus[ends.sender], attempt.testbed.cpus[ends.receiver]) if pinned else None
        return iperf3.clients(ends.sender, pairs, traffic, cpus, attempt.net.mtu)

    servers = iperf3.servers(ends.receiver, pairs)
    echoes = None
    if traffic.latency is not None:  # during the measured window
        pace_pps = traffic.latency.rate_pps
        echoes = through_first_tunnel(ends.sender, pace_pps, traffic.duration_s, after_s=traffic.warm_up_s)
    return Jobs(servers, clients, traffic.warm_up_s, traffic.duration_s, suffix=".json", echoes=echoes)


def _checked_pairs(attempt: Attempt) -> list[iperf3.Pair]:
    traffic, placement, ends = Iperf3Traffic.of(attempt.trial.traffic), attempt.placement, attempt.ends
    try:
        pairs = iperf3.pairs(attempt.trial.levels.tunnels, traffic)
        roles = placement.split({ends.sender: None, ends.receiver: None})
        wanted = {host: GeneratorRequest("iperf3", list(here), traffic.congestion) for host, here in roles.items()}
        found = request_all(attempt.testbed.agents, wanted)
        said = {host: answer["version"] for host, answer in found.items()}
        attempt.outcome.marks += iperf3.check(said, traffic)
    except iperf3.Unsuitable as error:
        raise AgentFailure(str(error)) from error
    return pairs


def read(attempt: Attempt, processes: Processes) -> Reading:
    """Return what the receivers counted. Raises BadReport if a report has no number."""
    traffic, tunnels = Iperf3Traffic.of(attempt.trial.traffic), attempt.trial.levels.tunnels
    pairs = iperf3.pairs(tunnels, traffic)
    streams = [stream for pair in pairs for stream in report.read_pair(pair, traffic, processes)]
    if not any(stream.received_bytes for stream in streams):
        raise BadReport(f"iperf3: none of {len(streams)} receivers counted a byte.")
    varied = variation(streams)
    at_interfaces = traffic.counted_at == "interfaces"
    directions = _at_interfaces(attempt, streams) if at_interfaces else _at_receivers(streams)
    window_s = attempt.outcome.probes["window_s"] if at_interfaces else max(stream.duration_s for stream in streams)
    measurements = {
        "throughput_bps": sum(directions.values()),
        "duration_s": round(window_s, 4),
        "iperf3": report.versions(processes),
        "retransmits": sum(stream.retransmits for stream in streams) if traffic.protocol == "tcp" else None,
        "variation": None if varied is None else round(varied, 4),
        "streams": [_row(stream) for stream in streams],
        "directions": directions,
        "rates_bps": [round(rate) for rate in total_rates(streams)],
        **(_of_udp(streams) if traffic.protocol == "udp" else {}),
    }
    evidence = {
        "streams": [_overlap(stream, traffic) for stream in streams] if at_interfaces else streams,
        "rate": sum(directions.values()),
        # At a requested bit rate, the generator is meant to be the limit.
        "baseline": None if traffic.paced_bps is not None else attempt.generator_carries,
        "segment_bytes": iperf3.segment(traffic, attempt.net.mtu),
        "flows": _flows(traffic, tunnels),
    }
    return Reading(None, measurements, evidence, lambda after: {"passages": _passages(attempt, streams, after)})


def _row(stream: Stream) -> dict[str, Any]:
    """Return what is stored of one pair in one direction."""
    names = ["tunnel", "where", "direction", "throughput_bps"]
    names += ["retransmits"] if stream.jitter_s is None else ["packets", "lost", "jitter_s"]
    return {name: getattr(stream, name) for name in names}


def _at_receivers(streams: Sequence[Stream]) -> dict[str, float]:
    """Return the bits per second that the receivers of each direction counted."""
    found = dict.fromkeys((stream.direction for stream in streams), 0.0)
    for stream in streams:
        found[stream.direction] += stream.throughput_bps
    return found


def _at_interfaces(attempt: Attempt, streams: Sequence[Stream]) -> dict[str, float]:
    """Return the bits per second of TCP payload that the interfaces on each direction's path received in the measured
    time: their bytes without the headers of their packets. A segment that came twice counts twice."""
    headers = iperf3.header_bytes(Iperf3Traffic.of(attempt.trial.traffic))
    headers += 0 if attempt.tunnelled else _ETHERNET_BYTES
    probes, found = attempt.outcome.probes, {}
    for direction in {stream.direction for stream in streams}:
        role = _receiving(attempt, direction)
        payload = _in_window(attempt, role, "rx_bytes") - _in_window(attempt, role, "rx_packets") * headers
        found[direction] = max(0, payload) * 8 / probes["window_s"]
    return found


def _overlap(stream: Stream, traffic: Iperf3Traffic) -> Stream:
    """Return a stream with, as its duration, how much of the measured time it filled if it began within the warm-up."""
    return replace(stream, duration_s=min(stream.ran_s - traffic.warm_up_s, traffic.duration_s))


def _of_udp(streams: Sequence[Stream]) -> dict[str, Any]:
    """Return the share of lost datagrams, and the mean of the flows' jitter at the end (RFC 3550)."""
    packets = sum(stream.packets for stream in streams)
    jitters = [stream.jitter_s for stream in streams if stream.jitter_s is not None]
    return {
        "loss_ratio": sum(stream.lost for stream in streams) / packets if packets else None,
        "jitter_s": sum(jitters) / len(jitters) if jitters else None,
    }


def _flows(traffic: Iperf3Traffic, tunnels: int) -> int | None:
    """Return how many flows a hash spreads; None if each tunnel has its own."""
    if traffic.paths == "subnets":
        return None
    flows = traffic.connections or tunnels * traffic.processes * traffic.streams
    return flows * (2 if traffic.direction == "both" else 1)


def _passages(attempt: Attempt, streams: Sequence[Stream], after: AfterTraffic) -> list[Passage]:
    """Return the bytes that receivers report with those that the interfaces on their path, or shared peers, counted.

    For each tunnel, these are the bytes of the whole traffic: in the measured time alone, a receiver may take more out
    of its socket's buffer than comes in. For all tunnels together, those of the measured time are compared as well,
    unless it is the interfaces that count.
    """
    found = []
    for direction in ("forward", "reverse"):
        there = [stream for stream in streams if stream.direction == direction]
        if there:
            role, back = _receiving(attempt, direction), " in reverse" if direction == "reverse" else ""
            for where, (received, came_in) in _whole(attempt, there, role, after).items():
                found.append(Passage(where + back, received, came_in))
            if Iperf3Traffic.of(attempt.trial.traffic).counted_at == "receivers":
                received, came_in = sum(one.received_bytes for one in there), _in_window(attempt, role, "rx_bytes")
                found.append(Passage(_EVERYTHING[attempt.tunnelled] + back, received, came_in, in_window=True))
    return found


def _receiving(attempt: Attempt, direction: str) -> str:
    """Return the role whose interfaces receive a direction's traffic: a gateway, or an end if there is no tunnel."""
    gateway, end = {
        "forward": (GATEWAYS[1], attempt.ends.receiver),
        "reverse": (GATEWAYS[0], attempt.ends.sender),
    }[direction]
    return gateway if attempt.tunnelled else end


def _whole(attempt: Attempt, streams: Sequence[Stream], role: str, after: AfterTraffic) -> dict[str, tuple[int, int]]:
    """Return {where: (bytes that receivers report, bytes that came in)} of the whole traffic in a direction: by tunnel,
    or for all together if flows share them; without tunnels, for the link."""
    counted, net = attempt.outcome.interface_bytes[role], attempt.net
    groups: dict[str, tuple[int, int]] = {}
    for stream in streams:
        if not attempt.tunnelled or stream.tunnel is None:
            where, came_in = _EVERYTHING[attempt.tunnelled], _all(attempt, counted)
        elif net.shares(role):
            where, came_in = f"tunnel {stream.tunnel}", after.received_bytes.get(stream.tunnel, 0)
        else:
            where, came_in = f"tunnel {stream.tunnel}", counted.get(net.device(stream.tunnel, role), 0)
        received = stream.warm_up_bytes + stream.received_bytes
        groups[where] = (groups.get(where, (0, 0))[0] + received, came_in)
    return groups


def _in_window(attempt: Attempt, role: str, counter: str) -> int:
    """Return what a counter of the devices of all tunnels, or of the links, rose by in the measured time."""
    interfaces = attempt.outcome.probes["interfaces"][role]
    return _all(attempt, {device: counts[counter] for device, counts in interfaces.items()})


def _all(attempt: Attempt, counted: Mapping[str, int]) -> int:
    """Return what the devices of all tunnels received; without tunnels, the interfaces of links."""
    names = attempt.net.devices if attempt.tunnelled else ("lan", "wan")
    return sum(octets for name, octets in counted.items() if name.startswith(names))
