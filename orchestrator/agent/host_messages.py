# SPDX-License-Identifier: Apache-2.0
"""Requests about a host itself, and their answers: clocks, CPUs, its lease, settings, the module, the kernel's log."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.messages import Nothing, Request


class ClockAnswer(typing.TypedDict):
    """``clock_s``: seconds of the epoch; ``monotonic_s``: of CLOCK_MONOTONIC."""

    clock_s: float
    monotonic_s: float


@dataclasses.dataclass(frozen=True)
class ClockRequest(Request[ClockAnswer]):
    """Read the host's clocks."""

    operation = "clock"


@dataclasses.dataclass(frozen=True)
class PauseRequest(Request[Nothing]):
    """Wait for so many seconds by the host's clock."""

    operation = "pause"
    seconds: float


class ControlAnswer(typing.TypedDict):
    """``rates``: rounds per second of each loop that computed, in the order of the CPUs, for each phase."""

    rates: list[list[float]]


@dataclasses.dataclass(frozen=True)
class ControlRequest(Request[ControlAnswer]):
    """Count what loops get done.

    ``seconds``: how long a phase is, by CLOCK_MONOTONIC; ``phases``: how many loops compute in each phase; ``cpus``: on
    which CPUs, None for all that the agent may use.
    """

    operation = "control"
    seconds: float
    phases: typing.Sequence[int]
    cpus: typing.Sequence[int] | None = None


class BusyAnswer(typing.TypedDict):
    """``cores``: how much of a core other processes used; ``names``: of the busiest."""

    cores: float
    names: list[str]


@dataclasses.dataclass(frozen=True)
class BusyRequest(Request[BusyAnswer]):
    """See how much other processes use the host within ``window_s`` seconds."""

    operation = "busy"
    window_s: float


class LeaseAnswer(typing.TypedDict):
    """``taken_by``: None where the lease was taken; else who has it: the ``holder`` that they gave, the agent's process
    (``agent_pid``), and ``silent_s``, for how long its controller has asked nothing."""

    taken_by: dict[str, typing.Any] | None


@dataclasses.dataclass(frozen=True)
class LeaseRequest(Request[LeaseAnswer]):
    """Take the host for one run. ``holder``: who takes it, JSON values."""

    operation = "lease"
    holder: typing.Mapping[str, typing.Any]


class BreakLeaseAnswer(typing.TypedDict):
    """``ended``: the process that was ended; None where nobody held the lease."""

    ended: int | None


@dataclasses.dataclass(frozen=True)
class BreakLeaseRequest(Request[BreakLeaseAnswer]):
    """End the agent that holds the host's lease. ``hard``: without giving anything back."""

    operation = "break_lease"
    hard: bool = False


class LeaveAnswer(typing.TypedDict):
    """Sentences: ``done``: what was found and put back; ``left``: what could not be."""

    done: list[str]
    left: list[str]


@dataclasses.dataclass(frozen=True)
class LeaveRequest(Request[LeaveAnswer]):
    """Give the host back. ``leftovers``: also those of an agent that was killed."""

    operation = "leave"
    leftovers: bool = False


@dataclasses.dataclass(frozen=True)
class RestartRequest(Request[Nothing]):
    """Restart the host with its own `reboot`."""

    operation = "restart"


@dataclasses.dataclass(frozen=True)
class ConfineRequest(Request[Nothing]):
    """Keep to some CPUs from now on."""

    operation = "confine"
    cpus: typing.Sequence[int]


@dataclasses.dataclass(frozen=True)
class PlaceRequest(Request[Nothing]):
    """Give each role CPUs of its own from now on. ``roles``: {role: its CPUs}, no CPU twice."""

    operation = "place"
    roles: typing.Mapping[str, typing.Sequence[int]]


class ReadSettingsAnswer(typing.TypedDict):
    """``values``: {name: value}; ``refused``: {name: what was said}, of those that may refuse."""

    values: dict[str, str]
    refused: dict[str, str]
    boot_id: str


@dataclasses.dataclass(frozen=True)
class ReadSettingsRequest(Request[ReadSettingsAnswer]):
    """Read settings of the host. ``may_refuse``: those of which no failure is one of the request."""

    operation = "read_settings"
    names: typing.Sequence[str] = ()
    may_refuse: typing.Sequence[str] = ()


class Refusal(typing.TypedDict):
    """``said``: what was said when a setting was refused; ``now``: its value, None where it cannot be read."""

    said: str
    now: str | None


class WriteSettingsAnswer(typing.TypedDict):
    """``refused``: {name: Refusal}, of those that may refuse."""

    refused: dict[str, Refusal]


@dataclasses.dataclass(frozen=True)
class WriteSettingsRequest(Request[WriteSettingsAnswer]):
    """Write settings of the host in this order, and read each back. ``may_refuse``: as of `ReadSettingsRequest`."""

    operation = "write_settings"
    values: typing.Mapping[str, str]
    may_refuse: typing.Sequence[str] = ()


class RoleSettingsAnswer(typing.TypedDict):
    """``set``: {role: {name: value}}, what a role's namespace has of its own; ``others``: what is of the whole host."""

    set: dict[str, dict[str, str]]
    others: dict[str, dict[str, str]]


@dataclasses.dataclass(frozen=True)
class RoleSettingsRequest(Request[RoleSettingsAnswer]):
    """Set in roles what their namespaces have of their own. ``roles``: {role: {name: value}}."""

    operation = "role_settings"
    roles: typing.Mapping[str, typing.Mapping[str, str]]


class VariantAnswer(typing.TypedDict):
    """``build_id``: of the wireguard module in the kernel."""

    build_id: str


@dataclasses.dataclass(frozen=True)
class VariantRequest(Request[VariantAnswer]):
    """Bring a wireguard module into the kernel.

    ``module``: its path; ``build_id``: the one that it must have; ``parameters``: {name: value} of its parameters.
    """

    operation = "variant"
    module: str
    build_id: str
    parameters: typing.Mapping[str, str]


@dataclasses.dataclass(frozen=True)
class WatchKernelLogRequest(Request[Nothing]):
    """Have `KernelLogRequest` report complaints from now on."""

    operation = "watch_kernel_log"


class KernelLogAnswer(typing.TypedDict):
    """``complaints``: lines that say that something went wrong; ``crypto``: which code encrypts, None where the kernel
    does not say."""

    complaints: list[str]
    crypto: str | None


@dataclasses.dataclass(frozen=True)
class KernelLogRequest(Request[KernelLogAnswer]):
    """Read the kernel's log. ``most``: how many complaints are returned."""

    operation = "kernel_log"
    most: int
