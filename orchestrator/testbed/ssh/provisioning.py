# SPDX-License-Identifier: Apache-2.0
"""Provisioning hosts: they need tools and, on gateways, every build of the wireguard module for their kernel.

The agent checks first, which is quick; the playbook runs only if something is missing or differs.
"""

import contextlib
import re
import tarfile
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from orchestrator import cache
from orchestrator.agent.survey_messages import ProvisionedRequest
from orchestrator.errors import TestbedError
from orchestrator.hashing import hash_files
from orchestrator.kernel.builds import Build, needed_builds
from orchestrator.kernel.modules import cached_lab_module
from orchestrator.kernel.releases import cached_release_module, load_releases
from orchestrator.paths import KERNEL
from orchestrator.programs import Needs
from orchestrator.progress import Progress
from orchestrator.provision import PlaybookResult, WantedModule, from_here, run_playbook, variables
from orchestrator.testbed.protocol import ModuleFile
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.ssh.preflight import builds_there
from orchestrator.testbed.ssh.route import SshRoute
from orchestrator.testbed.ssh.schema import SshHost, SshTestbed
from orchestrator.testbed.ssh.surveys import Survey, family, has_gateway, programs, systems

_SCRIPT = KERNEL / "build-module.sh"
Modules = dict[str, dict[str, ModuleFile]]  # {host: {build: module}}
_BUILD_S = 1800  # a slow host needs it to fetch headers and a kernel source, and to compile


def modules_here(builds: Sequence[Build]) -> dict[str, dict[str, cache.Product]]:
    """Return the modules that this computer has built, by kernel release and build; only releases that have all
    builds."""
    found: dict[str, dict[str, cache.Product]] = {}
    for build in builds:
        products = [cached_lab_module(build)]
        products += [cached_release_module(release, build) for release in load_releases().values()]
        for product in products:
            if product is not None:
                found.setdefault(product.description["facts"]["release"], {})[build.name] = product
    return {release: made for release, made in found.items() if len(made) == len(builds)}


def source_packages(release: str, systems: Collection[str]) -> list[str]:
    """Return the packages that may contain a kernel's source, most likely first.

    ``release``: as printed by `uname -r`; ``systems``: ID and ID_LIKE from os-release(5). For 6.12.48+deb13-amd64,
    Debian has linux-source-6.12. For 6.8.0-45-generic, Ubuntu has linux-source-6.8.0; if that kernel is newer than the
    system, linux-hwe-6.8-source-6.8.0, or the same with the flavour's name in place of hwe.
    """
    found = re.match(r"(\d+)\.(\d+)(\.\d+)?", release)
    if found is None:
        return []
    series, full = f"{found[1]}.{found[2]}", f"{found[1]}.{found[2]}{found[3] or '.0'}"
    flavour = release.rpartition("-")[2]
    ubuntu = [f"linux-source-{full}", f"linux-hwe-{series}-source-{full}", f"linux-{flavour}-{series}-source-{full}"]
    debian = [f"linux-source-{series}"]
    return [*ubuntu, *debian] if "ubuntu" in systems else [*debian, *ubuntu[:1]]


def wanted_modules(
    host: SshHost, survey: Survey, here: Mapping[str, Mapping[str, cache.Product]], builds: Sequence[Build]
) -> list[WantedModule]:
    """Return the modules of these builds that a host must have; none if it is not a gateway."""
    if not has_gateway(host):
        return []
    release = str(survey.facts["kernel_release"])
    if not builds_there(host, release, here):
        return [from_here(build.name, here[release][build.name]) for build in builds]
    script = hash_files([_SCRIPT], KERNEL)
    wanted = []
    for build in builds:
        made_from = {"release": release, "own": build.digest, "script": script}
        wanted.append(WantedModule(build.name, release, cache.key_of(made_from), None, build.patched))
    return wanted


