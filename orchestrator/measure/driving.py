# SPDX-License-Identifier: Apache-2.0
"""Running servers and clients on the hosts for a fixed time, with sampling around them."""

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.agent.traffic_messages import HoldRequest, MeasureRequest, RoundTrips, ServeRequest
from orchestrator.measure import attached, polls, probes
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.layout import HUB, SHARED
from orchestrator.measure.roaming import moves_of, roaming_of
from orchestrator.measure.tunnels import keep_young
from orchestrator.plan import PROFILE
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.remote import request_all

if TYPE_CHECKING:
    from orchestrator.tools.protocol import Jobs

# For real processors; slow hosts get more.
SERVERS_TIMEOUT_S = 15.0
GRACE_S = 10.0  # beyond warm-up and duration, for clients to connect and to exchange results
PROCESS_S = 0.05  # the same for each process: a thousand clients and servers on a few cores take a minute or two
READING_S = 15.0  # beyond that, for a host to read what it measured
READING_POLLS_S = 60.0  # the same with a trace of polls, over a million lines
_START_IN_S = 0.2  # how far ahead the common start of several hosts is, in addition to the time to ask them

Processes = Mapping[str, Mapping[str, Any]]  # from the agent's `measure`, by process name


@dataclass(frozen=True, slots=True)
class Driven:
    """The result of running the processes.

    ``processes``: what each printed; ``traffic_s``: how long the traffic took; ``began_at``: the end of each host's
    warm-up, by its own clock; ``echoes``: the agent's `Echoes.result`, None if no echo requests were sent.
    """

    processes: Processes
    traffic_s: float
    began_at: Mapping[str, float]
    echoes: RoundTrips | None = None


def drive(attempt: Attempt, jobs: "Jobs") -> Driven:
    """Run a tool's servers at the receiving end and its clients at the sending end.

    The outcome gets the probes and what the processes printed. Raises TestbedError if a host does not answer.
    """
    testbed, outcome, hosts, placement = attempt.testbed, attempt.outcome, attempt.hosts, attempt.placement
    sender, receiver = placement.host_of(attempt.ends.sender), placement.host_of(attempt.ends.receiver)
    seconds = jobs.warm_up_s + jobs.duration_s
    grace_s = (GRACE_S if jobs.grace_s is None else jobs.grace_s) + 2 * PROCESS_S * len(jobs.servers)
    sent = {name: base64.b64encode(content).decode() for name, content in (jobs.files or {}).items()}
    listen_s = SERVERS_TIMEOUT_S * attempt.slowness
    serving = {host: ServeRequest(jobs.servers if host == receiver else [], listen_s, sent) for host in hosts}
    request_all(testbed.agents, serving)
    attempt.phases.done("servers")
    keep_young(attempt)
    attempt.on_traffic()
    skews_s = {host: testbed.agents[host].clock_skew_s() for host in hosts} if len(hosts) > 1 else {}
    patience_s = seconds + grace_s * attempt.slowness
    with testbed.prioritized(patience_s + 5) as computer_use:
        testbed.agents[sender].request(HoldRequest(jobs.clients()))
        beside = attached.requests(attempt) if jobs.measured else {}
        start_at = time.time() + _START_IN_S * attempt.slowness if len(hosts) > 1 else None
        roaming = roaming_of(attempt)
        measuring = {
            host: MeasureRequest(
                start_at=None if start_at is None else start_at + skews_s[host],
                warm_up_s=jobs.warm_up_s,
                duration_s=jobs.duration_s,
                patience_s=patience_s,
                trace_polls=attempt.trial.kind == "trace",
                profile=attempt.trial.kind == PROFILE,
                echoes=jobs.echoes if host == sender else None,
                sample_roles=[role for role in attempt.roles if placement.host_of(role) == host],
                sample_every_s=attempt.conditions.sample_every_s,
                attached=beside.get(host),
                roaming=roaming if placement.host_of(GATEWAYS[0]) == host else None,
            )
            for host in hosts
        }
        reading_s = READING_POLLS_S if attempt.trial.kind == "trace" else READING_S
        measured = request_all(testbed.agents, measuring, timeout_s=seconds + grace_s + reading_s)
    if len(hosts) == 1:
        skews_s = {hosts[0]: measured[hosts[0]]["clock_s"] - time.time()}
    outcome.computer_use = computer_use.value
    attempt.phases.done("traffic")
    processes = {name: process for answer in measured.values() for name, process in answer["processes"].items()}
    printed = attached.taken_out(processes)
    for name, process in processes.items():
        outcome.raw[f"{name}{jobs.suffix}"] = process["out"]
        if process["err"]:
            outcome.raw[f"{name}.err"] = process["err"]
    outcome.probes = {
        **probes.of_hosts(measured, jobs.duration_s, attempt.cpu_owners),
        **attached.of_hosts(attempt, measured, printed),
        "computer": computer_use.value.computer,
        "clock_skew_s": round(_farthest(skews_s), 3),
    }
    outcome.interface_bytes = probes.received(measured)
    if attempt.trial.kind == "trace":
        shared = {attempt.net.device(SHARED, HUB): attempt.trial.levels.tunnels} if attempt.net.shared else {}
        found = polls.of_hosts(measured, outcome.probes["interfaces"], placement, shared)
        outcome.raw["polls.json"] = json.dumps(found)
    if attempt.trial.kind == PROFILE:
        outcome.raw["profile.json"] = json.dumps({host: answer["profile"] for host, answer in measured.items()})
    if roaming is not None:
        outcome.measurements["roams"] = moves_of(measured[placement.host_of(GATEWAYS[0])])
    traffic_s = max(answer["traffic_s"] for answer in measured.values())
    began_at = {host: answer["started_at"] + jobs.warm_up_s for host, answer in measured.items()}
    return Driven(processes, traffic_s, began_at, measured[sender]["echoes"])


def _farthest(skews_s: Mapping[str, float]) -> float:
    return max(skews_s.values(), key=lambda skew: abs(skew))
