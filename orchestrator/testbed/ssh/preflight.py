# SPDX-License-Identifier: Apache-2.0
"""The preflight: checks of what hosts need, from the agents' surveys, before anything on the hosts is changed.

All functions are pure: surveys in, findings out.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from orchestrator.agent.cpus import cpu_list
from orchestrator.errors import TestbedError
from orchestrator.programs import Needs
from orchestrator.requirement import Checked, Need
from orchestrator.spec.known_tools import own_tool
from orchestrator.spec.traffic import OWN_TOOLS
from orchestrator.testbed.cpus import WHY, cpu_order, cpu_rows, isolated_cpus, left_out
from orchestrator.testbed.ssh.preflight_nics import of_nics
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.surveys import Survey, family, has_gateway, known_needs, lacking_modules, programs
from orchestrator.testbed.tuning import TRIED, overview

_BUSY_CORES = 0.2
_MIB = 2**20
_NEEDED = {"/usr/local/lib": 16 * _MIB, "/tmp": 16 * _MIB, "/run": 4 * _MIB}
_NEEDED_TO_BUILD = 512 * _MIB  # headers, kernel source, compiler
_OLDEST_PYTHON = (3, 9)
_SKEW_S = 1.0
_ABANDONED_S = 3600.0  # a run sends each of its hosts requests more often than that, even while provisioning


def examine(testbed: SshTestbed, surveys: Mapping[str, Survey], built: Collection[str]) -> dict[str, list[Checked]]:
    """Return the findings of every host. ``built``: kernel releases for which this computer has the modules."""
    found = {}
    for host in testbed.hosts:
        survey = surveys[host.name]
        if survey.trouble:
            found[host.name] = [Checked("Reachable", Need.REQUIRED, False, survey.trouble, "")]
        else:
            rows = [*_of_host(testbed, host, survey, built), *of_nics(testbed, host, surveys)]
            found[host.name] = [*rows, *_of_tuning(host, survey)]
    return found


def sentences(findings: Mapping[str, list[Checked]]) -> list[str]:
    """Return what prevents a run, one sentence each."""
    return [f"{host}: {finding.sentence()}" for host, rows in findings.items() for finding in rows if finding.blocks]


def _of_host(testbed: SshTestbed, host: SshHost, survey: Survey, built: Collection[str]) -> Iterator[Checked]:
    facts = survey.facts
    told = f"{facts['system']['name'] or 'an unknown system'}, Linux {facts['kernel_release']} on {facts['machine']}"
    yield Checked.of("Reachable", Need.REQUIRED, True, told)
    yield Checked.of(
        "Root", Need.REQUIRED, facts["uid"] == 0, f"user id {facts['uid']}", "Log in as root, or with sudo (become)."
    )
    version = tuple(int(part) for part in facts["python"].split(".")[:2])
    yield Checked.of(
        "Python", Need.REQUIRED, version >= _OLDEST_PYTHON, facts["python"], "Python 3.9 or later is required."
    )
    yield _tools(facts, testbed.needs)
    if host.kernel is not None:
        yield _kernel(host.kernel, facts)
    if has_gateway(host):
        yield from _of_modules(host, facts, built)
        yield from _of_systems(testbed.needs, facts)
    yield from _of_disk(host, facts, built)
    good = bool(facts["clock_synchronized"]) and abs(survey.skew_s) < _SKEW_S
    kept = {True: "synchronized", False: "not synchronized", None: "of unknown quality"}
    what = f"{survey.skew_s:+.2f} s from this computer's, {kept[facts['clock_synchronized']]}"
    yield Checked.of("Clock", Need.ADVICE, good, what, "Run chrony or systemd-timesyncd there.")
    if facts.get("virtual_time") is not None:
        remedy = "Name a testbed of the provider uml with clock: virtual instead."
        yield Checked.of(
            "Virtual time", Need.REQUIRED, False, "its clock is virtual, and a host's must be real", remedy
        )
    busy = facts["busy"]
    by = f" ({', '.join(busy['names'])})" if busy["names"] and busy["cores"] > _BUSY_CORES else ""
    what = f"other programs use {busy['cores']:.1f} of a core now{by}"
    yield Checked.of("Idle", Need.ADVICE, busy["cores"] <= _BUSY_CORES, what, "End other programs before you measure.")
    holder = facts["holder"]
    who = holder_text(holder) if holder else "by nobody"
    waits = "No run waits for it" if holder and is_abandoned(holder) else "A run waits for it"
    remedy = "A run ends it." if holder and holder.get("ended") else f"{waits}; `orch restore --force` ends it."
    yield Checked.of("In use", Need.ADVICE, holder is None, who, remedy)
    yield from _of_cpus(host, facts)


def holder_text(holder: Mapping[str, Any]) -> str:
    """Return who holds a host, as text, with a remark if that run has ended or looks abandoned."""
    silent = f", which has asked nothing for {holder['silent_s'] / 3600:.1f} h" if is_abandoned(holder) else ""
    silent = ", which has ended" if holder.get("ended") else silent
    if "pid" not in holder:
        return f"by an unknown run{silent}"
    where = holder.get("host", "another computer")
    return f"by process {holder['pid']} (`{holder.get('command')}`) of {where}{silent}"


def is_abandoned(holder: Mapping[str, Any]) -> bool:
    """Return whether a host's holder has been silent for longer than a living run is, because its controller is
    gone."""
    return float(holder.get("silent_s") or 0.0) > _ABANDONED_S


def _of_cpus(host: SshHost, facts: Mapping[str, Any]) -> Iterator[Checked]:
    """Yield the number of CPUs, and which of them trials do not use."""
    rows = cpu_rows(host, facts)
    online = [row["cpu"] for row in rows if row["online"]]
    fixed = [row["cpu"] for row in rows if row["cpu"] and row["online"] and not row["can_go_offline"]]
    can = "can" if len(rows) > 1 and not fixed else "cannot"
    which = "those" if len(online) < len(rows) else "they"
    what = f"{len(online)} of {len(rows)} online; {which} {can} be taken offline"
    yield Checked.of("CPUs", Need.INFORMATION, True, what)
    try:
        none_left = has_gateway(host) and not cpu_order(host.name, host.cpus, rows)
        trouble = "none is left for trials" if none_left else ""
    except TestbedError as error:
        trouble = str(error).removeprefix(f"{host.name} ").rstrip(".")
    if trouble and has_gateway(host):
        yield Checked.of("CPUs for trials", Need.REQUIRED, False, trouble, "Change cpus: in the host's entry.")
    remedies = {
        "smt": "tuning.smt: true brings them online for a run.",
        "smt-forced": "Start the host without nosmt=force on the kernel's command line to have them.",
        "unknown": "If a run that crashed left them so, `orch restore` puts them back. Else bring them online, or "
        "name them in cpus:.",
        "isolated": "A run does not use them. Start the host without isolcpus= on the kernel's command line, and "
        "without a cpuset partition.",
        "affinity": "A run does not use them. Look at CPUAffinity= in systemd's configuration, and at cpusets.",
    }
    for why, cpus in left_out(rows).items():
        need = Need.ADVICE if why in remedies else Need.INFORMATION
        told = f"CPUs {cpu_list(cpus)} {WHY[why]}, so a run does not use them"
        yield Checked.of("CPUs left out", need, why not in remedies, told, remedies.get(why, ""))
    if ticks := isolated_cpus(facts, "nohz_full"):
        told = f"the kernel keeps its tick from CPUs {cpu_list(ticks)} (nohz_full=), which changes what they measure"
        yield Checked.of("CPUs without a tick", Need.ADVICE, False, told, "Start the host without nohz_full=.")


def _tools(facts: Mapping[str, Any], needs: Sequence[Needs]) -> Checked:
    commands = facts["commands"]
    missing = [program.package for name, program in programs(needs).items() if commands[name] is None]
    outdated = next(filter(None, (own_tool(name).outdated(commands) for name in OWN_TOOLS)), "")
    if not missing and outdated:
        return Checked.of(
            "Tools", Need.ADVICE, False, outdated, "Install a newer version. Trials with other tools do not need it."
        )
    if not missing:
        return Checked.of("Tools", Need.ADVICE, True, f"{commands['iperf3']}; {commands['ip']}")
    what = f"missing: {', '.join(missing)}"
    if family(facts) == "other":
        return Checked.of(
            "Tools", Need.REQUIRED, False, what, "Install them; this system's packages are not known here."
        )
    return Checked.of("Tools", Need.ADVICE, False, what, "Provisioning installs them.")


def _kernel(wanted: str, facts: Mapping[str, Any]) -> Checked:
    now = facts["kernel_release"]
    if now == wanted:
        return Checked.of("Kernel", Need.REQUIRED, True, f"runs {now}, as its file asks for")
    what = f"runs {now}, and its file asks for {wanted}"
    by_hand = f"Boot it with {wanted} by hand."
    if family(facts) == "other":
        return Checked.of("Kernel", Need.REQUIRED, False, f"{what}, whose package is not known here", by_hand)
    if facts["boot_menu"] is None:
        return Checked.of("Kernel", Need.REQUIRED, False, f"{what}; there is no GRUB that could choose it", by_hand)
    return Checked.of("Kernel", Need.REQUIRED, True, f"{what}: a run installs it, and restarts the host with it once")


def builds_there(host: SshHost, release: str, built: Collection[str]) -> bool:
    """Return whether the modules are built on the host itself."""
    return host.modules == "build" or release not in built


def has_source(release: str, files: Collection[str]) -> bool:
    """Return whether a file in a host's /usr/src has the source of a kernel, by the rules of build-module.sh."""
    found = re.match(r"(\d+\.\d+)(\.\d+)*", release)
    versions = {found[0], found[1]} if found else set()
    names = [re.match(r"linux-(?:.+-)?source-(\d+(?:\.\d+)*)\.tar\.", file) for file in files]
    return any(name[1] in versions for name in names if name)


