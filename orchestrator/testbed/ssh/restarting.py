# SPDX-License-Identifier: Apache-2.0
"""Restarting hosts between blocks, so that each block has a boot of its own."""

import contextlib
from collections.abc import Mapping, Sequence

from orchestrator.agent.host_messages import RestartRequest
from orchestrator.errors import TestbedError
from orchestrator.requirement import Checked, Need
from orchestrator.testbed.computer import boot_of_computer
from orchestrator.testbed.hosts import Hosts, leave
from orchestrator.testbed.login import HostLost
from orchestrator.testbed.remote import AgentFailure
from orchestrator.testbed.settings import put_back
from orchestrator.testbed.ssh.health import Condition, Health, power_cycle
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.surveys import Survey

_ANSWER_S = 70  # the agent waits 60 s for its `reboot`


def restart_findings(testbed: SshTestbed, surveys: Mapping[str, Survey]) -> dict[str, list[Checked]]:
    """Return, by host, whether it can be restarted between blocks; without findings if the testbed's file does not
    allow it."""
    found: dict[str, list[Checked]] = {host.name: [] for host in testbed.hosts}
    if not testbed.restart:
        return found
    mine = ""
    with contextlib.suppress(OSError):  # this is not Linux
        mine = boot_of_computer()
    for name, survey in surveys.items():
        if survey.trouble:
            continue
        here = bool(mine) and survey.facts.get("boot_id") == mine
        what = "it is this computer, which cannot restart" if here else "before each block of a spec with several boots"
        remedy = "Remove restart: from the testbed's file, or run from another computer."
        found[name].append(Checked.of("Restart", Need.REQUIRED, not here, what, remedy))
    return found


def go_down(specs: Sequence[SshHost], hosts: Hosts, health: Health) -> None:
    """Return hosts to their previous state, as far as they answer, and have each restart itself, which ends the agents.

    A host that refuses is restarted with its power command. Raises TestbedError if it has none, or if that fails.
    """
    for name, agent in hosts.agents.items():
        with contextlib.suppress(TestbedError):  # settings that are not restored now are reset by the restart
            leave(agent, name)
            put_back(agent, name, hosts.journal)
    asked = []
    for host in specs:  # ask all before waiting, because one may be a jump host of another
        with contextlib.suppress(HostLost):
            hosts.agents[host.name].ask(RestartRequest())
            asked.append(host.name)
    troubles = []
    for host in specs:
        agent, by = hosts.agents.pop(host.name), "by its own reboot"
        try:
            if host.name in asked:
                agent.answer(_ANSWER_S)
        except AgentFailure as error:
            by = f"by {host.power[0]}" if host.power else ""
            trouble = power_cycle(host.power) if host.power else "its file entry has no power command"
            if trouble:
                troubles.append(f"{host.name} cannot be restarted for this block: {error} And {trouble}.")
                continue
        except HostLost:
            pass  # it went down before it could answer
        finally:
            agent.close()
        health.become(host.name, Condition.RESTARTED, f"{by}, for a block's own boot")
    if troubles:
        raise TestbedError(" ".join(troubles))
