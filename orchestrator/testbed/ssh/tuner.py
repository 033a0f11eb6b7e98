# SPDX-License-Identifier: Apache-2.0
"""Applying the tuning of hosts in the order in which settings become available, except settings that a host refuses."""

from collections.abc import Mapping, Sequence
from typing import Any

from orchestrator.agent.network_messages import UnlinkRequest
from orchestrator.agent.survey_messages import QueueInterruptsRequest, TunablesRequest
from orchestrator.errors import TestbedError
from orchestrator.progress import Progress
from orchestrator.testbed.hosts import Hosts
from orchestrator.testbed.ssh.schema import SshHost
from orchestrator.testbed.tuning import after_queues, asked_by_name, before_links, key_of, threads_of

_FIELDS = ("settings", "settings_before", "settings_refused")


class Tuner:
    """Applies the settings of hosts and their tuning.

    The returned records have ``settings`` and ``settings_before``, {name: value}, and ``settings_refused``, {name:
    {"key": the key in the file, "said": the host's message}}.
    """

    def __init__(self, hosts: Hosts, progress: Progress) -> None:
        self._hosts, self._progress = hosts, progress
        self._told: set[str] = set()  # remarks that were shown, because each is shown once

    def at_home(self, host: SshHost, online: Mapping[str, str], cpus: Sequence[int]) -> dict[str, Any]:
        """Set the host's CPUs (``online``), then settings that create queues, then packet steering, while the
        interfaces are in the host's own namespace.

        ``cpus``: those of the block. Raises TestbedError if a host refuses what its file asks for.
        """
        agent, nics = self._hosts.agents[host.name], list(host.nics.values())
        for sentence in agent.request(UnlinkRequest(), timeout_s=60)["left"]:
            self._tell(f"{host.name}: {sentence} This is retried at the end of the run.")
        applied = self._hosts.apply_settings(host.name, online)
        can = agent.request(TunablesRequest(nics))
        threads = threads_of(host.tuning, can)
        if threads:  # which settings exist depends on which threads are online
            applied = joined(applied, self._apply(host, threads))
            can = agent.request(TunablesRequest(nics))
        tuned = self._apply(host, before_links(host.name, host.tuning, can, len(cpus)))
        can = agent.request(TunablesRequest(nics))  # which settings exist depends on those applied before
        # Interrupts are set in `in_roles`.
        now = {nic: {"steering": one["steering"]} for nic, one in can["nics"].items()}
        steered = self._apply(host, after_queues(host.name, host.tuning, {"nics": now}, cpus))
        return joined(applied, joined(tuned, steered))

    def in_roles(self, host: SshHost, cpus: Sequence[int]) -> dict[str, Any]:
        """Direct the interrupts of the interfaces, which are up in their roles now. Drivers request interrupts only
        then.

        Raises TestbedError as `at_home` does.
        """
        found = self._hosts.agents[host.name].request(QueueInterruptsRequest())["interrupts"]
        now = {nic: {"interrupts": interrupts} for nic, interrupts in found.items()}
        return self._apply(host, after_queues(host.name, host.tuning, {"nics": now}, cpus))

    def _apply(self, host: SshHost, settings: Mapping[str, str]) -> dict[str, Any]:
        done = self._hosts.apply_settings(host.name, settings, may_refuse=list(settings))
        asked = asked_by_name(host.tuning)
        refused = {}
        for name, said in done["settings_refused"].items():
            key = key_of(name)
            if key in asked:
                raise TestbedError(
                    f"{host.name} refuses tuning.{key}: {said.rstrip('.')}. Use another value, or null to "
                    "leave it as it is."
                )
            remark = f"{host.name}: tuning.{key} is left out, since the host refuses it: {said}"
            self._tell(remark)
            refused[name] = {"key": f"tuning.{key}", "said": said}
        return {**done, "settings_refused": refused}

    def _tell(self, remark: str) -> None:
        if remark not in self._told:
            self._told.add(remark)
            self._progress.message(remark)


def joined(first: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of two steps: the settings of both, with the values from before the first."""
    record = {name: {**first.get(name, {}), **then.get(name, {})} for name in _FIELDS}
    record["settings_before"] |= first.get("settings_before", {})
    return {**first, **record}
