# SPDX-License-Identifier: Apache-2.0
"""One execution of a trial on a prepared testbed: tunnels up, handshakes, traffic, probes, tunnels down."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.kernel.variants import Variant
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.run import iperf3, layout, probes
from orchestrator.run.judge import Evidence, Passage, judge, variation
from orchestrator.spec import Limits
from orchestrator.testbed.protocol import Boost, Testbed
from orchestrator.testbed.remote import AgentFailure

HANDSHAKE_TIMEOUT_S = 10.0
GRACE_S = 10.0  # beyond warm-up and duration, for iperf3 to connect and to exchange results


@dataclass
class Outcome:
    """What one attempt gave. ``status``: ok, failed or invalid; ``reasons``: a sentence each; ``raw``: file -> text.

    ``broken``: the limits, by name, that made it invalid; ``marks``: a sentence on each that only marks it.
    ``crypto``: which code encrypted, in the kernel's words. ``host_lost``: the host no longer answers, so nothing more
    can be measured before it is prepared again.
    """

    status: str = "failed"
    reasons: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    measurements: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)
    variant_build: str | None = None
    crypto: str | None = None
    boost: Boost = field(default_factory=lambda: Boost(False, {}))
    raw: dict[str, str] = field(default_factory=dict)
    host_lost: bool = False


@dataclass(frozen=True)
class Conditions:
    """What an attempt is held against. ``baseline_bps``: what its block carried without a tunnel, where measured."""

    limits: Limits = field(default_factory=Limits)
    baseline_bps: float | None = None


class _Phases:
    """Seconds that each phase of an attempt took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


def run_attempt(
    testbed: Testbed,
    trial: Trial,
    variant: Variant | None,
    on_traffic: Callable[[], None],
    conditions: Conditions | None = None,
) -> Outcome:
    """Execute a trial once. Never raises for what can go wrong on a host; the outcome says what did."""
    outcome = Outcome()
    began = time.monotonic()
    phases = _Phases()
    try:
        _run(testbed, trial, variant, on_traffic, conditions or Conditions(), outcome, phases)
    except (AgentFailure, iperf3.BadReport) as error:
        outcome.status = "failed"
        outcome.reasons.append(str(error))
    except TestbedError as error:  # a host, or the whole lab, does not answer
        outcome.status, outcome.host_lost = "failed", True
        outcome.reasons.append(str(error))
    total = time.monotonic() - began
    planned = trial.traffic.warm_up_s + trial.traffic.duration_s
    outcome.measurements["phases_s"] = phases.seconds
    outcome.measurements["overhead_s"] = round(total - planned, 4)
    if outcome.status != "ok":
        outcome.measurements.setdefault("throughput_bps", None)
    return outcome


def _run(
    testbed: Testbed,
    trial: Trial,
    variant: Variant | None,
    on_traffic: Callable[[], None],
    conditions: Conditions,
    outcome: Outcome,
    phases: _Phases,
) -> None:
    tunnels, traffic = trial.levels.tunnels, trial.traffic
    ends = layout.ends(trial.topology)
    gateway = testbed.agent(layout.GATEWAYS[0])
    baseline = trial.levels.variant == NO_VARIANT
    seconds = traffic.warm_up_s + traffic.duration_s
    try:
        if baseline:
            routes = {role: layout.plain_routes(trial.topology, role, tunnels) for role in layout.GATEWAYS}
            gateway.request("routes", roles=routes)
        else:
            assert variant is not None
            module = testbed.module(variant.build)
            loaded = gateway.request(
                "variant", module=module.path, build_id=module.build_id, parameters=variant.settings
            )
            outcome.variant_build = loaded["build_id"]
            phases.done("variant")
            keys = gateway.request("tunnels", timeout_s=30 + 0.2 * tunnels, **layout.devices_request(tunnels))
            pinned_to = trial.levels.cores if variant.pinned else None
            peers = layout.peers_request(
                trial.topology, keys["public_keys"], variant.threaded, variant.settings, pinned_to
            )
            gateway.request("peers", timeout_s=30 + 0.2 * tunnels, **peers)
        phases.done("tunnels")
        paths = [[layout.sender_address(i), layout.receiver_address(i)] for i in range(1, tunnels + 1)]
        gateway.request(
            "handshakes",
            timeout_s=HANDSHAKE_TIMEOUT_S + 20,
            role=ends.sender,
            paths=paths,
            patience_s=HANDSHAKE_TIMEOUT_S,
        )
        phases.done("handshakes")
        gateway.request("serve", servers=iperf3.servers(ends.receiver, tunnels), patience_s=15.0)
        phases.done("servers")
        on_traffic()
        with testbed.boost(seconds + GRACE_S + 5) as boost:
            measured = gateway.request(
                "measure",
                timeout_s=seconds + GRACE_S + 15,
                clients=iperf3.clients(ends.sender, tunnels, traffic.streams, traffic.warm_up_s, traffic.duration_s),
                start_at=None,
                warm_up_s=traffic.warm_up_s,
                duration_s=traffic.duration_s,
                patience_s=seconds + GRACE_S,
                sample_roles=list(layout.roles(trial.topology)),
            )
        skew_s = measured["clock_s"] - time.time()
        outcome.boost = boost.value
        phases.done("traffic")
        for name, process in measured["processes"].items():
            outcome.raw[f"{name}.json"] = process["out"]
            if process["err"]:
                outcome.raw[f"{name}.err"] = process["err"]
        outcome.probes = {
            **probes.between(measured["samples"], measured["surroundings"]),
            "computer": boost.value.computer,
            "clock_skew_s": round(skew_s, 3),
            "before": measured["before"],
        }
        ages: dict[str, Any] = {}
        if not baseline:
            ages = gateway.request("handshake_times", roles=list(layout.GATEWAYS))["ages_s"]
        log = gateway.request("kernel_log", most=5)
        outcome.crypto = None if baseline else log["crypto"]
        _evaluate(outcome, trial, conditions, measured, ages, ends.receiver, log["complaints"])
    except (AgentFailure, iperf3.BadReport):
        raise
    except (KeyboardInterrupt, TestbedError):
        outcome.host_lost = True  # the conversation broke off: nothing more can be asked of this host
        raise
    finally:
        _clean_up(testbed, trial, outcome, baseline)
        phases.done("clean-up")


