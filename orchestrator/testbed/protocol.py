# SPDX-License-Identifier: Apache-2.0
"""The interface of every testbed: a narrow lifecycle."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from orchestrator.spec import LinkKind
    from orchestrator.testbed.remote import Agent
    from orchestrator.testbed.virtual import VirtualTime


@dataclass(frozen=True, slots=True)
class State:
    """The state that a block needs on the hosts. ``cores``: how many processors they may use; ``own_boot``: the index
    of a block that needs a fresh boot of the hosts, if the testbed allows it, or None."""

    cores: int
    own_boot: int | None = None


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module on a host: its path, and the build id that the loaded module must have."""

    path: str
    build_id: str


@dataclass(frozen=True, slots=True)
class ComputerUse:
    """The use of the computer while a trial ran. ``realtime``: the lab had real-time priority.

    ``computer``: CPU seconds of the controller's computer during the trial (busy in total, used by the lab, used by
    others, and stolen by a hypervisor), together with the elapsed time and the number of times a CPU was throttled.
    Empty if the testbed is not on this computer.
    """

    realtime: bool
    computer: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Sharing:
    """How testbeds of one run share a computer. ``run``: identifies the run there; ``machines``: their total number;
    ``slots``: in virtual time, the position of this testbed's first slot among the computer's CPUs, and its number of
    slots."""

    run: str
    machines: int
    slots: tuple[int, int] | None = None


class OpenTestbed(Protocol):
    """An opened testbed. Use it as a context manager: leaving the context always releases everything."""

    name: str
    provider: str
    label: str  # for figures, such as "one machine, all four roles"
    emulated: bool
    virtual: "VirtualTime | None"  # its virtual time; None if its clock is real
    links: "LinkKind"  # how packets get to the CPUs of the roles that share a machine

    @property
    def hosts(self) -> Sequence[tuple[str, Sequence[str]]]:
        """(name, roles) of every host."""
        ...

    @property
    def nics(self) -> Mapping[str, Mapping[str, str]]:
        """{host: {link: interface}} for the links between hosts."""
        ...

    @property
    def agents(self) -> "Mapping[str, Agent]":
        """The agent of every host by name, while the hosts are prepared."""
        ...

    @property
    def cpus(self) -> Mapping[str, Sequence[int]]:
        """The CPUs that trials use for each role, while the hosts are prepared: all CPUs of its host, or those of the
        role."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def prepare(self, state: State) -> Mapping[str, Any]:
        """Bring the hosts into a state, which may restart them, and return the state of each host as read back.

        Raises TestbedError if this fails.
        """
        ...

    def linked(self) -> Mapping[str, Any]:
        """Do what is possible only after the roles' interfaces are up, and return additions to what `prepare` returned,
        per host.

        Raises TestbedError if this fails.
        """
        ...

    def vary(self, host: str, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Apply the settings that a block asks for, in addition to those of the host's file, and return them as read
        back.

        Settings that only an earlier block asked for are restored. Raises TestbedError if the host refuses.
        """
        ...

    def module(self, build: str, host: str) -> ModuleFile:
        """Return the file of a build of the wireguard module on a host."""
        ...

    def prioritized(self, seconds: float) -> "AbstractContextManager[ComputerUseResult]":
        """Context manager that keeps other programs on the hosts' computer from disturbing a trial, for at most
        ``seconds``."""
        ...

    def wait_until_quiet(self, share: float, most_s: float) -> bool:
        """Wait at most ``most_s`` seconds until other load uses less than ``share`` of a core, as far as that is
        visible. Return False if it did not drop."""
        ...

    def environment(self) -> Mapping[str, Any]:
        """Return the properties of the testbed as a whole that are recorded."""
        ...

    def interrupt(self) -> None:
        """Interrupt requests to the hosts from another thread; they then raise TestbedError there.

        After that, the testbed can only be exited.
        """
        ...


def own_cpus(testbed: OpenTestbed) -> bool:
    """Return whether each role has CPUs of its own although all roles are on one machine."""
    return testbed.virtual is not None and testbed.virtual.own_cpus


_EMULATED_PATIENCE = 6.0  # measured: a login, a module load or a handshake takes 5 to 20 times as long, mostly 5


def slowness(testbed: OpenTestbed) -> float:
    """Return the factor by which time-outs on the hosts' clock exceed those on real processors.

    Virtual time makes no difference, because the hosts' clock is as slow as the hosts are.
    """
    return _EMULATED_PATIENCE if testbed.emulated else 1.0


def patience(testbed: OpenTestbed) -> float:
    """Return the factor by which the controller's time-outs for the hosts exceed those on real processors.

    In virtual time, many seconds of the controller's clock can pass for one second of a host with many busy virtual
    CPUs. The factor depends on the CPUs of a block, and is known once its hosts are being prepared.
    """
    if testbed.virtual is None:
        return slowness(testbed)
    cores = max((len(cpus) for cpus in testbed.cpus.values()), default=testbed.virtual.cores)
    return slowness(testbed) * testbed.virtual.patience(cores)


class ComputerUseResult:
    """The use of the computer in a prioritized interval. ``value`` is set when the interval ends."""

    def __init__(self) -> None:
        self.value = ComputerUse(False, {})
