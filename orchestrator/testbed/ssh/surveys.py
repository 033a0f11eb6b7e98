# SPDX-License-Identifier: Apache-2.0
"""Surveys: the state of a host as the agent reports it, before anything is changed there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from orchestrator.agent.survey_messages import SurveyRequest
from orchestrator.programs import Needs, Program
from orchestrator.spec import GATEWAYS
from orchestrator.spec.known_tools import own_tool
from orchestrator.spec.systems import SYSTEMS, system_named
from orchestrator.spec.traffic import OWN_TOOLS
from orchestrator.testbed.lease import has_ended
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.ssh.schema import SshHost

# The programs that every trial needs on a host.
_EVERY_TRIAL = (Program("ip", "iproute2", ("-Version",)), Program("modprobe", "kmod"), Program("ethtool", "ethtool"))
BUILD_TOOLS = {"gcc": ["gcc", "--version"], "make": ["make", "--version"]}
_FOLDERS = ("/", "/usr/local/lib", "/tmp", "/run")
_LOAD_WINDOW_S = 0.3


def known_needs() -> list[Needs]:
    """Return what this program's own systems and tools need on hosts."""
    tools = ((name, own_tool(name)) for name in OWN_TOOLS)
    systems = (system_named(name) for name in SYSTEMS.own)
    return [
        *(Needs(name, tool.programs) for name, tool in tools),
        *(Needs(system.label, system.programs, system.kernel_modules) for system in systems),
    ]


def programs(further: Sequence[Needs] = ()) -> dict[str, Program]:
    """Return the programs that a host must have, by name: for every trial, for this program's own systems and tools,
    and for the ``further`` needs of an experiment."""
    found = (program for one in (*known_needs(), *further) for program in one.programs)
    return {program.name: program for program in (*_EVERY_TRIAL, *found)}


def kernel_modules(further: Sequence[Needs] = ()) -> list[str]:
    """Return the names of all kernel modules that systems need."""
    return list(dict.fromkeys(name for one in (*known_needs(), *further) for name in one.kernel_modules))


def lacking_modules(needs: Needs, facts: Mapping[str, Any]) -> list[str]:
    """Return the modules that a system needs and that the kernel of a surveyed host is known to lack."""
    return [name for name in needs.kernel_modules if facts["kernel_modules"].get(name) is False]


@dataclass(frozen=True, slots=True)
class Survey:
    """The survey of a host. ``facts``: from the agent's ``survey``; ``skew_s``: the host's clock minus this computer's;
    ``tunables``: from the agent's operation of that name; ``trouble``: why the host could not be surveyed, in which
    case there are no facts."""

    facts: Mapping[str, Any]
    tunables: Mapping[str, Any] = field(default_factory=dict)
    skew_s: float = 0.0
    trouble: str = ""


def survey_of(agent: Agent, tunables: Mapping[str, Any] | None = None, needs: Sequence[Needs] = ()) -> Survey:
    """Survey a host, without changing anything on it. ``tunables``: what can be tuned there; ``needs``: those of the
    systems and the tool of an experiment."""
    tools = {**{name: [name, *program.version] for name, program in programs(needs).items()}, **BUILD_TOOLS}
    facts = agent.request(SurveyRequest(tools, kernel_modules(needs), list(_FOLDERS), _LOAD_WINDOW_S))
    if facts["holder"] is not None:
        facts["holder"]["ended"] = has_ended(facts["holder"])
    return Survey(facts, tunables or {}, agent.clock_skew_s())


def systems(facts: Mapping[str, Any]) -> set[str]:
    """Return the names of a host's distribution, and of those from which it is derived."""
    return {facts["system"]["id"], *facts["system"]["like"]}


def family(facts: Mapping[str, Any]) -> str:
    """Return the package family of a host: debian, redhat or other."""
    names = systems(facts)
    return "debian" if "debian" in names else "redhat" if names & {"fedora", "rhel"} else "other"


def has_gateway(host: SshHost) -> bool:
    """Return whether WireGuard runs on a host."""
    return bool(set(host.roles) & set(GATEWAYS))
