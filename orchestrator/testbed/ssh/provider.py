# SPDX-License-Identifier: Apache-2.0
"""Existing hosts as the testbed of a run."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

from orchestrator.agent import host_messages, survey_messages
from orchestrator.errors import TestbedError
from orchestrator.kernel.builds import needed_builds
from orchestrator.paths import as_argument
from orchestrator.progress import Progress
from orchestrator.provision import PlaybookResult
from orchestrator.spec import VETH, LinkKind
from orchestrator.testbed.cpus import FREE, cpu_order, cpu_rows, left_out_text, online_states
from orchestrator.testbed.hosts import TestbedOnHosts
from orchestrator.testbed.lease import lease
from orchestrator.testbed.protocol import ComputerUseResult, ModuleFile, State
from orchestrator.testbed.ssh.health import Condition
from orchestrator.testbed.ssh.kernels import restart_with_kernels, with_other_kernels
from orchestrator.testbed.ssh.looking import ONLINE, described, with_known_cpus
from orchestrator.testbed.ssh.preflight import examine, sentences
from orchestrator.testbed.ssh.provisioning import Provisioning, modules_here
from orchestrator.testbed.ssh.reaching import Reaching
from orchestrator.testbed.ssh.restarting import go_down, restart_findings
from orchestrator.testbed.ssh.route import SshRoute, routes
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.session import HostLogin
from orchestrator.testbed.ssh.surveys import Survey, has_gateway, survey_of
from orchestrator.testbed.ssh.tuner import Tuner, joined
from orchestrator.testbed.virtual import VirtualTime

_CALM, _CALM_S = 0.2, 60.0  # after a restart: wait until programs use less than this share of a core, at most so long
_SMT = "/sys/devices/system/cpu/smt/control"


class OpenSshTestbed(TestbedOnHosts):
    """Existing hosts. They are held for one run at a time, and returned to their previous state."""

    provider = "ssh"
    emulated = False
    virtual: VirtualTime | None = None
    links: LinkKind = VETH  # between roles on one host

    def __init__(self, testbed: SshTestbed, progress: Progress, *, wait: bool = True) -> None:
        super().__init__(testbed, "host", progress, wait=wait)
        self._spec = testbed
        self._routes: dict[str, SshRoute] = {}
        self._surveys: dict[str, Survey] = {}
        self._modules: dict[str, dict[str, ModuleFile]] = {}
        self.nics: dict[str, dict[str, str]] = {
            host.name: {str(link): nic for link, nic in host.nics.items()} for host in testbed.hosts
        }
        self.cpus: dict[str, Sequence[int]] = {}
        self._reaching = Reaching(progress, wait, self._waiting)
        self._tuner = Tuner(self._hosts, progress)
        self._states: dict[str, dict[str, Any]] = {}  # the hosts' states in this block, to be recorded
        self._boot_of: int | None = None  # the last block for which the hosts were restarted

    # --- beginning and end ---

    def __enter__(self) -> Self:
        self.take()
        try:
            self._provision()
        except BaseException:
            self.__exit__()
            raise
        return self

    def take(self) -> None:
        """Take the hosts and survey them, without changing anything. Raises TestbedError with everything that prevents
        the run."""
        self._routes = routes(self._spec)
        self._reaching.interrupted = False
        self._lease.enter_context(
            lease(f"testbed-{self.name}", wait=self._wait, on_wait=lambda who: self._waiting(f"by {who}"))
        )
        try:
            self._progress.stage("Looking at the hosts", 3)
            for name in self._routes:
                self._progress.detail(name)
                self._start_agent(name)
            self._refuse_bad_hosts()
        except BaseException:
            self.__exit__()
            raise

    def _refuse_bad_hosts(self) -> None:
        built = modules_here(needed_builds(self._spec.own_code))
        found = (examine(self._spec, self._surveys, built), restart_findings(self._spec, self._surveys))
        blocking = [sentence for findings in found for sentence in sentences(findings)]
        if blocking:
            raise TestbedError("These hosts cannot be used as they are.\n  " + "\n  ".join(blocking))

    def boot_kernels(self) -> None:
        """Restart the hosts that do not run the kernel that their file asks for. Raises TestbedError."""
        due = with_other_kernels(self._spec.hosts, self._surveys)
        if not due:
            return
        names = ", ".join(host.name for host in due)
        self._progress.stage(f"Restarting with another kernel: {names}", self._spec.restart_within_s)
        for host in due:
            self._hosts.agents.pop(host.name).close()
        before = {host.name: self._surveys[host.name].facts["kernel_release"] for host in due}
        restart_with_kernels(due, self._routes, self._surveys, self._progress, lambda: self._reaching.interrupted)
        for host in due:
            self._start_agent(host.name, self._spec.restart_within_s)
            now = self._surveys[host.name].facts["kernel_release"]
            if now != host.kernel:
                raise TestbedError(f"{host.name} was restarted, and runs {now}, not {host.kernel}.")
            self._progress.message(
                f"{host.name} runs {now} until its next restart; before it ran {before[host.name]}. Its default boot "
                "entry is unchanged."
            )
        self._refuse_bad_hosts()

    def _waiting(self, who: str) -> None:
        self._progress.stage(f"Waiting for the testbed {self.name}, which is in use {who}")

    def _start_agent(self, name: str, patience_s: float = 0.0, *, restart: bool = False, not_in: str = "") -> None:
        """Start the agent of a host, as `Reaching.agent` does, which takes the host, and survey the host."""
        login = HostLogin(self._routes[name], self._spec.file)
        host = next(host for host in self._spec.hosts if host.name == name)
        agent = self._reaching.agent(host, login, patience_s, restart=restart, not_in=not_in)
        try:
            earlier = self._surveys.get(name)
            self._surveys[name] = with_known_cpus(
                name, survey_of(agent, None, self._spec.needs), self._hosts.journal, earlier
            )
        except BaseException:
            agent.close()
            raise
        self._hosts.agents[name] = agent

    def _provisioning(self) -> Provisioning:
        here = (self._spec, self._routes, self._hosts.agents, self._surveys, self._progress)
        return Provisioning(*here, lambda: self._reaching.interrupted)

    def _provision(self) -> None:
        """Make sure that the hosts run the right kernel and are provisioned. The playbook runs only if they are not."""
        self.boot_kernels()
        self._modules, outcome = self._provisioning().confirm()
        if outcome is not None:
            self._progress.message(f"Provisioned: {outcome.changed} of {outcome.tasks} tasks changed something.")

    def provision_only(self) -> PlaybookResult:
        """Take the hosts, run the playbook on them, and release them. Return what the playbook did."""
        self.take()
        try:
            self.boot_kernels()
            self._modules, outcome = self._provisioning().carry_out()
        finally:
            self.__exit__()
        return outcome

    def __exit__(self, *exception: object) -> None:
        self._reaching.interrupted = True  # do not wait for a host that is lost, or in use by another run
        for name in list(self._hosts.agents):
            if not self._hosts.agents[name].in_step:
                self._hosts.agents.pop(name).close()  # it ends by itself, and a new one restores the settings
                with contextlib.suppress(TestbedError):
                    self._start_agent(name)
        for sentence in self._hosts.give_back():
            self._progress.message(sentence)
        for name in self._hosts.journal.pending():
            restore = f"orch restore {as_argument(self._spec.file)}"
            self._progress.message(f"{name}: settings are still to be put back: run `{restore}`.")
        self._lease.close()

    # --- a block ---

    def prepare(self, state: State) -> Mapping[str, Any]:
        """Recover lost hosts, restart all for a block with a boot of its own, set its CPUs online, apply settings."""
        try:
            states, restarted = self._prepare(state)
        except TestbedError as error:
            error.health = self._reaching.health.take()
            raise
        health = self._reaching.health.take()
        self._states = {
            name: {**one, "restarted": restarted, "health": health.get(name, [])} for name, one in states.items()
        }
        return self._states

    def _prepare(self, state: State) -> tuple[dict[str, dict[str, Any]], bool]:
        """Return the hosts' states, and whether the hosts were restarted for the block."""
        changed, restarted = self._bring_back(), False
        if self._spec.restart and state.own_boot not in (None, self._boot_of):
            self._restart()
            self._boot_of, changed, restarted = state.own_boot, True, True
        if changed:
            self._provision()
        return {host.name: self._prepare_host(host, state.cores) for host in self._spec.hosts}, restarted

    def _bring_back(self) -> bool:
        """Make sure that every host has an agent that answers. Return whether any host was booted again."""
        changed = False
        for host in self._spec.hosts:
            agent = self._hosts.agents.get(host.name)
            if agent is None or not agent.in_step or not agent.answers():
                self._reaching.health.become(host.name, Condition.AGENT_SILENT, "it gave no answer")
                if agent is not None:
                    self._hosts.agents.pop(host.name).close()
                before = self._surveys[host.name].facts["boot_id"]
                self._start_agent(host.name, self._spec.restart_within_s, restart=True)
                changed = changed or self._surveys[host.name].facts["boot_id"] != before
        return changed

    def _restart(self) -> None:
        """Restart all hosts, and wait until they are back and idle. Raises TestbedError."""
        within_s = self._spec.restart_within_s
        self._progress.stage("Restarting the hosts, because each block needs its own boot", within_s)
        before = {name: survey.facts["boot_id"] for name, survey in self._surveys.items()}
        go_down(self._spec.hosts, self._hosts, self._reaching.health)
        for name, boot_id in before.items():
            self._start_agent(name, within_s, restart=True, not_in=boot_id)
        self.wait_until_quiet(_CALM, _CALM_S)

    def _prepare_host(self, host: SshHost, cores: int) -> dict[str, Any]:
        facts = self._surveys[host.name].facts
        cpus = cpu_rows(host, facts)
        online: dict[str, str] = {}
        if host.tuning.smt and any(row["off_because"] == "smt" for row in cpus):
            online[_SMT] = "on"  # before second threads of cores are brought online
        if has_gateway(host):
            order = cpu_order(host.name, host.cpus, cpus)
            if cores > len(order):
                others = left_out_text(cpus)
                why = f" ({others})" if others else ""
                raise TestbedError(f"{host.name} has {len(order)} CPUs for trials{why}, but {cores} were requested.")
            chosen = order[:cores]
            online |= {ONLINE.format(cpu): state for cpu, state in online_states(host, cpus, chosen).items()}
        else:
            online_now = [cpu["cpu"] for cpu in cpus if cpu["online"]]
            chosen = [cpu["cpu"] for cpu in cpus if cpu["online"] and cpu["unusable"] is None] or online_now
        settings = self._tuner.at_home(host, online, chosen)
        agent = self._hosts.agents[host.name]
        if has_gateway(host) and host.other_cpus == FREE:
            agent.request(host_messages.ConfineRequest(chosen))
        found = agent.request(survey_messages.HelloRequest())
        if has_gateway(host) and found["cpus_usable"] != cores:
            raise TestbedError(f"{host.name} has {found['cpus_usable']} CPUs for trials, not {cores}.")
        self.cpus.update(dict.fromkeys(host.roles, chosen))
        kept = ("system", "boot_id", "nics", "cpus")
        used = {"cpus_used": list(chosen), "other_cpus": host.other_cpus if has_gateway(host) else None}
        return {**found, **{name: facts[name] for name in kept}, **used, **settings}

    def linked(self) -> Mapping[str, Any]:
        """Direct the interrupts of the interfaces, which are up now, to the block's CPUs. Return the hosts' states."""
        hosts = {host.name: host for host in self._spec.hosts}
        self._states = {
            name: joined(state, self._tuner.in_roles(hosts[name], self.cpus[hosts[name].roles[0]]))
            for name, state in self._states.items()
        }
        return self._states

    def module(self, build: str, host: str) -> ModuleFile:
        return self._modules[host][build]

    @contextlib.contextmanager
    def prioritized(self, seconds: float) -> Iterator[ComputerUseResult]:
        """Context manager that does nothing: the hosts run nothing else, or report it if they do."""
        yield ComputerUseResult()

    def wait_until_quiet(self, share: float, most_s: float) -> bool:
        return self._hosts.wait_until_quiet(share, most_s)

    def interrupt(self) -> None:
        self._reaching.interrupted = True
        super().interrupt()

    def environment(self) -> Mapping[str, Any]:
        """Return the properties of the hosts that can affect results."""
        return {
            "hosts": {
                name: described(survey, self.nics[name], self._modules.get(name, {}))
                for name, survey in self._surveys.items()
            }
        }
