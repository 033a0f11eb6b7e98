# SPDX-License-Identifier: Apache-2.0
"""The work that a run does on a testbed: pieces that can be sent to where the testbed is used, and their results."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from orchestrator.agent.host_messages import ControlRequest, RoleSettingsRequest
from orchestrator.errors import TestbedError
from orchestrator.kernel.variants import Variant
from orchestrator.measure import control
from orchestrator.measure.attempt import Conditions, Outcome
from orchestrator.measure.layout import Net
from orchestrator.measure.roles import ask_roles, make_links, see_neighbours
from orchestrator.measure.run_attempt import run_attempt
from orchestrator.plan import Trial
from orchestrator.spec import GATEWAYS, REAL_CLOCK, VETH, VIRTUAL_CLOCK, Clock, LinkKind
from orchestrator.testbed.computer import describe
from orchestrator.testbed.protocol import OpenTestbed, State, own_cpus
from orchestrator.testbed.virtual import VirtualTime

Tell = Callable[[str], None]  # "": a trial's traffic is about to begin; else the bounds so far, between two loads


@dataclass(frozen=True)
class Opened:
    """The description of a testbed that a run uses.

    ``builds``: for each build of the module, its build ids on the gateways, of which there are several if their kernels
    differ. ``computer``: describes the computer from which the testbed is used. ``virtual``: its virtual time, None in
    real time; ``links``: how packets get to the CPUs of the roles that share a machine.
    """

    name: str
    provider: str
    label: str
    emulated: bool
    hosts: tuple[tuple[str, tuple[str, ...]], ...]
    builds: Mapping[str, str]
    environment: Mapping[str, Any]
    computer: Mapping[str, Any]
    virtual: VirtualTime | None = None
    links: LinkKind = VETH

    @property
    def clock(self) -> Clock:
        """The clock that times its trials."""
        return REAL_CLOCK if self.virtual is None else VIRTUAL_CLOCK

    @property
    def clock_json(self) -> dict[str, Any]:
        """The fields of run.json on the clock, on which CPUs belong to which role, and on the links."""
        if self.virtual is None:
            return {"clock": self.clock, **({"links": self.links} if self.links != VETH else {})}
        return {"clock": self.clock, **self.virtual.to_json(), "links": self.links}


@dataclass(frozen=True)
class Describe:
    """Describe the testbed, with these builds of the module. The result is Opened."""

    builds: tuple[str, ...]

    def carry_out(self, testbed: OpenTestbed, tell: Tell) -> Opened:
        gateways = [host for host, roles in testbed.hosts if set(roles) & set(GATEWAYS)]
        found = {
            build: ", ".join(sorted({testbed.module(build, host).build_id for host in gateways}))
            for build in self.builds
        }
        hosts = tuple((name, tuple(roles)) for name, roles in testbed.hosts)
        about = (testbed.name, testbed.provider, testbed.label, testbed.emulated)
        return Opened(*about, hosts, found, dict(testbed.environment()), describe(), testbed.virtual, testbed.links)


@dataclass(frozen=True)
class Prepare:
    """Bring the hosts into a block's state, and set up its roles and links. The result is the hosts' states, read back.

    In virtual time each state has ``control``: the result of `orchestrator.measure.control.evaluate` for the control
    that begins a block; it runs on the CPUs of gateway-a if roles have CPUs of their own.
    """

    cores: int
    net: Net
    tunnels: int
    own_boot: int | None = None  # see State
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # {role: {setting: value}}

    def carry_out(self, testbed: OpenTestbed, tell: Tell) -> Mapping[str, Any]:
        facts = testbed.prepare(State(self.cores, self.own_boot))
        found = dict(facts)
        if testbed.virtual is not None:
            own = list(testbed.cpus[GATEWAYS[0]]) if own_cpus(testbed) else None
            for host, agent in testbed.agents.items():
                cpus = len(own) if own else facts[host]["cpus_usable"]
                phases = control.phases(cpus, testbed.virtual.slots)
                told = agent.request(ControlRequest(control.SECONDS, phases, own))
                found[host] = {**facts[host], "control": control.evaluate(told["rates"])}
        make_links(testbed, self.net, self.tunnels)
        varied = self._set(testbed)
        linked = testbed.linked()
        return {host: {**state, **linked.get(host, {}), **varied.get(host, {})} for host, state in found.items()}

    def _set(self, testbed: OpenTestbed) -> dict[str, dict[str, Any]]:
        """Apply the settings of the roles and return them, read back.

        Settings of a role's network namespace apply there, all others to its host. Roles that share a host share the
        latter.
        """
        if not self.settings:
            return {}
        told = ask_roles(testbed, self.settings, RoleSettingsRequest)
        found = {}
        for host, answer in told.items():
            wanted: dict[str, str] = {}
            for values in answer["others"].values():
                if clash := next((name for name in values if wanted.get(name, values[name]) != values[name]), None):
                    raise TestbedError(
                        f"{clash} is a setting of the whole host {host}, whose roles are to have different values. Use "
                        "settings.all, or hosts of their own."
                    )
                wanted |= values
            found[host] = {"varied": {"roles": answer["set"], "host": testbed.vary(host, wanted) if wanted else {}}}
        if any(name.startswith("nics/") for names in self.settings.values() for name in names):
            see_neighbours(testbed, self.net)  # a NIC may take its link down to change a setting
        return found


@dataclass(frozen=True)
class RunTrial:
    """Attempt a trial once. The result is an Outcome."""

    trial: Trial
    variant: Variant | None
    conditions: Conditions

    def carry_out(self, testbed: OpenTestbed, tell: Tell) -> Outcome:
        return run_attempt(testbed, self.trial, self.variant, partial(tell, ""), self.conditions, tell)


@dataclass(frozen=True)
class WaitUntilQuiet:
    """Wait, at most ``most_s`` seconds, until other load uses less than ``share`` of a core. The result is
    whether it does."""

    share: float
    most_s: float

    def carry_out(self, testbed: OpenTestbed, tell: Tell) -> bool:
        return testbed.wait_until_quiet(self.share, self.most_s)


Work = Describe | Prepare | RunTrial | WaitUntilQuiet
