# SPDX-License-Identifier: Apache-2.0
"""The provider ``uml``: the embedded lab as a testbed."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from orchestrator.errors import TestbedError
from orchestrator.paths import cache_home
from orchestrator.progress import Progress
from orchestrator.provision import from_here
from orchestrator.spec import crossing_links
from orchestrator.testbed.computer import Computer, own_realtime, wait_until_quiet
from orchestrator.testbed.hosts import Hosts, label_of
from orchestrator.testbed.lease import lease
from orchestrator.testbed.protocol import Boost, BoostResult, ModuleFile, State
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.settings import SettingsJournal
from orchestrator.testbed.uml.disk import BOOT_TIMEOUT_S, LabProducts, lab_products
from orchestrator.testbed.uml.lab import Lab, Machine

if TYPE_CHECKING:
    from orchestrator import spec

LAB_PRIORITY = 10  # SCHED_FIFO, as measured to shield the lab from other load
CONTROLLER_PRIORITY = 12  # above the lab, below the keeper with its watchdog


def forget_ended(journal: SettingsJournal) -> list[str]:
    """Forget the settings of machines that have ended: a lab machine's settings go with it. Says which."""
    said = []
    for host, settings in journal.pending().items():
        said.append(f"{host}: its lab has ended, and {', '.join(settings)} with it; nothing is left to put back.")
        journal.remove(host, list(settings))
    return said


def restore(testbed: "spec.UmlTestbed") -> list[str]:
    """Put back what a run that crashed left changed; sentences on what was done. TestbedError while a run uses it."""
    with lease("lab", wait=False):
        return forget_ended(SettingsJournal(testbed.testbed))


def nics_of(hosts: "Sequence[spec.UmlHost]") -> dict[str, dict[str, str]]:
    """The interfaces of lab machines on the links between them: vec1, vec2 and so on, in the order of the links."""
    return {host.name: {link: f"vec{i}" for i, link in enumerate(crossing_links(hosts, host), 1)} for host in hosts}


class UmlTestbed:
    """Lab machines on this computer. Each role is in a network namespace of its own on the machine that has it."""

    provider = "uml"
    emulated = False

    def __init__(self, testbed: "spec.UmlTestbed", progress: Progress, *, wait: bool = True) -> None:
        self.name = testbed.testbed
        self._spec = testbed
        self._progress = progress
        self._wait = wait
        self._lease = contextlib.ExitStack()
        self._journal = SettingsJournal(self.name)
        self._hosts = Hosts(testbed.hosts, self._journal)
        self._lab: Lab | None = None
        self._products: LabProducts | None = None
        self.label = label_of(testbed.hosts)
        self.nics: Mapping[str, Mapping[str, str]] = nics_of(testbed.hosts)
        self.cpus: Mapping[str, Sequence[int]] = {}

    @property
    def hosts(self) -> Sequence[tuple[str, Sequence[str]]]:
        return [(host.name, list(host.roles)) for host in self._spec.hosts]

    @property
    def agents(self) -> Mapping[str, Agent]:
        return self._hosts.agents

    @property
    def lab(self) -> Lab:
        """The lab behind an entered testbed."""
        assert self._lab is not None
        return self._lab

    def __enter__(self) -> Self:
        self._products = lab_products(self._progress)
        self._lease.enter_context(lease("lab", wait=self._wait, on_wait=self._say_who))
        self._lab = Lab.start()
        return self

    def _say_who(self, holder: str) -> None:
        self._progress.stage(f"Waiting for the lab of this computer, which is in use by {holder}")

    def __exit__(self, *exception: object) -> None:
        self._hosts.stop_agents()  # the machines end now, and their settings with them
        forget_ended(self._journal)
        if self._lab is not None:
            self._lab.close()
            self._lab = None
        self._lease.close()

    def prepare(self, state: State) -> Mapping[str, Any]:
        """Boot each machine with so many virtual CPUs. More than this computer has cores are refused: they would
        measure the host's scheduler (four on two cores carried a twentieth of the traffic)."""
        available = len(os.sched_getaffinity(0))
        machines = len(self._spec.hosts)
        if state.cores * machines > available:
            each = f"{machines} machines with {state.cores}" if machines > 1 else f"{state.cores}"
            raise TestbedError(
                f"{each} virtual CPUs were asked for and this computer has {available} cores; machines with more "
                "virtual CPUs than cores would measure the scheduler of this computer. Ask for fewer cores."
            )
        assert self._lab is not None
        assert self._products is not None
        self._hosts.stop_agents()
        if not self._lab.is_alive():  # whatever ended it: a lab is made in a moment
            self._lab.close()
            self._lab = Lab.start()
        for number, host in enumerate(self._spec.hosts, 1):
            links = crossing_links(self._spec.hosts, host)
            disk = self._products.disk_file
            kernel = self._products.kernel_file
            self._lab.boot(Machine(host.name, number, kernel, disk, state.cores, host.memory, links=links))
        self.cpus = {host.name: range(state.cores) for host in self._spec.hosts}
        return {host.name: self._start_agent(host.name, state.cores) for host in self._spec.hosts}

    def _start_agent(self, name: str, cores: int) -> dict[str, Any]:
        """Of a machine that boots; what it says of itself."""
        self.lab.wait_for_ssh(name, BOOT_TIMEOUT_S)
        found = self._hosts.start_agent(name, self.lab.login(name))
        if found["cpus_online"] != cores:
            raise TestbedError(f"{name} came up with {found['cpus_online']} CPUs, not {cores}.")
        # Where things are on this computer says who uses it, and is nobody's business who reads the results.
        line = str(found["kernel_command_line"])
        for path, replacement in ((self.lab.folder, "LAB"), (cache_home(), "CACHE")):
            line = line.replace(str(path), replacement)
        return {**found, "kernel_command_line": line, **self._hosts.apply_settings(name)}

    def module(self, build: str, host: str) -> ModuleFile:
        assert self._products is not None
        product = self._products.builds[build]
        return ModuleFile(from_here(build, product).path, str(product.description["facts"]["build_id"]))

    @contextlib.contextmanager
    def boost(self, seconds: float) -> Iterator[BoostResult]:
        """Real-time priority for the lab, the controller above it and the keeper, which has the watchdog, on top."""
        assert self._lab is not None
        result = BoostResult()
        computer = Computer.now()
        lab_before = self._lab.request("usage")["cpu_s"]
        with own_realtime(CONTROLLER_PRIORITY) as allowed:
            realtime = allowed and self._lab.request("boost", priority=LAB_PRIORITY, seconds=seconds)["realtime"]
            try:
                yield result
            finally:
                # The lab may be what failed; its end takes the priority with it.
                with contextlib.suppress(TestbedError):
                    if realtime:
                        self._lab.request("unboost")
                    lab_s = self._lab.request("usage")["cpu_s"] - lab_before
                    result.value = Boost(bool(realtime), Computer.now().since(computer, lab_s))

    def settle(self, share: float, most_s: float) -> bool:
        return wait_until_quiet(share, most_s)

    def environment(self) -> Mapping[str, Any]:
        assert self._products is not None
        products = self._products
        return {
            "kernel": {"key": products.kernel.key, **products.kernel.description["facts"]},
            "image_packages": (products.disk.path / "packages.txt").read_text().splitlines(),
            "modules": {build: product.description["facts"] for build, product in products.builds.items()},
            "disk": {"key": products.disk.key, **products.disk.description["facts"]},
        }
