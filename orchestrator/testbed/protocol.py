# SPDX-License-Identifier: Apache-2.0
"""What every testbed can do: one narrow lifecycle, and errors that say whether trying again can help."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol, Self

from orchestrator.spec import LinkKind
from orchestrator.testbed.remote import Agent
from orchestrator.testbed.virtual import VirtualTime


@dataclass(frozen=True, slots=True)
class State:
    """What a block needs of the hosts. ``cores``: processors that the hosts may use. ``own_boot``: the index of a block
    that is to have a boot of the hosts for itself, where the testbed allows it; None where its plan asks for none."""

    cores: int
    own_boot: int | None = None


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """A module as it lies on the hosts: its path there and the build id that it must have in the kernel."""

    path: str
    build_id: str


@dataclass(frozen=True, slots=True)
class Boost:
    """What happened to the computer while a trial ran. ``realtime``: the lab had real-time priority.

    ``computer``: processor seconds of the controller's computer between begin and end: busy in all, used by the lab, by
    others, and stolen by a hypervisor, with the time that passed and how often a CPU was throttled; empty where the
    testbed is not on this computer.
    """

    realtime: bool
    computer: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Sharing:
    """That testbeds of one run have their machines on the same computer. ``run``: what names the run there;
    ``machines``: of all these testbeds together; ``slots``: of this one in virtual time, the place of its first slot
    among the computer's CPUs, and their number."""

    run: str
    machines: int
    slots: tuple[int, int] | None = None


class Testbed(Protocol):
    """A testbed that has been opened. Use it as a context manager: leaving it releases everything, on every way out."""

    name: str
    provider: str
    label: str  # for figures: 'one machine, all four roles'
    emulated: bool
    virtual: VirtualTime | None  # its virtual time; None where its clock is real
    links: LinkKind  # how packets come to the CPUs of the roles that share a machine

    @property
    def hosts(self) -> Sequence[tuple[str, Sequence[str]]]:
        """(name, roles) of every host."""
        ...

    @property
    def nics(self) -> Mapping[str, Mapping[str, str]]:
        """{host: {link: interface}} of the links between hosts."""
        ...

    @property
    def agents(self) -> Mapping[str, Agent]:
        """The agent of every host, by its name, while the hosts are prepared."""
        ...

    @property
    def cpus(self) -> Mapping[str, Sequence[int]]:
        """The CPUs that trials use for every role, while the hosts are prepared: all of its host's, or its own."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...

    def prepare(self, state: State) -> Mapping[str, Any]:
        """Bring the hosts into a state (which may restart them); returns the state read back, per host.

        Raises TestbedError when that does not work.
        """
        ...

    def linked(self) -> Mapping[str, Any]:
        """Do what can be done only once the roles' interfaces are up; more of what `prepare` returned, per host.

        Raises TestbedError when that does not work.
        """
        ...

    def vary(self, host: str, settings: Mapping[str, str]) -> Mapping[str, str]:
        """Bring a host to the settings that a block wants, beside those of its file, and put back those that an earlier
        block wanted; returns them, read back. Raises TestbedError where the host refuses."""
        ...

    def module(self, build: str, host: str) -> ModuleFile:
        """A build of the wireguard module on a host."""
        ...

    def boost(self, seconds: float) -> "AbstractContextManager[BoostResult]":
        """Keep everything else on the hosts' computer out of the way for at most ``seconds``."""
        ...

    def settle(self, share: float, most_s: float) -> bool:
        """Wait until other load uses less than ``share`` of a core, where that can be seen.

        ``most_s`` seconds at most; False where it did not go away.
        """
        ...

    def environment(self) -> Mapping[str, Any]:
        """What is worth recording about the testbed as a whole."""
        ...

    def interrupt(self) -> None:
        """From another thread: break off what is being asked of the hosts, which then is a TestbedError there.

        The testbed can only be left after that.
        """
        ...


def own_cpus(testbed: Testbed) -> bool:
    """Whether each role has CPUs of its own although all roles are on one machine."""
    return testbed.virtual is not None and testbed.virtual.own_cpus


_EMULATED_PATIENCE = 6.0  # measured: logging in, loading a module or a handshake takes 5 to 20 times as long, mostly 5


def slowness(testbed: Testbed) -> float:
    """How many times longer than on real processors something may take before it counts as failed, by the clock of the
    testbed's hosts. Virtual time makes no difference: there the hosts' clock is as slow as the hosts are."""
    return _EMULATED_PATIENCE if testbed.emulated else 1.0


def patience(testbed: Testbed) -> float:
    """How many times longer than on real processors something may take before it counts as failed, by the clock of the
    controller, which waits for the hosts. In virtual time many of its seconds pass for one of a host with many busy
    virtual CPUs; how many depends on the CPUs that a block has, and is known once its hosts are being prepared."""
    if testbed.virtual is None:
        return slowness(testbed)
    cores = max((len(cpus) for cpus in testbed.cpus.values()), default=testbed.virtual.cores)
    return slowness(testbed) * testbed.virtual.patience(cores)


class BoostResult:
    """Filled when the boosted stretch ends."""

    def __init__(self) -> None:
        self.value = Boost(False, {})
