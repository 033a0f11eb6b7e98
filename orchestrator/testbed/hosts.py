# SPDX-License-Identifier: Apache-2.0
"""The hosts of an opened testbed: an agent on each, the lease, and the settings that apply while a run uses them."""

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from orchestrator.agent.host_messages import BusyRequest, LeaseRequest, LeaveRequest, ReadSettingsRequest
from orchestrator.agent.survey_messages import HelloAnswer, HelloRequest
from orchestrator.errors import TestbedError
from orchestrator.progress import Progress
from orchestrator.spec import Host, Testbed
from orchestrator.testbed.lease import holder_now
from orchestrator.testbed.login import Login
from orchestrator.testbed.quiet import wait_until_below
from orchestrator.testbed.remote import Agent, AgentFailure
from orchestrator.testbed.settings import SettingsJournal, apply, put_back

# The same for every variant: the kernel's default limits are sized for a host with many connections, not for a test.
BASE_SETTINGS = {"net.core.rmem_max": "16777216", "net.core.wmem_max": "16777216"}


def label_of(hosts: Sequence[Host], what: str = "machine") -> str:
    """Return the placement of the roles for figures, such as "one machine, all four roles"."""
    numbers = {1: "one", 2: "two", 3: "three", 4: "four"}
    if len(hosts) == 1:
        roles = len(hosts[0].roles)
        return f"one {what}, all {numbers.get(roles, str(roles))} roles"
    placed = "; ".join(f"{host.name}: {', '.join(host.roles)}" for host in hosts)
    return f"{numbers.get(len(hosts), str(len(hosts)))} {what}s, {placed}"


def leave(agent: Agent, name: str, *, leftovers: bool = False) -> tuple[list[str], list[str]]:
    """Have an agent release its host, except for the settings. Return sentences on what was done and what could not be
    done.

    ``leftovers``: also clean up after an agent that was killed. Raises TestbedError if the host does not answer.
    """
    try:
        answer = agent.request(LeaveRequest(leftovers), timeout_s=60)
    except AgentFailure as error:  # the settings can still be restored
        return [], [str(error)]
    return [f"{name}: {what}." for what in answer["done"]], [f"{name}: {what}" for what in answer["left"]]


class Hosts:
    """The agents by host name. ``journal`` records the settings that must be restored."""

    def __init__(self, hosts: Sequence[Host], journal: SettingsJournal) -> None:
        self.agents: dict[str, Agent] = {}
        self.journal = journal
        self._hosts = {host.name: host for host in hosts}
        self.roles = [(host.name, list(host.roles)) for host in hosts]
        self._varied: dict[tuple[str, str], dict[str, str]] = {}  # {(host, boot id): {setting: value before}}

    def start_agent(self, name: str, login: Login, patience: float = 1.0) -> HelloAnswer:
        """Start the agent of a host, which takes the host for this run, and return what it reports about the host.

        ``patience`` multiplies its time-outs, as for Agent. Raises TestbedError, also if another run has the host.
        """
        agent = Agent(login, patience)
        self.agents[name] = agent
        found = agent.request(HelloRequest())
        holder = agent.request(LeaseRequest(holder_now()))["taken_by"]
        if holder is not None:
            raise TestbedError(f"{name} is in use: {holder}.")
        return found

    def apply_settings(
        self, name: str, more: Mapping[str, str] | None = None, may_refuse: Collection[str] = ()
    ) -> dict[str, Any]:
        """Apply the settings of the host's file and ``more``. Return, for the record, the settings, their previous
        values, and the settings in ``may_refuse`` that the host refused."""
        wanted = {**BASE_SETTINGS, **self._hosts[name].settings, **(more or {})}
        done = apply(self.agents[name], name, wanted, self.journal, may_refuse)
        taken = {setting: value for setting, value in wanted.items() if setting not in done.refused}
        return {"settings": taken, "settings_before": done.before, "settings_refused": done.refused}

    def vary(self, name: str, settings: Mapping[str, str]) -> dict[str, str]:
        """Apply the settings that a block asks for and return them; restore those that only an earlier block asked for.

        All are restored at the end. Raises TestbedError if the host refuses.
        """
        agent = self.agents[name]
        boot_id = agent.request(ReadSettingsRequest())["boot_id"]
        before = self._varied.get((name, boot_id), {})
        back = {setting: value for setting, value in before.items() if setting not in settings}
        done = apply(agent, name, {**back, **settings}, self.journal)
        self._varied[name, boot_id] = {setting: before.get(setting, done.before[setting]) for setting in settings}
        return dict(settings)

    def wait_until_quiet(self, share: float, most_s: float) -> bool:
        """Wait at most ``most_s`` seconds until the busiest host uses less than ``share`` of a core. Return whether it
        does."""

        def busiest() -> float:
            return max(agent.request(BusyRequest(0.5))["cores"] for agent in self.agents.values())

        return wait_until_below(busiest, share, most_s)

    def stop_agents(self) -> None:
        """Close the connections to the agents, which then end everything they started."""
        for agent in self.agents.values():
            agent.close()
        self.agents.clear()

    def give_back(self) -> list[str]:
        """Return the hosts to their previous state, as far as they answer. Return sentences on what could not be
        done."""
        problems = []
        for name, agent in self.agents.items():
            try:
                problems += [f"{sentence} `orch restore` tries it again." for sentence in leave(agent, name)[1]]
                said = put_back(agent, name, self.journal)
                problems += [sentence for sentence in said if "still to do" in sentence]
            except TestbedError as error:
                problems.append(f"{name} could not be given back: {error} `orch restore` does it later.")
        with contextlib.suppress(TestbedError):
            self.stop_agents()
        return problems


class TestbedOnHosts:
    """Base of opened testbeds: it has their name, their lease while they are used, and their hosts with agents.

    ``what``: what a host is called in figures; ``wait``: wait for another run that uses the testbed.
    """

    def __init__(self, testbed: Testbed, what: str, progress: Progress, *, wait: bool) -> None:
        self.name = testbed.testbed
        self.label = label_of(testbed.hosts, what)
        self._progress = progress
        self._wait = wait
        self._lease = contextlib.ExitStack()
        self._hosts = Hosts(testbed.hosts, SettingsJournal(self.name))

    @property
    def hosts(self) -> Sequence[tuple[str, Sequence[str]]]:
        return self._hosts.roles

    @property
    def agents(self) -> Mapping[str, Agent]:
        return self._hosts.agents

    def vary(self, host: str, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Apply the settings that a block asks for to a host."""
        return self._hosts.vary(host, settings)

    def interrupt(self) -> None:
        for agent in list(self._hosts.agents.values()):
            agent.close()
