# SPDX-License-Identifier: Apache-2.0
"""What one attempt has at hand, and what it gives: the testbed with its roles, the trial, the outcome as it grows."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.kernel.variants import Variant
from orchestrator.measure import layout
from orchestrator.measure.judge import Verdict
from orchestrator.measure.roles import placement_of
from orchestrator.plan import NO_VARIANT, Trial
from orchestrator.spec import GATEWAYS, Limits, Probe
from orchestrator.spec.links import shape_of
from orchestrator.systems import System, system_of
from orchestrator.testbed.protocol import ComputerUse, Testbed, own_cpus, patience, slowness
from orchestrator.testbed.remote import Agent


@dataclass
class Outcome:
    """What one attempt gave. ``status``: ok, failed or invalid; ``reasons``: a sentence each; ``raw``: file -> text.

    ``broken``: the limits, by name, that made it invalid; ``marks``: a sentence on each that only marks it.
    ``crypto``: which code encrypted, in the kernel's words. ``host_lost``: the host no longer answers, so nothing more
    can be measured before it is prepared again. ``traffic_s``: how long loads were offered, where the spec does not
    say.
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

    def take(self, verdict: Verdict) -> None:
        """Be ok or invalid, by a verdict."""
        self.reasons += verdict.broken
        self.broken, self.marks = verdict.names, [*self.marks, *verdict.marks]
        self.status = "invalid" if self.reasons else "ok"


@dataclass(frozen=True)
class Conditions:
    """What an attempt is held against. ``baseline``: what its block carried without a tunnel, where that was measured,
    in the unit of the tool. ``control``: in virtual time, what the block's control gave
    (`orchestrator.measure.control`).
    ``load_marks``: competing load marks the attempt and does not make it invalid. ``files``: what the spec brings for
    the hosts, by path. ``sample_every_s``: how often hosts' memory and drops are read during the traffic; None: never.
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
    """Seconds that each phase of an attempt took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def done(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name] = round(now - self._last, 4)
        self._last = now


@dataclass(frozen=True)
class Attempt:
    """One attempt on its way. ``on_traffic`` is called when its traffic is about to begin, ``on_bounds`` with a text
    when a search knows more. ``variant``: of its tunnels, where it has any."""

    testbed: Testbed
    trial: Trial
    conditions: Conditions
    outcome: Outcome
    phases: Phases
    on_traffic: Callable[[], None]
    on_bounds: Callable[[str], None] = lambda text: None
    variant: Variant | None = None

    @property
    def baseline(self) -> bool:
        """Whether there is no tunnel."""
        return self.trial.levels.variant == NO_VARIANT

    @property
    def generator_carries(self) -> float | None:
        """What the block carried without a tunnel, where a cell that carries as much is limited by the generator.

        None of what has no tunnel itself, and over a link that is shaped, which limits both."""
        return None if not self.tunnelled or shape_of(self.trial.levels) else self.conditions.baseline

    @cached_property
    def net(self) -> layout.Net:
        """The addresses and routes of the trial."""
        return layout.net_of(self.trial, self.system.devices)

    @cached_property
    def system(self) -> System:
        """What makes the tunnels; of a baseline, plain forwarding."""
        return system_of(None if self.baseline else self.variant)

    @property
    def tunnelled(self) -> bool:
        """Whether the traffic goes through devices of tunnels."""
        return bool(self.system.devices)

    @property
    def rekeys(self) -> bool:
        """Whether the tunnels get new keys after some time; False without tunnels."""
        return self.system.rekeys

    def unused_tunnels(self) -> list[int]:
        """The tunnels through which nothing came to the far gateway while it was sampled; none where there are none."""
        if not self.tunnelled:
            return []
        # A device that tunnels share counts for all of them; what the near gateway sent into each is known.
        gateway, counter = (GATEWAYS[0], "tx_packets") if self.net.shared else (GATEWAYS[1], "rx_packets")
        counted = self.outcome.probes["interfaces"].get(gateway, {})
        numbers = range(1, self.trial.levels.tunnels + 1)
        return [tunnel for tunnel in numbers if not counted.get(self.net.device(tunnel, gateway), {}).get(counter)]

    def addresses(self, tunnel: int) -> tuple[str, str]:
        """The addresses inside a tunnel, at the sending and at the receiving end."""
        version = self.trial.traffic.version
        return layout.sender_address(tunnel, version), layout.receiver_address(tunnel, version)

    @cached_property
    def ends(self) -> layout.Ends:
        """The roles between which the traffic goes."""
        return layout.ends(self.trial.topology)

    @cached_property
    def roles(self) -> Sequence[str]:
        """The roles on the way, from the sender to the receiver."""
        return layout.roles(self.trial.topology)

    @cached_property
    def placement(self) -> layout.Placement:
        """Where the roles are."""
        return placement_of(self.testbed)

    @cached_property
    def hosts(self) -> Sequence[str]:
        """The hosts that have a role."""
        return self.placement.hosts_of(self.roles)

    @cached_property
    def cpu_owners(self) -> Mapping[int, str]:
        """The role of each CPU, where roles on one machine have CPUs of their own; else empty."""
        cpus = self.testbed.cpus if own_cpus(self.testbed) else {}
        return {cpu: role for role, mine in cpus.items() for cpu in mine}

    @cached_property
    def slowness(self) -> float:
        """How many times longer than on real processors something may take here, by the hosts' clock."""
        return slowness(self.testbed)

    @cached_property
    def patience(self) -> float:
        """The same by the controller's clock."""
        return patience(self.testbed)

    def clock_s(self) -> float:
        """Seconds of a clock that runs as the traffic's does: the controller's, or in virtual time that of the sender's
        host. Raises TestbedError where that host does not answer."""
        if self.testbed.virtual is None:
            return time.monotonic()
        return float(self._sender.request("clock")["monotonic_s"])

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of that clock. Raises TestbedError where the host does not answer."""
        if self.testbed.virtual is None:
            time.sleep(seconds)
        else:
            self._sender.request("pause", timeout_s=30 + seconds, seconds=seconds)

    @property
    def _sender(self) -> Agent:
        return self.testbed.agents[self.placement.host_of(self.ends.sender)]