def _of_modules(host: SshHost, facts: Mapping[str, Any], built: Collection[str]) -> Iterator[Checked]:
    release = facts["kernel_release"]
    if host.kernel not in (None, release):
        yield Checked.of("Modules", Need.REQUIRED, True, f"will be provisioned once it runs {host.kernel}")
    elif not builds_there(host, release, built):
        yield Checked.of("Modules", Need.REQUIRED, True, "this computer has built them for its kernel")
    elif facts["headers"] and family(facts) != "debian" and not has_source(release, facts.get("sources", ())):
        series = ".".join(release.split(".")[:2])
        what = f"there is no source of Linux {series} in /usr/src, and this system's packages of it are not known here"
        remedy = f"Put the source of its kernel there as linux-source-{series}.tar.xz, to build the modules from."
        yield Checked.of("Modules", Need.REQUIRED, False, what, remedy)
    elif facts["headers"]:
        yield Checked.of("Modules", Need.REQUIRED, True, "can be built there: the headers of its kernel are installed")
    else:
        what = f"the headers of its kernel {release} are not installed, so they cannot be built"
        if family(facts) == "debian":
            remedy = f"Provisioning installs linux-headers-{release}, if there is such a package."
            yield Checked.of("Modules", Need.ADVICE, False, what, remedy)
        else:
            yield Checked.of("Modules", Need.REQUIRED, False, what, "Install them.")
    signed_only = facts["secure_boot"] or facts["signatures_enforced"] or facts["lockdown"] not in (None, "none")
    why = "Secure Boot is on" if facts["secure_boot"] else "the kernel takes signed modules only"
    yield Checked.of(
        "Unsigned modules",
        Need.REQUIRED,
        not signed_only,
        why if signed_only else "allowed",
        "Switch Secure Boot off in the firmware (and module.sig_enforce and lockdown on the kernel's command line): "
        "the modules that are measured are not signed.",
    )
    devices = facts["wireguard_devices"]
    yield Checked.of(
        "WireGuard",
        Need.REQUIRED,
        not devices,
        f"in use: {', '.join(devices)}" if devices else "not in use by the host itself",
        "The module is reloaded for every variant, which ends the host's own tunnels: take them down first.",
    )


