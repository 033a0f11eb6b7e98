# SPDX-License-Identifier: Apache-2.0
"""Packet rate: what reaches the server at a given rate, or the highest rate whose losses stay within a goal.

Optionally, round-trip times are measured under such loads.
"""

from orchestrator.measure.after_traffic import read_after_traffic
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.evaluating import evidence_of
from orchestrator.measure.latency import round_trips, through_first_tunnel
from orchestrator.plan import PROFILE
from orchestrator.spec import MAX
from orchestrator.testbed.remote import AgentFailure
from orchestrator.tools.pktgen.loads import Beside
from orchestrator.tools.pktgen.rate_search import Loads, search_rate
from orchestrator.tools.pktgen.traffic import PktgenTraffic


def measure_packet_rate(attempt: Attempt) -> None:
    """Offer a trial's loads over tunnels that are ready, and store measurements, probes and a verdict in the outcome.

    Raises TestbedError if a host does not answer, or the generator sends nothing.
    """
    attempt.on_traffic()
    loads = Loads(attempt)
    traffic = PktgenTraffic.of(attempt.trial.traffic)
    rate = _offer_rate(attempt, loads) if traffic.search is None else search_rate(attempt, loads)
    if attempt.trial.kind == PROFILE:
        _profile(attempt, loads, None if traffic.rate == MAX else rate)
    elif traffic.latency is not None and rate:
        _time_round_trips(attempt, loads, rate)
    attempt.outcome.traffic_s = loads.seconds


def _offer_rate(attempt: Attempt, loads: Loads) -> float:
    """Offer the spec's rate; return it, or if it is as fast as possible, the received rate, in packets/s."""
    trial, outcome = attempt.trial, attempt.outcome
    traffic = PktgenTraffic.of(trial.traffic)
    assert traffic.rate is not None
    rate = None if traffic.rate == MAX else float(traffic.rate)
    if traffic.warm_up_s:
        loads.offer(rate, traffic.warm_up_s)
    attempt.phases.done("warm-up")
    load = loads.offer(rate, traffic.duration_s, Beside(probed=True))
    attempt.phases.done("traffic")
    after = read_after_traffic(attempt, traffic.warm_up_s + traffic.duration_s)
    outcome.probes = {**load.probes, "clock_skew_s": None}
    outcome.measurements.update(
        throughput_bps=None,
        sent_pps=load.offered_pps,
        received_pps=load.received_pps,
        loss_ratio=load.loss_ratio,
        duration_s=round(load.seconds, 4),
        handshake_age_s=after.stored_age_s,
        loads=[load.to_json()],
    )
    evidence = evidence_of(
        attempt,
        after,
        baseline=None if rate is not None else attempt.generator_carries,
        rate=load.received_pps,
        loads=[load],
        plain_pps=None if attempt.baseline else attempt.conditions.baseline,
    )
    outcome.take(attempt.judged(evidence))
    return load.received_pps if rate is None else rate


def _profile(attempt: Attempt, loads: Loads, rate_pps: float | None) -> None:
    """Offer one more load, at the rate that was given or found, with profiling on.

    ``rate_pps``: None for as fast as the generator can. The load and its probes are stored as ``profiled_load``. Raises
    AgentFailure if no rate was found.
    """
    if rate_pps == 0:
        raise AgentFailure("No rate was found to profile at: even the lowest load lost too many packets.")
    load = loads.offer(rate_pps, attempt.trial.traffic.duration_s, Beside(profiled=True))
    attempt.outcome.measurements["profiled_load"] = load.to_json()
    attempt.outcome.probes["profiled_load"] = dict(load.probes)
    attempt.phases.done("profile")


def _time_round_trips(attempt: Attempt, loads: Loads, rate_pps: float) -> None:
    """Send echo requests through the first tunnel under loads at shares of a rate.

    The outcome gets ``latency``, one row per share.
    """
    traffic = PktgenTraffic.of(attempt.trial.traffic)
    assert traffic.latency is not None
    rows = []
    for share in traffic.latency.at:
        asked = through_first_tunnel(attempt.ends.sender, traffic.latency.rate_pps, traffic.duration_s)
        load = loads.offer(rate_pps * share, traffic.duration_s, Beside(asked))
        assert load.echoes is not None
        row = {"at": share, "offered_pps": round(load.offered_pps, 1), "loss_ratio": load.loss_ratio}
        rows.append({**row, **round_trips(load.echoes["sent"], load.echoes["rtts_s"])})
    attempt.outcome.measurements["latency"] = rows
    attempt.phases.done("latency")
