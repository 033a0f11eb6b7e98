# SPDX-License-Identifier: Apache-2.0
"""Reaching a host, taking it for this run and surveying it. A host that does not answer is waited for, and finally
restarted."""

import contextlib
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from orchestrator.agent.host_messages import BreakLeaseRequest, ClockRequest, LeaseRequest, ReadSettingsRequest
from orchestrator.errors import TestbedError
from orchestrator.progress import Progress
from orchestrator.testbed.lease import has_ended, holder_now
from orchestrator.testbed.login import HostLost, Login, LoginRefused
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.ssh.health import Condition, Health, power_cycle
from orchestrator.testbed.ssh.preflight import holder_text, is_abandoned
from orchestrator.testbed.ssh.route import routes
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.session import HostLogin

Told = TypeVar("Told")

TAKEN_S = 20.0  # how long an agent that lost its controller may take to end
_POLL_S = 2.0


def ask_each(
    testbed: SshTestbed, ask: Callable[[str, Agent], Told], trouble: Callable[[str, TestbedError], Told]
) -> dict[str, Told]:
    """Log in to each host in turn, without taking it, and return what ``ask`` returns for its name and its agent.

    For a host where that raises TestbedError, the result is what ``trouble`` returns for its name and the error. Raises
    UserError if the inventory or OpenSSH rejects a setting.
    """
    told = {}
    for name, route in routes(testbed).items():
        try:
            with contextlib.closing(Agent(HostLogin(route, testbed.file))) as agent:
                told[name] = ask(name, agent)
        except TestbedError as error:
            told[name] = trouble(name, error)
    return told


class Reaching:
    """Starts agents on hosts. ``wait``: whether to wait for a host that another run holds; ``on_wait`` is called with
    the holder.

    ``interrupted``: set it to end every wait for a host.
    """

    def __init__(self, progress: Progress, wait: bool, on_wait: Callable[[str], None]) -> None:
        self.health = Health()
        self.interrupted = False
        self._progress, self._wait, self._on_wait = progress, wait, on_wait

    def agent(
        self, host: SshHost, login: Login, patience_s: float = 0.0, *, restart: bool = False, not_in: str = ""
    ) -> Agent:
        """Return an agent that has taken a host for this run.

        ``patience_s``: how long to wait for a host that does not answer, because it may be restarting; ``restart``:
        whether to restart it with its power command after that and wait once more; ``not_in``: the id of a boot that
        the host is leaving, whose answers and refusals do not count. Raises TestbedError, or HostLost if it stays
        silent.
        """
        name = host.name
        while True:
            try:
                return self._within(host, login, patience_s, not_in)
            except HostLost as error:
                if self.interrupted or not patience_s:
                    raise
                if not restart or host.power is None:
                    raise self._broken(name, str(error)) from error
            restart = False
            self._progress.message(f"{name} is {self.health.of(name)}: it is restarted by `{host.power[0]}`.")
            if trouble := power_cycle(host.power):
                raise self._broken(name, trouble)
            self.health.become(name, Condition.RESTARTED, f"by {host.power[0]}")

    def _within(self, host: SshHost, login: Login, patience_s: float, not_in: str) -> Agent:
        deadline = time.monotonic() + patience_s
        while True:
            try:
                agent = Agent(login)
                try:
                    agent.request(ClockRequest())
                    if not_in and agent.request(ReadSettingsRequest())["boot_id"] == not_in:
                        raise NotRestarted(f"{host.name}: it has not gone down.")
                    self._take(host.name, agent)
                except BaseException:
                    agent.close()
                    raise
                self.health.become(host.name, Condition.WELL, "an agent has it")
                return agent
            except (HostLost, LoginRefused) as error:
                # A host that is shutting down or booting refuses logins.
                final = isinstance(error, LoginRefused) and not not_in
                if final or self.interrupted or time.monotonic() > deadline:
                    raise
                if not isinstance(error, AgentHoldsHost | NotRestarted):
                    self.health.become(host.name, Condition.SSH_SILENT, str(error))
                self._progress.detail(f"waiting until {host.name} is back ({error})")
                time.sleep(_POLL_S)

    def _broken(self, name: str, why: str) -> HostLost:
        self.health.become(name, Condition.BROKEN, why)
        return HostLost(f"{name} is broken, and not in use by anybody: {self.health.told(name)}.")

    def _take(self, name: str, agent: Agent) -> None:
        """Take a host. Raises TestbedError if another run holds it and must not be waited for.

        If its previous agent was ours, or belonged to a run of this computer that has ended, it ends by itself or is
        ended. Another run's agent is waited for, unless its controller has long been silent.
        """
        mine = holder_now()
        began, told = time.monotonic(), False
        while holder := agent.request(LeaseRequest(mine))["taken_by"]:
            waited_s = time.monotonic() - began
            if _same(holder, mine) or has_ended(holder):
                if waited_s > 2 * TAKEN_S:
                    raise AgentHoldsHost(f"{name}: its last agent does not end.")
                if waited_s > TAKEN_S / 2:
                    agent.request(BreakLeaseRequest(hard=waited_s > TAKEN_S))
                time.sleep(0.2)
                continue
            if is_abandoned(holder):
                raise TestbedError(
                    f"{name} only looks as if it were in use {holder_text(holder)}. `orch restore --force` ends that."
                )
            if self.interrupted or not self._wait:
                raise TestbedError(f"{name} is in use {holder_text(holder)}. Wait until it has ended.")
            if not told:
                self._on_wait(f"on {name} {holder_text(holder)}")
                told = True
            time.sleep(_POLL_S)


class AgentHoldsHost(HostLost):
    """The previous agent of a host still holds it and does not end."""


class NotRestarted(HostLost):
    """A host that was asked to restart is still in the same boot."""


def _same(holder: Mapping[str, Any], mine: Mapping[str, Any]) -> bool:
    names = ("pid", "host", "processes", "started")
    return all(holder.get(name) == mine[name] for name in names)