def _evaluate(
    outcome: Outcome,
    trial: Trial,
    conditions: Conditions,
    measured: dict[str, Any],
    ages: dict[str, Any],
    receiver: str,
    log: list[str],
) -> None:
    """Turn what the agent returned into measurements and a verdict."""
    tunnels, traffic = trial.levels.tunnels, trial.traffic
    streams = [iperf3.read_stream(i, measured["processes"]) for i in range(1, tunnels + 1)]
    known = [age for devices in ages.values() for age in devices.values() if age is not None]
    never = [f"{role}/{name}" for role, devices in ages.items() for name, age in devices.items() if age is None]
    if never:
        raise AgentFailure(f"No handshake is recorded on {', '.join(never)}, though traffic passed.")
    # Ages are in whole seconds; one younger than the traffic was made during it.
    rekeyed = [
        f"{role}/{name}"
        for role, devices in ages.items()
        for name, age in devices.items()
        if age is not None and age < measured["traffic_s"] - 1.0
    ]
    oldest = max(known) if known else None
    varied = variation(streams)
    outcome.measurements.update(
        throughput_bps=sum(stream.throughput_bps for stream in streams),
        duration_s=round(max(stream.duration_s for stream in streams), 4),
        retransmits=sum(stream.retransmits for stream in streams),
        handshake_age_s=None if oldest is None else round(oldest, 3),
        variation=None if varied is None else round(varied, 4),
        streams=[
            {"tunnel": s.tunnel, "throughput_bps": s.throughput_bps, "retransmits": s.retransmits} for s in streams
        ],
    )
    baseline = trial.levels.variant == NO_VARIANT
    evidence = Evidence(
        streams=streams,
        probes=outcome.probes,
        duration_s=traffic.duration_s,
        handshake_age_s=oldest,
        rekeyed=rekeyed,
        kernel_log=log,
        passages=_passages(streams, outcome.probes["interfaces"], receiver, baseline),
        baseline_bps=None if baseline else conditions.baseline_bps,
        clock_skew_s=outcome.probes["clock_skew_s"],
    )
    verdict = judge(evidence, conditions.limits)
    outcome.reasons += verdict.broken
    outcome.broken, outcome.marks = verdict.names, verdict.marks
    outcome.status = "invalid" if outcome.reasons else "ok"


def _passages(
    streams: Sequence[iperf3.Stream], counted: Mapping[str, Any], receiver: str, baseline: bool
) -> list[Passage]:
    """What each receiver reports beside what the interfaces counted on its way."""
    if baseline:
        wire = sum(c["rx_bytes"] for name, c in counted[receiver].items() if name.startswith(("lan", "wan")))
        return [Passage("the link", sum(stream.received_bytes for stream in streams), wire)]
    devices = counted[layout.GATEWAYS[1]]
    return [
        Passage(
            f"tunnel {stream.tunnel}",
            stream.received_bytes,
            devices.get(layout.device(stream.tunnel), {}).get("rx_bytes", 0),
        )
        for stream in streams
    ]


def _clean_up(testbed: Testbed, trial: Trial, outcome: Outcome, baseline: bool) -> None:
    """Remove the trial's devices, and their routes with them; what cannot be removed spoils the block, so the host
    counts as lost. A baseline has none, and its routes are replaced by the next trial's."""
    if baseline or outcome.host_lost:
        return
    try:
        testbed.agent(layout.GATEWAYS[0]).request(
            "remove_tunnels", timeout_s=30 + 0.1 * trial.levels.tunnels, roles=list(layout.GATEWAYS)
        )
    except TestbedError as error:
        outcome.host_lost = True
        outcome.reasons.append(f"the tunnels could not be removed: {error}")
        if outcome.status == "ok":
            outcome.status = "invalid"
