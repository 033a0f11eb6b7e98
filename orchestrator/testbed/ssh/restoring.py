# SPDX-License-Identifier: Apache-2.0
"""Restoring hosts that a crashed run left changed."""

import time

from orchestrator.agent.host_messages import BreakLeaseRequest, LeaseRequest
from orchestrator.testbed.hosts import leave
from orchestrator.testbed.lease import has_ended, holder_now, lease
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.settings import SettingsJournal, put_back
from orchestrator.testbed.ssh.preflight import holder_text
from orchestrator.testbed.ssh.reaching import TAKEN_S, ask_each
from orchestrator.testbed.ssh.schema import SshTestbed


def restore(testbed: SshTestbed, *, force: bool = False) -> list[str]:
    """Restore what a crashed run left changed on the hosts. Return sentences on what was restored and what was not.

    ``force``: also end an agent that still holds a host. Raises TestbedError if a run on this computer uses the
    testbed.
    """
    journal = SettingsJournal(testbed.testbed)
    with lease(f"testbed-{testbed.testbed}", wait=False):
        said = ask_each(
            testbed,
            lambda name, agent: _restore_one(agent, name, journal, force),
            lambda name, error: [f"{error} Nothing was put back on {name}."],
        )
    return [sentence for sentences in said.values() for sentence in sentences]


def _restore_one(agent: Agent, name: str, journal: SettingsJournal, force: bool) -> list[str]:
    holder = agent.request(LeaseRequest(holder_now()))["taken_by"]
    if holder is not None and not (force or has_ended(holder)):
        return [f"{name} is in use {holder_text(holder)}; nothing was put back. `--force` ends that agent first."]
    said = []
    if holder is not None:
        agent.request(BreakLeaseRequest())
        began = time.monotonic()
        while agent.request(LeaseRequest(holder_now()))["taken_by"] is not None:
            waited_s = time.monotonic() - began
            if waited_s > 2 * TAKEN_S:
                return [f"{name}: the agent that has it does not end; nothing was put back. Restart the host."]
            if waited_s > TAKEN_S:  # this agent restores what the other one did not
                agent.request(BreakLeaseRequest(hard=True))
            time.sleep(0.2)
        said.append(f"{name}: the agent that had it ({holder_text(holder)}) was ended.")
    done, left = leave(agent, name, leftovers=True)
    return [*said, *done, *(f"{sentence} It is still to do." for sentence in left), *put_back(agent, name, journal)]
