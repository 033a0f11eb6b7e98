# SPDX-License-Identifier: Apache-2.0
"""Goodput: iperf3 between the ends for a fixed time, what its receivers counted, and whether that counts."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.run import iperf3, layout, polls, probes
from orchestrator.run.aftermath import Aftermath, look_back
from orchestrator.run.judge import Evidence, Passage, judge, variation
from orchestrator.run.scene import Scene
from orchestrator.run.streams import Stream
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.remote import together

# Each is for real processors, and longer on a testbed that needs patience.
SERVERS_TIMEOUT_S = 15.0
GRACE_S = 10.0  # beyond warm-up and duration, for iperf3 to connect and to exchange results
_START_IN_S = 0.2  # how far ahead several hosts agree on a time to start at, beside the time that asking them takes


def measure_goodput(scene: Scene) -> None:
    """Run a trial's iperf3 over tunnels that are ready; the outcome gets measurements, probes and a verdict.

    Raises BadReport where a report is no number, and TestbedError where a host does not answer.
    """
    testbed, trial, outcome = scene.testbed, scene.trial, scene.outcome
    tunnels, traffic = trial.levels.tunnels, trial.traffic
    ends, placement, hosts = scene.ends, scene.placement, scene.hosts
    seconds = traffic.warm_up_s + traffic.duration_s
    grace_s = GRACE_S * scene.slowness
    sender, receiver = placement.host_of(ends.sender), placement.host_of(ends.receiver)
    servers = iperf3.servers(ends.receiver, tunnels)
    serving = {
        host: {
            "servers": servers if host == receiver else [],
            "patience_s": SERVERS_TIMEOUT_S * scene.slowness,
        }
        for host in hosts
    }
    together(testbed.agents, "serve", serving)
    scene.phases.done("servers")
    scene.on_traffic()
    skews_s = {host: testbed.agents[host].clock_skew_s() for host in hosts} if len(hosts) > 1 else {}
    with testbed.boost(seconds + grace_s + 5) as boost:
        clients = iperf3.clients(ends.sender, tunnels, traffic.streams, traffic.warm_up_s, traffic.duration_s)
        start_at = time.time() + _START_IN_S * scene.slowness if len(hosts) > 1 else None
        measuring = {
            host: {
                "clients": clients if host == sender else [],
                "start_at": None if start_at is None else start_at + skews_s[host],
                "warm_up_s": traffic.warm_up_s,
                "duration_s": traffic.duration_s,
                "patience_s": seconds + grace_s,
                "trace_polls": trial.kind == "trace",
                "sample_roles": [role for role in scene.roles if placement.host_of(role) == host],
            }
            for host in hosts
        }
        measured = together(testbed.agents, "measure", measuring, timeout_s=seconds + GRACE_S + 15)
    if len(hosts) == 1:
        skews_s = {hosts[0]: measured[hosts[0]]["clock_s"] - time.time()}
    outcome.boost = boost.value
    scene.phases.done("traffic")
    processes = {name: process for answer in measured.values() for name, process in answer["processes"].items()}
    for name, process in processes.items():
        outcome.raw[f"{name}.json"] = process["out"]
        if process["err"]:
            outcome.raw[f"{name}.err"] = process["err"]
    outcome.probes = {
        **probes.of_hosts(measured, traffic.duration_s),
        "computer": boost.value.computer,
        "clock_skew_s": round(_farthest(skews_s), 3),
    }
    if trial.kind == "trace":
        outcome.raw["polls.json"] = json.dumps(polls.of_hosts(measured, outcome.probes["interfaces"], scene.placement))
    traffic_s = max(answer["traffic_s"] for answer in measured.values())
    _evaluate(scene, processes, look_back(scene, traffic_s))


def _farthest(skews_s: Mapping[str, float]) -> float:
    return max(skews_s.values(), key=lambda skew: abs(skew))


def _evaluate(scene: Scene, processes: Mapping[str, Any], after: Aftermath) -> None:
    """Turn what the agents returned into measurements and a verdict."""
    trial, outcome = scene.trial, scene.outcome
    tunnels, traffic = trial.levels.tunnels, trial.traffic
    streams = [iperf3.read_stream(i, processes) for i in range(1, tunnels + 1)]
    varied = variation(streams)
    outcome.measurements.update(
        throughput_bps=sum(stream.throughput_bps for stream in streams),
        duration_s=round(max(stream.duration_s for stream in streams), 4),
        retransmits=sum(stream.retransmits for stream in streams),
        handshake_age_s=None if after.handshake_age_s is None else round(after.handshake_age_s, 3),
        variation=None if varied is None else round(varied, 4),
        streams=[
            {"tunnel": s.tunnel, "throughput_bps": s.throughput_bps, "retransmits": s.retransmits} for s in streams
        ],
    )
    evidence = Evidence(
        streams=streams,
        probes=outcome.probes,
        duration_s=traffic.duration_s,
        handshake_age_s=after.handshake_age_s,
        rekeyed=after.rekeyed,
        kernel_log=after.complaints,
        passages=_passages(streams, outcome.probes["interfaces"], scene.ends.receiver, scene.baseline),
        baseline=None if scene.baseline else scene.conditions.baseline,
        clock_skew_s=outcome.probes["clock_skew_s"],
    )
    outcome.take(judge(evidence, scene.conditions.limits))


def _passages(streams: Sequence[Stream], counted: Mapping[str, Any], receiver: str, baseline: bool) -> list[Passage]:
    """What each receiver reports beside what the interfaces counted on its way."""
    if baseline:
        wire = sum(c["rx_bytes"] for name, c in counted[receiver].items() if name.startswith(("lan", "wan")))
        return [Passage("the link", sum(stream.received_bytes for stream in streams), wire)]
    devices = counted[GATEWAYS[1]]
    return [
        Passage(
            f"tunnel {stream.tunnel}",
            stream.received_bytes,
            devices.get(layout.device(stream.tunnel), {}).get("rx_bytes", 0),
        )
        for stream in streams
    ]
