# SPDX-License-Identifier: Apache-2.0
"""The base class of testbeds whose machines are in a lab on this computer."""

import contextlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, Self

from orchestrator import cache
from orchestrator.agent.host_messages import PlaceRequest
from orchestrator.errors import TestbedError
from orchestrator.paths import cache_home
from orchestrator.progress import Progress
from orchestrator.provision import installed_at
from orchestrator.spec import VETH, LinkKind, crossing_links
from orchestrator.testbed.computer import Computer, own_realtime, wait_until_quiet
from orchestrator.testbed.hosts import TestbedOnHosts
from orchestrator.testbed.lab.lab import Lab
from orchestrator.testbed.lease import lease
from orchestrator.testbed.protocol import ComputerUse, ComputerUseResult, ModuleFile, Sharing, State, patience
from orchestrator.testbed.settings import SettingsJournal
from orchestrator.testbed.virtual import VirtualTime, check_kernel, cpus_by_role

if TYPE_CHECKING:
    from orchestrator import spec

LAB_PRIORITY = 10  # SCHED_FIFO; measured to shield the lab from other load
CONTROLLER_PRIORITY = 12  # above the lab, below the keeper with its watchdog


class Machines(Protocol):
    """The built products from which the machines of a testbed boot, and how to boot them."""

    def boot(self, lab: Lab, number: int, cores: int) -> None:
        """Start or restart the machine of the testbed's host ``number`` (from 1), as it was provisioned."""
        ...

    def wait(self, lab: Lab, name: str) -> None:
        """Return once a machine accepts logins. Raises TestbedError with the end of its console if that takes too
        long."""
        ...


def forget_ended(journal: SettingsJournal) -> list[str]:
    """Forget the settings of machines that have ended, because a lab machine's settings end with it. Return sentences
    that name the machines."""
    said = []
    for host, settings in journal.pending().items():
        said.append(f"{host}: its lab has ended, and {', '.join(settings)} with it; nothing is left to put back.")
        journal.remove(host, list(settings))
    return said


def restore(testbed: "spec.Testbed") -> list[str]:
    """Restore what a crashed run left changed, and return sentences on what was done. Raises TestbedError if a run uses
    the lab."""
    with lease("lab", wait=False):
        return forget_ended(SettingsJournal(testbed.testbed))


def check_cores(machines: int, cores: int, virtual: VirtualTime | None = None) -> None:
    """Raise TestbedError if machines cannot have that many virtual CPUs.

    ``machines``: the number of machines in the run, with ``cores`` each. In real time they may have as many in total as
    this computer has cores, because more would measure its scheduler (four on two cores carried a twentieth of the
    traffic); in virtual time, as many as the testbed's file allows.
    """
    if virtual is not None:
        if cores > virtual.cores:
            raise TestbedError(
                f"{cores} virtual CPUs were requested, but the testbed file allows {virtual.cores} (cores: "
                f"{virtual.cores}). Ask for fewer, or raise cores in the file."
            )
        return
    available = len(os.sched_getaffinity(0))
    if cores * machines > available:
        each = f"{machines} machines with {cores}" if machines > 1 else f"{cores}"
        raise TestbedError(
            f"{each} virtual CPUs were requested, but this computer has {available} cores; machines with more "
            "virtual CPUs than cores would measure the scheduler of this computer. Ask for fewer cores."
        )


def module_file(build: str, product: cache.Product) -> ModuleFile:
    """Return the location and build id of a module build on a machine's provisioned disk."""
    facts = product.description["facts"]
    return ModuleFile(installed_at(facts["release"], build), str(facts["build_id"]))


