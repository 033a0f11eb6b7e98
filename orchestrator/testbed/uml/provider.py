# SPDX-License-Identifier: Apache-2.0
"""The provider ``uml``: the embedded lab as a testbed."""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.errors import TestbedError
from orchestrator.paths import cache_home
from orchestrator.progress import Progress
from orchestrator.testbed.computer import Computer, own_realtime, wait_until_quiet
from orchestrator.testbed.lease import holder_now, lease
from orchestrator.testbed.protocol import Boost, BoostResult, ModuleFile, State
from orchestrator.testbed.remote import Agent, open_connection
from orchestrator.testbed.settings import SettingsJournal, apply, put_back
from orchestrator.testbed.uml.disk import BOOT_TIMEOUT_S, LabProducts, lab_products, module_path
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


def restore(testbed: "spec.Testbed") -> list[str]:
    """Put back what a run that crashed left changed; sentences on what was done. TestbedError while a run uses it."""
    with lease("lab", wait=False):
        return forget_ended(SettingsJournal(testbed.testbed))


class UmlTestbed:
    """Lab machines on this computer. One machine has all roles, each in a network namespace of its own."""

    provider = "uml"
    emulated = False

    def __init__(self, testbed: "spec.Testbed", progress: Progress, *, wait: bool = True) -> None:
        self.name = testbed.testbed
        if len(testbed.hosts) != 1:
            raise TestbedError(
                f"The testbed {self.name} has {len(testbed.hosts)} hosts; this version of the provider uml carries all "
                "roles on one lab machine. Keep one host with all four roles."
            )
        self._host = testbed.hosts[0]
        self._progress = progress
        self._wait = wait
        self._lease = contextlib.ExitStack()
        self._journal = SettingsJournal(self.name)
        self._lab: Lab | None = None
        self._agent: Agent | None = None
        self._products: LabProducts | None = None
        roles = {2: "two", 4: "four"}.get(len(self._host.roles), str(len(self._host.roles)))
        self.label = f"one machine, all {roles} roles"

    @property
    def hosts(self) -> Sequence[tuple[str, Sequence[str]]]:
        return [(self._host.name, list(self._host.roles))]

    @property
    def lab(self) -> Lab:
        """The lab behind an entered testbed."""
        assert self._lab is not None
        return self._lab

    def __enter__(self) -> "UmlTestbed":
        self._products = lab_products(self._progress)
        self._lease.enter_context(lease("lab", wait=self._wait, on_wait=self._say_who))
        self._lab = Lab.start()
        return self

    def _say_who(self, holder: str) -> None:
        self._progress.stage(f"Waiting for the lab of this computer, which is in use by {holder}")

    def __exit__(self, *exception: object) -> None:
        if self._agent is not None:
            with contextlib.suppress(TestbedError):  # the machine ends now, and its settings with it
                put_back(self._agent, self._host.name, self._journal)
            self._agent.close()
            self._agent = None
        forget_ended(self._journal)
        if self._lab is not None:
            self._lab.close()
            self._lab = None
        self._lease.close()

    def prepare(self, state: State) -> Mapping[str, Any]:
        """Boot the machine with so many virtual CPUs. More than this computer has cores is refused: it would measure
        the host's scheduler (four on two cores carried a twentieth of the traffic)."""
        available = len(os.sched_getaffinity(0))
        if state.cores > available:
            raise TestbedError(
                f"{state.cores} virtual CPUs were asked for and this computer has {available} cores; a machine with "
                "more virtual CPUs than cores would measure the scheduler of this computer. Ask for fewer cores."
            )
        assert self._lab is not None
        assert self._products is not None
        if self._agent is not None:
            self._agent.close()
            self._agent = None
        if not self._lab.is_alive():  # whatever ended it: a lab is made in a moment
            self._lab.close()
            self._lab = Lab.start()
        host = self._host
        disk = self._products.disk_file
        machine = Machine(host.name, 1, self._products.kernel_file, disk, state.cores, host.memory)
        self._lab.boot(machine)
        self._lab.wait_for_ssh(host.name, BOOT_TIMEOUT_S)
        connection = open_connection(
            self._lab.connect(host.name), "root", "lab", self._lab.key_file, self._lab.known_hosts
        )
        self._agent = Agent(host.name, connection)
        found = self._agent.request("hello")
        if found["cpus_online"] != state.cores:
            raise TestbedError(f"{host.name} came up with {found['cpus_online']} CPUs, not {state.cores}.")
        self._agent.request("lease", holder=holder_now())
        before = apply(self._agent, host.name, host.settings, self._journal)
        # Where things are on this computer says who uses it, and is nobody's business who reads the results.
        line = str(found["kernel_command_line"])
        for path, name in ((self._lab.folder, "LAB"), (cache_home(), "CACHE")):
            line = line.replace(str(path), name)
        facts = {**found, "kernel_command_line": line}
        if before:
            facts |= {"settings": dict(host.settings), "settings_before": before}
        return {host.name: facts}

    def agent(self, role: str) -> Agent:
        if self._agent is None or role not in self._host.roles:
            raise TestbedError(f"No host of the testbed {self.name} has the role {role}, or it is not up.")
        return self._agent

    def module(self, build: str) -> ModuleFile:
        assert self._products is not None
        return ModuleFile(module_path(build), str(self._products.builds[build].description["facts"]["build_id"]))

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
