# SPDX-License-Identifier: Apache-2.0
"""Requests that only read a host's properties, and their answers: what it is, has, and can tune."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.host_messages import BusyAnswer
from orchestrator.agent.messages import Request


class HelloAnswer(typing.TypedDict):
    """The identity of a host.

    ``virtual_time``: the kernel's counters of it, None in real time; ``tools``: {name: version, None if it is missing}.
    """

    protocol: int
    hostname: str
    kernel_release: str
    kernel_version: str
    kernel_command_line: str
    boot_id: str
    cpus_online: int
    cpus_usable: int
    cpu_models: list[str]
    virtual_time: dict[str, int] | None
    memory_kib: int
    python: str
    tools: dict[str, str | None]


@dataclasses.dataclass
class HelloRequest(Request[HelloAnswer]):
    """Ask for the host's identity."""

    operation = "hello"


class OsRelease(typing.TypedDict):
    """The fields of os-release(5)."""

    id: str
    like: list[str]
    name: str
    version: str


class Nic(typing.TypedDict):
    """An interface; numbers are None if unknown.

    ``kind``: empty for a NIC; ``trouble``: why it cannot be used for trials, None if it can.
    """

    driver: str | None
    kind: str
    mtu: int | None
    up: bool
    carrier: bool
    speed_mbps: int | None
    numa_node: int | None
    queues: int
    trouble: str | None


class Cpu(typing.TypedDict):
    """A CPU.

    ``threads``: of its core; ``off_because``: None if it is on line, else smt, smt-forced, absent or unknown.
    """

    cpu: int
    online: bool
    can_go_offline: bool
    core: int | None
    package: int | None
    threads: list[int] | None
    node: int | None
    off_because: str | None


class SurveyAnswer(HelloAnswer):
    """The properties that decide whether trials can run on a host; None for what its kernel does not report.

    ``commands``: {name: version}; ``kernel_modules``: {name: whether the kernel has it}; ``headers``: whether the
    kernel's headers are installed; ``sources``: archives of kernels; ``boot_menu``: of the boot loader; ``holder``: of
    the lease; ``other_names``: {altname of an interface: its name}.
    """

    uid: int
    machine: str
    system: OsRelease
    clock_synchronized: bool | None
    commands: dict[str, str | None]
    kernel_modules: dict[str, bool | None]
    headers: bool
    sources: list[str]
    boot_menu: str | None
    secure_boot: bool | None
    lockdown: str | None
    signatures_enforced: bool
    wireguard_devices: list[str]
    nics: dict[str, Nic]
    other_names: dict[str, str]
    free_bytes: dict[str, int]
    cpus: list[Cpu]
    cpus_allowed: list[int]
    cpus_isolated: list[int]
    busy: BusyAnswer
    holder: dict[str, typing.Any] | None


@dataclasses.dataclass
class SurveyRequest(Request[SurveyAnswer]):
    """Read the properties that decide whether trials can run on the host.

    ``tools``: {name: command that prints its version}; ``kernel_modules``: names; ``folders``: whose free bytes are
    read; ``load_window_s``: seconds for which the use by other processes is measured.
    """

    operation = "survey"
    tools: typing.Mapping[str, typing.Sequence[str]]
    kernel_modules: typing.Sequence[str]
    folders: typing.Sequence[str]
    load_window_s: float


class ModuleFacts(typing.TypedDict):
    """A module file. ``release``: of the kernel that it is for; ``stamp``: identifies its inputs."""

    sha256: str
    build_id: str | None
    release: str | None
    stamp: str


class ProvisionedAnswer(typing.TypedDict):
    """Installed software. ``missing``: absent commands; ``modules``: {path: ModuleFacts, None for a missing file}."""

    missing: list[str]
    modules: dict[str, ModuleFacts | None]


@dataclasses.dataclass
class ProvisionedRequest(Request[ProvisionedAnswer]):
    """Check what provisioning left. ``commands``: names; ``modules``: paths of module files."""

    operation = "provisioned"
    commands: typing.Sequence[str]
    modules: typing.Sequence[str]


class NamedSetting(typing.TypedDict):
    """A setting and its present value."""

    name: str
    now: str


class Governor(typing.TypedDict):
    """A cpufreq policy. ``preference``: the energy preference of the same CPUs, None if they have none."""

    now: str
    choices: list[str]
    preference: NamedSetting | None


class Turbo(NamedSetting):
    """The setting of turbo frequencies. ``off``: the value that means off."""

    off: str


class IdleState(NamedSetting):
    """An idle state of a CPU; ``name`` is the file that disables it."""

    latency_us: int


class Amount(typing.TypedDict):
    """A number that can be set, and the largest value that it takes."""

    now: int
    most: int


# The tunables of an interface. ``hash-udp4``: letters of its fields; ``groups``: {feature: [those that it stands for]};
# ``interrupts``: [[number, queue]]; ``steering``: {file: mask} of RPS and XPS.
NicTunables = typing.TypedDict(
    "NicTunables",
    {
        "channels": "Amount | None",
        "ring-rx": "Amount | None",
        "ring-tx": "Amount | None",
        "hash-udp4": "str | None",
        "coalesce-rx-usecs": "str | None",
        "adaptive-rx": "str | None",
        "groups": "dict[str, list[str]]",
        "interrupts": "list[list[int]]",
        "steering": "dict[str, str]",
    },
)


class TunablesAnswer(typing.TypedDict):
    """The settings that can be tuned, with their present values; None or empty if missing.

    ``governors``: by their files; ``irqbalance``: active or inactive; ``nics``: by interface.
    """

    governors: dict[str, Governor]
    turbo: Turbo | None
    idle: list[IdleState]
    smt: NamedSetting | None
    irqbalance: str | None
    nics: dict[str, NicTunables]


@dataclasses.dataclass
class TunablesRequest(Request[TunablesAnswer]):
    """Read what can be tuned on the host and some of its interfaces."""

    operation = "tunables"
    nics: typing.Sequence[str]


class QueueInterruptsAnswer(typing.TypedDict):
    """The interrupts of queues. ``interrupts``: {interface, by its name on the host: [[number, queue]]}."""

    interrupts: dict[str, list[list[int]]]


@dataclasses.dataclass
class QueueInterruptsRequest(Request[QueueInterruptsAnswer]):
    """Read the interrupts of the interfaces that roles have, which are up."""

    operation = "queue_interrupts"