class LabTestbed(TestbedOnHosts, ABC):
    """Machines in a lab. Each role is in a network namespace of its own on the machine that has it.

    ``nic``: the prefix of a machine's interface names, before their number; number 0 is for the controller.
    ``sharing``: given if other testbeds of the run have machines on this computer too; the lab then has no real-time
    priority, with which one of them would keep the others from working. ``virtual``: its virtual time, None if its
    clock is real. ``links``: how packets get to the CPUs of the roles that share a machine.
    """

    provider: str
    emulated = False

    def __init__(
        self,
        testbed: "spec.Testbed",
        nic: str,
        what: str,
        progress: Progress,
        wait: bool,
        sharing: Sharing | None,
        virtual: VirtualTime | None = None,
        links: LinkKind = VETH,
    ) -> None:
        super().__init__(testbed, what, progress, wait=wait)
        self.virtual = virtual
        self.links = links
        self._spec = testbed
        self._sharing = sharing
        self._lab: Lab | None = None
        self._machines: Machines | None = None
        self._interrupted = False
        self.nics: Mapping[str, Mapping[str, str]] = {
            host.name: {link: f"{nic}{i}" for i, link in enumerate(crossing_links(testbed.hosts, host), 1)}
            for host in testbed.hosts
        }
        self.cpus: Mapping[str, Sequence[int]] = {}

    @abstractmethod
    def _obtain(self) -> Machines:
        """Return the testbed's machines, building what they boot from if it is not cached. Raises TestbedError."""

    @abstractmethod
    def module(self, build: str, host: str) -> ModuleFile:
        """Return a build of the wireguard module on a host."""

    @abstractmethod
    def environment(self) -> Mapping[str, Any]:
        """Return the properties of the testbed as a whole that are recorded."""

    @property
    def lab(self) -> Lab:
        """The lab of an entered testbed."""
        assert self._lab is not None
        return self._lab

    def __enter__(self) -> Self:
        self._machines = self._obtain()
        run = self._sharing.run if self._sharing else None
        self._lease.enter_context(lease("lab", wait=self._wait, on_wait=self._say_who, run=run))
        self._lab = Lab.start()
        return self

    def _say_who(self, holder: str) -> None:
        self._progress.stage(f"Waiting for the lab of this computer, which is in use by {holder}")

    def __exit__(self, *exception: object) -> None:
        self._hosts.stop_agents()  # the machines end now, and with them their settings
        forget_ended(self._hosts.journal)
        if self._lab is not None:
            self._lab.close()
            self._lab = None
        self._lease.close()

    def prepare(self, state: State) -> Mapping[str, Any]:
        """Boot each machine with the virtual CPUs of a state. Raises TestbedError if there are more than `check_cores`
        allows."""
        machines = self._sharing.machines if self._sharing else len(self._spec.hosts)
        check_cores(machines, state.cores, self.virtual)
        assert self._lab is not None
        assert self._machines is not None
        self._hosts.stop_agents()
        if self._interrupted:
            raise TestbedError(f"The testbed {self.name} was interrupted.")
        if not self._lab.is_alive():  # a new lab takes only a moment
            self._lab.close()
            self._lab = Lab.start()
        for number in range(1, len(self._spec.hosts) + 1):
            self._machines.boot(self._lab, number, state.cores)
        self.cpus = self.virtual.cpus_by_role(state.cores) if self.virtual else cpus_by_role(state.cores)
        return {host.name: self._start_agent(host.name, state.cores) for host in self._spec.hosts}

    def linked(self) -> Mapping[str, Any]:
        """Return an empty result: a machine's interfaces have no queues of their own to set up."""
        return {}

    def _start_agent(self, name: str, cores: int) -> dict[str, Any]:
        """Start the agent of a machine that is booting, and return what it reports about the machine."""
        assert self._machines is not None
        self._machines.wait(self.lab, name)
        found = self._hosts.start_agent(name, self.lab.login(name), patience(self))
        wanted = self.virtual.machine_cpus(cores) if self.virtual else cores
        if found["cpus_online"] != wanted:
            raise TestbedError(f"{name} came up with {found['cpus_online']} CPUs, not {wanted}.")
        if self.virtual is not None:
            check_kernel(name, self.name, self.virtual, found["virtual_time"])
            if self.virtual.own_cpus:
                placed = {role: list(cpus) for role, cpus in self.cpus.items()}
                self._hosts.agents[name].request(PlaceRequest(placed))
        # Paths on this computer may identify its user, and are of no use in results.
        line = str(found["kernel_command_line"])
        for path, replacement in ((self.lab.folder, "LAB"), (cache_home(), "CACHE")):
            line = line.replace(str(path), replacement)
        return {**found, "kernel_command_line": line, **self._hosts.apply_settings(name)}

    @contextlib.contextmanager
    def prioritized(self, seconds: float) -> Iterator[ComputerUseResult]:
        """Context manager that gives real-time priority to the lab, a higher one to the controller, and the highest to
        the keeper with its watchdog.

        Emulated machines get none: they are not measured, and would occupy the computer's cores for long. Nor do
        machines beside other testbeds of the run, or in virtual time, where other programs make a trial longer but not
        wrong.
        """
        assert self._lab is not None
        result = ComputerUseResult()
        computer = Computer.now()
        lab_before = self._lab.request("usage")["cpu_s"]
        ordinary = self.emulated or self._sharing is not None or self.virtual is not None
        with contextlib.nullcontext(False) if ordinary else own_realtime(CONTROLLER_PRIORITY) as allowed:
            realtime = allowed and self._lab.request("prioritize", priority=LAB_PRIORITY, seconds=seconds)["realtime"]
            try:
                yield result
            finally:
                # If the lab itself failed, its priority ends with it.
                with contextlib.suppress(TestbedError):
                    if realtime:
                        self._lab.request("unprioritize")
                    lab_s = self._lab.request("usage")["cpu_s"] - lab_before
                    result.value = ComputerUse(bool(realtime), Computer.now().since(computer, lab_s))

    def wait_until_quiet(self, share: float, most_s: float) -> bool:
        """See `Testbed`. Does not wait in virtual time, where other programs make a trial longer but not wrong."""
        return self.virtual is not None or wait_until_quiet(share, most_s)

    def interrupt(self) -> None:
        self._interrupted = True
        super().interrupt()
        if self._lab is not None:
            self._lab.close()
