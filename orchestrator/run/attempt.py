# SPDX-License-Identifier: Apache-2.0
"""One execution of a trial on a prepared testbed: tunnels up, handshakes, traffic, probes, tunnels down.

What concerns several hosts is asked of all at once. They begin the traffic, and sample around it, at one agreed time.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.errors import TestbedError
from orchestrator.kernel.variants import Variant
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.run import iperf3, layout, probes
from orchestrator.run.judge import Evidence, Passage, judge, variation
from orchestrator.run.roles import placement_of
from orchestrator.spec import GATEWAYS, Limits
from orchestrator.testbed.protocol import Boost, Testbed, patience
from orchestrator.testbed.remote import AgentFailure, together

# Each is for real processors, and longer on a testbed that needs patience.
HANDSHAKE_TIMEOUT_S = 10.0
HANDSHAKE_S = 0.05  # and so much more for each tunnel
SERVERS_TIMEOUT_S = 15.0
GRACE_S = 10.0  # beyond warm-up and duration, for iperf3 to connect and to exchange results
_START_IN_S = 0.2  # how far ahead several hosts agree on a time to start at, beside the time that asking them takes


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
    ends, placement = layout.ends(trial.topology), placement_of(testbed)
    baseline = trial.levels.variant == NO_VARIANT
    seconds = traffic.warm_up_s + traffic.duration_s
    slowness = patience(testbed)
    grace_s = GRACE_S * slowness
    hosts = placement.hosts_of(layout.roles(trial.topology))
    sender, receiver = placement.host_of(ends.sender), placement.host_of(ends.receiver)
    try:
        if baseline:
            plain = {role: layout.plain_routes(trial.topology, role, tunnels) for role in GATEWAYS}
            together(testbed.agents, "routes", {h: {"roles": roles} for h, roles in placement.split(plain).items()})
        else:
            assert variant is not None
            outcome.variant_build = load_variant(testbed, variant)
            phases.done("variant")
            make_tunnels(testbed, trial.topology, tunnels, variant)
        phases.done("tunnels")
        shake_hands(testbed, trial.topology, tunnels)
        phases.done("handshakes")
        servers = iperf3.servers(ends.receiver, tunnels)
        serving = {
            host: {"servers": servers if host == receiver else [], "patience_s": SERVERS_TIMEOUT_S * slowness}
            for host in hosts
        }
        together(testbed.agents, "serve", serving)
        phases.done("servers")
        on_traffic()
        skews_s = {host: testbed.agents[host].clock_skew_s() for host in hosts} if len(hosts) > 1 else {}
        with testbed.boost(seconds + grace_s + 5) as boost:
            clients = iperf3.clients(ends.sender, tunnels, traffic.streams, traffic.warm_up_s, traffic.duration_s)
            start_at = time.time() + _START_IN_S * slowness if len(hosts) > 1 else None
            measuring = {
                host: {
                    "clients": clients if host == sender else [],
                    "start_at": None if start_at is None else start_at + skews_s[host],
                    "warm_up_s": traffic.warm_up_s,
                    "duration_s": traffic.duration_s,
                    "patience_s": seconds + grace_s,
                    "sample_roles": [r for r in layout.roles(trial.topology) if placement.host_of(r) == host],
                }
                for host in hosts
            }
            measured = together(testbed.agents, "measure", measuring, timeout_s=seconds + GRACE_S + 15)
        if len(hosts) == 1:
            skews_s = {hosts[0]: measured[hosts[0]]["clock_s"] - time.time()}
        outcome.boost = boost.value
        phases.done("traffic")
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
        ages: dict[str, Any] = {}
        if not baseline:
            told = _of_gateways(testbed, "handshake_times")
            ages = {role: devices for answer in told.values() for role, devices in answer["ages_s"].items()}
        logs = together(testbed.agents, "kernel_log", {host: {"most": 5} for host in hosts})
        complaints = [line for log in logs.values() for line in log["complaints"]]
        outcome.crypto = None if baseline else logs[placement.host_of(GATEWAYS[0])]["crypto"]
        traffic_s = max(answer["traffic_s"] for answer in measured.values())
        _evaluate(outcome, trial, conditions, processes, traffic_s, ages, ends.receiver, complaints)
    except (AgentFailure, iperf3.BadReport):
        raise
    except (KeyboardInterrupt, TestbedError):
        outcome.host_lost = True  # the conversation broke off: nothing more can be asked of this host
        raise
    finally:
        _clean_up(testbed, trial, outcome, baseline)
        phases.done("clean-up")


def load_variant(testbed: Testbed, variant: Variant) -> str:
    """Have the variant's module in the kernels of both gateways; returns its build id, or both."""
    wanted = {}
    for host in placement_of(testbed).hosts_of(GATEWAYS):
        module = testbed.module(variant.build, host)
        wanted[host] = {"module": module.path, "build_id": module.build_id, "parameters": variant.settings}
    loaded = together(testbed.agents, "variant", wanted)
    return ", ".join(sorted({answer["build_id"] for answer in loaded.values()}))