def confirm(
    agent: Agent, wanted: Sequence[WantedModule], needs: Sequence[Needs] = ()
) -> tuple[dict[str, ModuleFile], list[str]]:
    """Return the modules that a host has, by build, and short descriptions of each difference from a provisioned host.

    ``needs``: what the systems and the tool of an experiment need.
    """
    found = agent.request(ProvisionedRequest(list(programs(needs)), [module.path for module in wanted]))
    differs = [f"{name} is missing" for name in found["missing"]]
    modules = {}
    for module in wanted:
        facts = found["modules"][module.path]
        # A stamp has a hash of the module's inputs, and the SHA-256 of the module.
        made_from, _, digest = (facts["stamp"] if facts else "").partition(" ")
        if facts is None:
            differs.append(f"the module {module.build} is missing")
        elif (made_from, digest) != (module.made_from, facts["sha256"]):
            differs.append(f"the module {module.build} is a different one")
        elif facts["release"] != module.release or not facts["build_id"]:
            differs.append(f"the module {module.build} is for the kernel {facts['release']}")
        else:
            modules[module.build] = ModuleFile(module.path, facts["build_id"])
    return modules, differs


@contextlib.contextmanager
def _own_sources(builds: Sequence[Build]) -> Iterator[Path]:
    """Context manager that yields a tar file of the build script and the files of builds: so they need one task instead
    of one per file."""
    with tempfile.TemporaryDirectory(prefix="orch-sources-") as name:
        file = Path(name) / "sources.tar"
        with tarfile.open(file, "w") as tar:
            tar.add(_SCRIPT, _SCRIPT.name)
            for build in builds:
                if build.patched:
                    build.write(Path(name) / build.name)
                    tar.add(Path(name) / build.name, build.name)
        yield file


@dataclass(frozen=True)
class Provisioning:
    """The provisioning of a testbed's hosts: what they must have, and how to make sure that they do.
    ``is_interrupted``: ends a playbook early."""

    testbed: SshTestbed
    routes: Mapping[str, SshRoute]
    agents: Mapping[str, Agent]
    surveys: Mapping[str, Survey]
    progress: Progress
    is_interrupted: Callable[[], bool] = lambda: False

    @cached_property
    def _builds(self) -> list[Build]:
        return needed_builds(self.testbed.own_code)

    @cached_property
    def _wanted(self) -> dict[str, list[WantedModule]]:
        here = modules_here(self._builds)
        return {
            host.name: wanted_modules(host, self.surveys[host.name], here, self._builds) for host in self.testbed.hosts
        }

    def confirm(self) -> tuple[Modules, PlaybookResult | None]:
        """Make sure that every host is provisioned. Return the modules by host and build, and the result of the
        playbook, None if it did not have to run. Raises TestbedError."""
        self.progress.detail("checking what is provisioned")
        modules, differs = self._look()
        if not differs:
            return modules, None
        self.progress.message(f"To be provisioned: {'; '.join(differs)}.")
        return self.carry_out()

    def carry_out(self) -> tuple[Modules, PlaybookResult]:
        """Run the playbook on all hosts. Return the modules by host and build, and the result of the playbook. Raises
        TestbedError."""
        self.progress.stage("Provisioning the hosts with Ansible", 60)
        outcome = self._playbook_pass()
        modules, differs = self._look()
        if differs:
            raise TestbedError(f"After provisioning, something is still not right: {'; '.join(differs)}.")
        return modules, outcome

    def _look(self) -> tuple[Modules, list[str]]:
        """Return the modules by host and build, and the differences from provisioned hosts."""
        modules, differs = {}, []
        for host in self.testbed.hosts:
            modules[host.name], found = confirm(self.agents[host.name], self._wanted[host.name], self.testbed.needs)
            differs += [f"{host.name}: {what}" for what in found]
        return modules, differs

    def _playbook_pass(self) -> PlaybookResult:
        targets = []
        with _own_sources(self._builds) as sources:
            for host in self.testbed.hosts:
                facts = self.surveys[host.name].facts
                of_host = {
                    "orch_family": family(facts),
                    "orch_packages": sorted({one.package for one in programs(self.testbed.needs).values()}),
                    "orch_kernel_release": facts["kernel_release"],
                    "orch_module_sources": str(sources),
                    "orch_source_packages": source_packages(facts["kernel_release"], systems(facts)),
                    **variables(self._wanted[host.name]),
                }
                targets.append(replace(self.routes[host.name].target(), variables=of_host))
            return run_playbook(
                "provision", targets, {}, self.progress, timeout_s=_BUILD_S, is_interrupted=self.is_interrupted
            )
