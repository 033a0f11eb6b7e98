# SPDX-License-Identifier: Apache-2.0
"""Packet rate: how many packets per second reach the server at the rate that the spec asks for."""

from orchestrator.run.aftermath import look_back
from orchestrator.run.judge import Evidence, judge
from orchestrator.run.pktgen import offer
from orchestrator.run.scene import Scene
from orchestrator.spec import MAX


def measure_packet_rate(scene: Scene) -> None:
    """Offer a trial's rate over tunnels that are ready; the outcome gets measurements, probes and a verdict.

    Raises TestbedError where a host does not answer, or the generator sends nothing.
    """
    trial, outcome = scene.trial, scene.outcome
    traffic = trial.traffic
    assert traffic.rate is not None
    rate = None if traffic.rate == MAX else float(traffic.rate)
    scene.on_traffic()
    if traffic.warm_up_s:
        offer(scene, rate, traffic.warm_up_s)
    scene.phases.done("warm-up")
    load = offer(scene, rate, traffic.duration_s)
    scene.phases.done("traffic")
    after = look_back(scene, traffic.warm_up_s + traffic.duration_s)
    outcome.probes = {**load.probes, "clock_skew_s": 0.0}
    outcome.measurements.update(
        throughput_bps=None,
        sent_pps=load.offered_pps,
        received_pps=load.received_pps,
        loss_ratio=load.loss_ratio,
        duration_s=round(load.seconds, 4),
        handshake_age_s=None if after.handshake_age_s is None else round(after.handshake_age_s, 3),
        loads=[load.to_json()],
    )
    evidence = Evidence(
        streams=(),
        probes=outcome.probes,
        duration_s=traffic.duration_s,
        handshake_age_s=after.handshake_age_s,
        rekeyed=after.rekeyed,
        kernel_log=after.complaints,
        clock_skew_s=0.0,
    )
    outcome.take(judge(evidence, scene.conditions.limits))
