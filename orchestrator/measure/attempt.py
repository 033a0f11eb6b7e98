# SPDX-License-Identifier: Apache-2.0
"""The state of one attempt: the testbed with its roles, the trial, and the outcome as it grows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.agent.host_messages import ClockRequest, PauseRequest
from orchestrator.kernel.variants import Variant
from orchestrator.measure import layout
from orchestrator.measure.judge import Evidence, Verdict, judge
from orchestrator.measure.roles import placement_of
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.spec import GATEWAYS, Limits, Probe
from orchestrator.spec.links import shape_of
from orchestrator.systems import System, system_of
from orchestrator.testbed.protocol import ComputerUse, OpenTestbed, own_cpus, patience, slowness
from orchestrator.testbed.remote import Agent


@dataclass
class Outcome:
    """The result of one attempt.

    ``status``: ok, failed or invalid; ``reasons``: a sentence each; ``raw``: file -> text. ``broken``: the names of the
    limits that made it invalid; ``marks``: a sentence for each limit that only marks it. ``crypto``: the code that
    encrypted, as the kernel names it. ``host_lost``: the host no longer answers, so nothing more can be measured before
    it is prepared again. ``traffic_s``: how long loads were offered, if the spec does not say. ``interface_bytes``:
    {role: {device: bytes}} received from before the traffic to its very end, which is not stored.
    """

    status: str = "failed"
    reasons: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    marks: list[str] = field(default_factory=list)
    measurements: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, Any] = field(default_factory=dict)
    variant_build: str | None = None
    crypto: str | None = None
    computer_use: ComputerUse = field(default_factory=lambda: ComputerUse(False, {}))
    raw: dict[str, str] = field(default_factory=dict)
    host_lost: bool = False
    traffic_s: float | None = None
    interface_bytes: dict[str, dict[str, int]] = field(default_factory=dict)

    def take(self, verdict: Verdict) -> None:
        """Set the status to ok or invalid, by a verdict."""
        self.reasons += verdict.broken
        self.broken, self.marks = verdict.names, [*self.marks, *verdict.marks]
        self.status = "invalid" if self.reasons else "ok"


@dataclass(frozen=True)
class Conditions:
    """The limits and references for judging an attempt, and what the spec brings for it.

    ``baseline``: what its block carried without a tunnel, if that was measured, in the unit of the tool. ``control``:
    in virtual time, the result of the block's control (`orchestrator.measure.control`). ``load_marks``: competing load
    marks the attempt instead of making it invalid. ``files``: files of the spec for the hosts, by path.
    ``sample_every_s``: interval at which memory and drops of the hosts are read during the traffic; None: never.
    ``probes``: the spec's own, by name.
    """

    limits: Limits = field(default_factory=Limits)
    baseline: float | None = None
    control: Mapping[str, Any] | None = None
    load_marks: bool = False
    files: Mapping[str, bytes] = field(default_factory=dict)
    sample_every_s: float | None = None
    probes: Mapping[str, Probe] = field(default_factory=dict)


class Phases:
    """The duration of each phase of an attempt, in seconds."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