def _of_systems(used: Sequence[Needs], facts: Mapping[str, Any]) -> Iterator[Checked]:
    """Yield which systems the kernel of a gateway supports. A run requires those that it uses."""
    needed = {needs.who: needs for needs in (*known_needs(), *used) if needs.kernel_modules}
    for who, needs in needed.items():
        lacking = lacking_modules(needs, facts)
        need = Need.REQUIRED if any(one.who == who for one in used) else Need.ADVICE
        what = f"its kernel lacks {', '.join(lacking)}" if lacking else "its kernel has what it needs"
        yield Checked.of(who, need, not lacking, what, f"Boot a kernel that has it, or leave out variants of {who}.")


def _of_disk(host: SshHost, facts: Mapping[str, Any], built: Collection[str]) -> Iterator[Checked]:
    needed = dict(_NEEDED)
    if has_gateway(host) and builds_there(host, host.kernel or facts["kernel_release"], built):
        needed["/usr/local/lib"] = _NEEDED_TO_BUILD
    short = {name: size for name, size in needed.items() if facts["free_bytes"][name] < size}
    what = ", ".join(f"{facts['free_bytes'][name] / _MIB:.0f} MiB free in {name}" for name in (short or needed))
    remedy = "; ".join(f"{name} needs {size / _MIB:.0f} MiB" for name, size in short.items())
    yield Checked.of("Disk", Need.REQUIRED, not short, what, f"Make room: {remedy}.")


def _of_tuning(host: SshHost, survey: Survey) -> Iterator[Checked]:
    """Yield what a run will set, and how thoroughly this way of setting it was tested."""
    if not survey.tunables:
        return
    cpus = [cpu["cpu"] for cpu in cpu_rows(host, survey.facts) if cpu["unusable"] is None] or [0]
    for key, settings in overview(host.tuning, survey.tunables, cpus).items():
        values = sorted(set(settings.values()))
        many = f"{len(settings)} settings" if len(settings) > 1 else next(iter(settings), "")
        to = f" to {values[0]}" if len(values) == 1 else ""
        what = f"a run sets {many}{to} (tried on: {TRIED[key]})" if settings else "this host has nothing to set"
        yield Checked.of(f"Tuning: {key}", Need.INFORMATION, True, what)
