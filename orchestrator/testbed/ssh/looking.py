# SPDX-License-Identifier: Apache-2.0
"""Examining hosts: what they have, and which blocks they can carry. Nothing on them is changed."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from orchestrator.agent.survey_messages import TunablesRequest
from orchestrator.errors import TestbedError
from orchestrator.kernel.builds import needed_builds
from orchestrator.kernel.variants import load_variants
from orchestrator.plan import Capabilities
from orchestrator.requirement import Checked, Need
from orchestrator.spec.systems import system_named
from orchestrator.spec.variants import UPSTREAM
from orchestrator.testbed.cpus import FREE, cpu_order, cpu_rows, left_out_text, with_ours
from orchestrator.testbed.lease import holder_now
from orchestrator.testbed.protocol import ModuleFile
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.settings import SettingsJournal
from orchestrator.testbed.ssh.preflight import examine
from orchestrator.testbed.ssh.provisioning import modules_here
from orchestrator.testbed.ssh.reaching import ask_each
from orchestrator.testbed.ssh.restarting import restart_findings
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.surveys import Survey, has_gateway, known_needs, lacking_modules, survey_of

ONLINE = "/sys/devices/system/cpu/cpu{}/online"
_UNCONFINED = (
    "on {} other_cpus is free, and the workers of unmodified WireGuard use every online CPU; "
    "with other_cpus: off-line it can be measured"
)


def look_at(testbed: SshTestbed) -> tuple[dict[str, Survey], dict[str, list[Checked]]]:
    """Survey every host; return the surveys, and the findings by host. Nothing on the hosts is changed.

    A host that cannot be surveyed has the reason as its finding.
    """
    surveys = _surveys(testbed, with_tunables=True)
    found = examine(testbed, surveys, modules_here(needed_builds(testbed.own_code)))
    restarts = restart_findings(testbed, surveys)
    return surveys, {
        host.name: [*found[host.name], *power_finding(host), *restarts[host.name]] for host in testbed.hosts
    }


def power_finding(host: SshHost) -> list[Checked]:
    """Return whether this computer has the power command of a host, as a finding; empty if the host has none."""
    if host.power is None:
        return []
    there = shutil.which(host.power[0]) is not None
    what = f"`{host.power[0]}` {'restarts it where it stays silent' if there else 'is not on this computer'}"
    remedy = "Install it here, or correct power: in the host's entry."
    return [Checked.of("Power", Need.ADVICE, there, what, remedy)]


def _surveys(testbed: SshTestbed, *, with_tunables: bool = False) -> dict[str, Survey]:
    hosts = {host.name: host for host in testbed.hosts}

    def surveyed(name: str, agent: Agent) -> Survey:
        nics = list(hosts[name].nics.values())
        tunables = agent.request(TunablesRequest(nics)) if with_tunables else None
        return with_known_cpus(name, survey_of(agent, tunables), SettingsJournal(testbed.testbed))

    def unknown(name: str, error: TestbedError) -> Survey:
        return Survey({}, trouble=str(error).removeprefix(f"{name}: "))

    return ask_each(testbed, surveyed, unknown)


def with_known_cpus(name: str, survey: Survey, journal: SettingsJournal, earlier: Survey | None = None) -> Survey:
    """Return a survey in which CPUs that a run took offline are recognized, with their cores from an ``earlier`` survey
    of the same boot.

    The run may be one of this computer, or the one that holds the host now.
    """
    facts, boot_id = survey.facts, survey.facts["boot_id"]
    taken = journal.pending().get(name, {}).items()
    ours = {
        int(found[1])
        for setting, was in taken
        if was.boot_id == boot_id and was.before == "1" and (found := re.fullmatch(ONLINE.format(r"(\d+)"), setting))
    }
    holder, mine = facts["holder"], holder_now()
    if holder is not None and (holder.get("pid"), holder.get("host")) != (mine["pid"], mine["host"]):
        ours |= {row["cpu"] for row in facts["cpus"] if row["off_because"] == "unknown"}  # by the run that has the host
    same_boot = earlier is not None and earlier.facts.get("boot_id") == boot_id
    rows = with_ours(facts["cpus"], ours, earlier.facts["cpus"] if earlier and same_boot else ())
    return replace(survey, facts={**facts, "cpus": rows})


def described(survey: Survey, nics: Mapping[str, str], modules: Mapping[str, ModuleFile]) -> dict[str, Any]:
    """Return the properties of a host that can affect results. ``nics``: {link: interface}; ``modules``: {build:
    module}."""
    kept = ("kernel_release", "kernel_version", "system", "cpu_models", "kernel_command_line", "tools", "memory_kib")
    return {
        **{key: survey.facts[key] for key in kept},
        "nics": {link: survey.facts["nics"].get(nic) for link, nic in nics.items()},
        "modules": {build: module.build_id for build, module in modules.items()},
    }


def hosts_capabilities(testbed: SshTestbed) -> Capabilities:
    """Return what the hosts can do. Raises TestbedError if one cannot be surveyed."""
    surveys = _surveys(testbed)
    for name, survey in surveys.items():
        if survey.trouble:
            raise TestbedError(f"{name}: {survey.trouble}")
    most, least, reasons = 4096, 1, {}
    why_not: list[str] = []  # of variants
    variants, ways = load_variants(), set()
    for host in filter(has_gateway, testbed.hosts):
        for needs in known_needs():
            if lacking := lacking_modules(needs, surveys[host.name].facts):
                variants = {name: one for name, one in variants.items() if system_named(one.system).label != needs.who}
                why_not.append(f"{needs.who} needs {', '.join(lacking)}, which the kernel of {host.name} lacks")
        cpus = cpu_rows(host, surveys[host.name].facts)
        order = cpu_order(host.name, host.cpus, cpus)
        if not order:
            raise TestbedError(f"{host.name} has no CPU for trials: {left_out_text(cpus)}.")
        if len(order) < most:
            most = len(order)
            others = left_out_text(cpus)
            reasons["cores"] = f"{host.name} has {most} CPU{'s' * (most != 1)} for it{f' ({others})' if others else ''}"
        ways.add(host.other_cpus)
        if host.other_cpus == FREE:
            variants = {name: variant for name, variant in variants.items() if variant.build != UPSTREAM}
            why_not.append(_UNCONFINED.format(host.name))
            continue
        fixed = [cpu["cpu"] for cpu in cpus if cpu["online"] and not cpu["can_go_offline"]]
        if len(fixed) > least:
            least = len(fixed)
            reasons["few_cores"] = f"{host.name} cannot take its CPUs offline, and its other_cpus is not free"
    topologies: tuple[str, ...] = ("site-to-site", "gateway-to-gateway")
    if not any("client" in host.roles for host in testbed.hosts):
        topologies = ("gateway-to-gateway",)
    if why_not:
        reasons["variants"] = "; ".join(why_not)
    how = "as they are" if least == most else " and ".join(sorted(ways)).replace("off-line", "offline")
    return Capabilities(
        most, how, topologies, tuple(variants), reasons, min_cores=min(least, most), restarts=testbed.restart
    )
