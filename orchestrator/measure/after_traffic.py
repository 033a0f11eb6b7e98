# SPDX-License-Identifier: Apache-2.0
"""Questions to the hosts after a trial's traffic: handshakes, the kernel's log, and the code that encrypted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.agent.host_messages import KernelLogRequest
from orchestrator.measure import shares
from orchestrator.measure.alike import named
from orchestrator.measure.attempt import Attempt
from orchestrator.measure.roaming import left_behind
from orchestrator.measure.tunnels import Peers, peers_now
from orchestrator.spec import GATEWAYS
from orchestrator.testbed.remote import AgentFailure, request_all


@dataclass(frozen=True, slots=True)
class AfterTraffic:
    """The hosts' reports after the traffic.

    ``handshake_age_s``: of the oldest handshake, None without tunnels; ``rekeyed``: ROLE/DEVICE of tunnels with a
    handshake during the traffic; ``rekeys``: the last handshake of each of these, [{"gateway", "device", "at_s"}], in
    seconds after the warm-up; ``complaints``: lines about problems in the kernels' logs since the attempt began,
    prefixed with the host's name if there are several hosts; ``received_bytes``, ``sent_bytes``: of each tunnel, as in
    `Peers`.
    """

    handshake_age_s: float | None
    rekeyed: Sequence[str]
    complaints: Sequence[str]
    rekeys: Sequence[Mapping[str, Any]] = ()
    received_bytes: Mapping[int, int] = field(default_factory=dict)
    sent_bytes: Mapping[int, int] = field(default_factory=dict)

    @property
    def stored_age_s(self) -> float | None:
        """The age of the oldest handshake in seconds, as an attempt stores it: to a millisecond."""
        return None if self.handshake_age_s is None else round(self.handshake_age_s, 3)

    def carried(self, attempt: Attempt) -> dict[str, list[dict[str, int]]]:
        """Return each tunnel's share of a trial's traffic in bytes and packets; empty without tunnels.

        The form is that of `orchestrator.measure.shares.carried`.
        """
        if not attempt.tunnelled:
            return {}
        counted, tunnels = attempt.outcome.probes["interfaces"], attempt.trial.levels.tunnels
        return shares.carried(counted, tunnels, attempt.net, (self.received_bytes, self.sent_bytes))


def read_after_traffic(attempt: Attempt, traffic_s: float, began_at: Mapping[str, float] | None = None) -> AfterTraffic:
    """Ask the hosts after traffic that took ``traffic_s`` seconds, and store in the outcome which code encrypted.

    ``began_at``: the end of each host's warm-up, by its own clock; without it the rekeys have no time. Raises
    AgentFailure if a tunnel has no handshake although traffic passed, or did not follow its peer to another port.
    """
    peers = peers_now(attempt.testbed) if attempt.rekeys else Peers({}, {})
    ages, asked_at = peers.ages_s, peers.clock_s
    logs = request_all(attempt.testbed.agents, {host: KernelLogRequest(most=5) for host in attempt.hosts})
    told = attempt.system.report(attempt.testbed, attempt.variant, logs)
    attempt.outcome.crypto = told.crypto
    attempt.outcome.measurements.update(told.measurements)
    attempt.outcome.marks += told.marks
    known = [age for devices in ages.values() for age in devices.values() if age is not None]
    never = [f"{role}/{name}" for role, devices in ages.items() for name, age in devices.items() if age is None]
    if behind := left_behind(attempt, peers.ports):
        raise AgentFailure(f"{named(behind)} did not follow {GATEWAYS[0]} to its last port, though traffic passed.")
    if never:
        raise AgentFailure(f"No handshake is recorded on {named(never)}, though traffic passed.")
    # Ages are in whole seconds; a handshake younger than the traffic happened during it.
    inside = [
        (role, name, age)
        for role, devices in ages.items()
        for name, age in devices.items()
        if age is not None and age < traffic_s - 1.0
    ]
    host_of = attempt.placement.host_of
    rekeys = [
        {"gateway": role, "device": name, "at_s": round(asked_at[role] - age - began_at[host_of(role)], 1)}
        for role, name, age in inside
        if began_at is not None
    ]
    of_host = {host: f"{host}: " if len(logs) > 1 else "" for host in logs}
    complaints = [of_host[host] + line for host, log in logs.items() for line in log["complaints"]]
    rekeyed = [f"{role}/{name}" for role, name, _ in inside]
    oldest = max(known) if known else None
    return AfterTraffic(oldest, rekeyed, complaints, rekeys, peers.received_bytes, peers.sent_bytes)