def make_tunnels(testbed: Testbed, topology: str, tunnels: int, variant: Variant) -> None:
    """Make and configure so many tunnels between the gateways, whose kernels have the variant's module."""
    placement = placement_of(testbed)
    patience_s = 30 + 0.2 * tunnels
    devices = placement.split(layout.tunnel_devices(tunnels))
    made = together(testbed.agents, "tunnels", {h: {"gateways": part} for h, part in devices.items()}, patience_s)
    keys = {role: public for answer in made.values() for role, public in answer["public_keys"].items()}
    pinned = {role: testbed.cpus[placement.host_of(role)] for role in GATEWAYS} if variant.pinned else None
    peers = layout.tunnel_peers(topology, keys, variant.threaded, variant.settings, pinned)
    wanted = {host: {"gateways": part} for host, part in placement.split(peers).items()}
    together(testbed.agents, "peers", wanted, patience_s)


def shake_hands(testbed: Testbed, topology: str, tunnels: int) -> None:
    """See that a datagram crosses every path both ways, which completes its tunnel's handshake."""
    ends = layout.ends(topology)
    paths = [[layout.sender_address(i), layout.receiver_address(i)] for i in range(1, tunnels + 1)]
    patience_s = (HANDSHAKE_TIMEOUT_S + HANDSHAKE_S * tunnels) * patience(testbed)
    agent = testbed.agents[placement_of(testbed).host_of(ends.sender)]
    agent.request("handshakes", timeout_s=patience_s + 20, role=ends.sender, paths=paths, patience_s=patience_s)


def _of_gateways(testbed: Testbed, operation: str, timeout_s: float = 30) -> dict[str, dict[str, Any]]:
    """An operation that takes roles, of the gateways on their hosts; the answers by host."""
    roles = placement_of(testbed).split(dict.fromkeys(GATEWAYS))
    wanted = {host: {"roles": list(here)} for host, here in roles.items()}
    return together(testbed.agents, operation, wanted, timeout_s)


def _farthest(skews_s: Mapping[str, float]) -> float:
    return max(skews_s.values(), key=lambda skew: abs(skew))


def _evaluate(
    outcome: Outcome,
    trial: Trial,
    conditions: Conditions,
    processes: Mapping[str, Any],
    traffic_s: float,
    ages: dict[str, Any],
    receiver: str,
    log: list[str],
) -> None:
    """Turn what the agent returned into measurements and a verdict."""
    tunnels, traffic = trial.levels.tunnels, trial.traffic
    streams = [iperf3.read_stream(i, processes) for i in range(1, tunnels + 1)]
    known = [age for devices in ages.values() for age in devices.values() if age is not None]
    never = [f"{role}/{name}" for role, devices in ages.items() for name, age in devices.items() if age is None]
    if never:
        raise AgentFailure(f"No handshake is recorded on {', '.join(never)}, though traffic passed.")
    # Ages are in whole seconds; one younger than the traffic was made during it.
    rekeyed = [
        f"{role}/{name}"
        for role, devices in ages.items()
        for name, age in devices.items()
        if age is not None and age < traffic_s - 1.0
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
    devices = counted[GATEWAYS[1]]
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
        _of_gateways(testbed, "remove_tunnels", 30 + 0.1 * trial.levels.tunnels)
    except TestbedError as error:
        outcome.host_lost = True
        outcome.reasons.append(f"the tunnels could not be removed: {error}")
        if outcome.status == "ok":
            outcome.status = "invalid"