@dataclass(frozen=True)
class Attempt:
    """One attempt in progress.

    ``on_traffic`` is called just before its traffic begins, ``on_bounds`` with a text when a search has narrowed its
    bounds. ``variant``: the variant of its tunnels, if it has any.
    """

    testbed: OpenTestbed
    trial: Trial
    conditions: Conditions
    outcome: Outcome
    phases: Phases
    on_traffic: Callable[[], None]
    on_bounds: Callable[[str], None] = lambda text: None
    variant: Variant | None = None

    @property
    def baseline(self) -> bool:
        """True if there is no tunnel."""
        return self.trial.levels.variant == NO_VARIANT

    @property
    def generator_carries(self) -> float | None:
        """The block's throughput without a tunnel; a cell that carries as much is limited by the generator.

        None for traffic without tunnels, and over a shaped link, which limits both.
        """
        return None if not self.tunnelled or shape_of(self.trial.levels) else self.conditions.baseline

    def judged(self, evidence: Evidence) -> Verdict:
        """Return the verdict on evidence under the attempt's conditions."""
        conditions = self.conditions
        return judge(evidence, conditions.limits, load_marks=conditions.load_marks, emulated=self.testbed.emulated)

    @cached_property
    def net(self) -> layout.Net:
        """The addresses and routes of the trial."""
        return layout.net_of(self.trial, self.system.devices)

    @cached_property
    def system(self) -> System:
        """The system of its tunnels; plain forwarding for a baseline."""
        return system_of(None if self.baseline else self.variant)

    @property
    def tunnelled(self) -> bool:
        """True if the traffic goes through tunnel devices."""
        return bool(self.system.devices)

    @property
    def rekeys(self) -> bool:
        """True if the tunnels renew their keys after some time; False without tunnels."""
        return self.system.rekeys

    def unused_tunnels(self) -> list[int]:
        """Return the tunnels that carried no packet to the far gateway in the sampled window; empty without tunnels."""
        if not self.tunnelled:
            return []
        # A shared device counts for all its tunnels, but the near gateway counts what it sent into each.
        gateway, counter = (GATEWAYS[0], "tx_packets") if self.net.shared else (GATEWAYS[1], "rx_packets")
        counted = self.outcome.probes["interfaces"].get(gateway, {})
        numbers = range(1, self.trial.levels.tunnels + 1)
        return [tunnel for tunnel in numbers if not counted.get(self.net.device(tunnel, gateway), {}).get(counter)]

    def addresses(self, tunnel: int) -> tuple[str, str]:
        """Return the addresses inside a tunnel, at the sending and at the receiving end."""
        version = self.trial.traffic.version
        return layout.sender_address(tunnel, version), layout.receiver_address(tunnel, version)

    @cached_property
    def ends(self) -> layout.Ends:
        """The roles between which the traffic goes."""
        return layout.ends(self.trial.topology)

    @cached_property
    def roles(self) -> Sequence[str]:
        """The roles on the path, from the sender to the receiver."""
        return layout.roles(self.trial.topology)

    @cached_property
    def placement(self) -> layout.Placement:
        """The hosts of the roles."""
        return placement_of(self.testbed)

    @cached_property
    def hosts(self) -> Sequence[str]:
        """The hosts that have a role."""
        return self.placement.hosts_of(self.roles)

    @cached_property
    def cpu_owners(self) -> Mapping[int, str]:
        """The role of each CPU if roles on one machine have their own CPUs; else empty."""
        cpus = self.testbed.cpus if own_cpus(self.testbed) else {}
        return {cpu: role for role, mine in cpus.items() for cpu in mine}

    @cached_property
    def slowness(self) -> float:
        """The factor by which operations may take longer here than on real processors, by the hosts' clock."""
        return slowness(self.testbed)

    @cached_property
    def patience(self) -> float:
        """The factor by which operations may take longer here than on real processors, by the controller's clock."""
        return patience(self.testbed)

    def clock_s(self) -> float:
        """Return the seconds of the traffic's clock: the controller's, or in virtual time that of the sender's host.

        Raises TestbedError if that host does not answer.
        """
        if self.testbed.virtual is None:
            return time.monotonic()
        return float(self._sender.request(ClockRequest())["monotonic_s"])

    def sleep(self, seconds: float) -> None:
        """Wait for ``seconds`` of the traffic's clock. Raises TestbedError if the host does not answer."""
        if self.testbed.virtual is None:
            time.sleep(seconds)
        else:
            self._sender.request(PauseRequest(seconds), timeout_s=30 + seconds)

    @property
    def _sender(self) -> Agent:
        return self.testbed.agents[self.placement.host_of(self.ends.sender)]
