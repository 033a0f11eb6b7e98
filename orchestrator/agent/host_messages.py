# SPDX-License-Identifier: Apache-2.0
"""Requests about a host itself, and their answers: clocks, CPUs, its lease, settings, the module, the kernel's log."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.messages import Nothing, Request


class ClockAnswer(typing.TypedDict):
    """The host's clocks. ``clock_s``: seconds since the epoch; ``monotonic_s``: of CLOCK_MONOTONIC."""

    clock_s: float
    monotonic_s: float


@dataclasses.dataclass
class ClockRequest(Request[ClockAnswer]):
    """Read the host's clocks."""

    operation = "clock"


@dataclasses.dataclass
class PauseRequest(Request[Nothing]):
    """Wait for ``seconds`` by the host's clock."""

    operation = "pause"
    seconds: float


class ControlAnswer(typing.TypedDict):
    """The work of compute loops. ``rates``: for each phase, rounds per second of each loop, in CPU order."""

    rates: list[list[float]]


@dataclasses.dataclass
class ControlRequest(Request[ControlAnswer]):
    """Measure the work of compute loops.

    ``seconds``: the length of a phase by CLOCK_MONOTONIC; ``phases``: how many loops compute in each phase; ``cpus``:
    the CPUs to use, None for all that the agent may use.
    """

    operation = "control"
    seconds: float
    phases: typing.Sequence[int]
    cpus: typing.Sequence[int] | None = None


class BusyAnswer(typing.TypedDict):
    """The use by other processes. ``cores``: how many cores they used; ``names``: of the busiest."""

    cores: float
    names: list[str]


@dataclasses.dataclass
class BusyRequest(Request[BusyAnswer]):
    """Measure how much other processes use the host within ``window_s`` seconds."""

    operation = "busy"
    window_s: float


class LeaseAnswer(typing.TypedDict):
    """The result of a lease.

    ``taken_by``: None if the lease was obtained; else the present holder: its ``holder``, the agent's process
    (``agent_pid``), and ``silent_s``, the seconds since its controller's last request.
    """

    taken_by: dict[str, typing.Any] | None


@dataclasses.dataclass
class LeaseRequest(Request[LeaseAnswer]):
    """Take the host for one run. ``holder``: a description of the holder, as JSON values."""

    operation = "lease"
    holder: typing.Mapping[str, typing.Any]


class BreakLeaseAnswer(typing.TypedDict):
    """The end of a lease. ``ended``: the process that was ended; None if nobody held the lease."""

    ended: int | None


@dataclasses.dataclass
class BreakLeaseRequest(Request[BreakLeaseAnswer]):
    """End the agent that holds the host's lease. ``hard``: kill it, so that it restores nothing."""

    operation = "break_lease"
    hard: bool = False


class LeaveAnswer(typing.TypedDict):
    """The restored state, in sentences. ``done``: what was restored; ``left``: what could not be."""

    done: list[str]
    left: list[str]


@dataclasses.dataclass
class LeaveRequest(Request[LeaveAnswer]):
    """Restore the host. ``leftovers``: also restore what a killed agent left behind."""

    operation = "leave"
    leftovers: bool = False


@dataclasses.dataclass
class RestartRequest(Request[Nothing]):
    """Restart the host with its own `reboot`."""

    operation = "restart"


@dataclasses.dataclass
class ConfineRequest(Request[Nothing]):
    """Confine the agent and what it starts to some CPUs."""

    operation = "confine"
    cpus: typing.Sequence[int]


@dataclasses.dataclass
class PlaceRequest(Request[Nothing]):
    """Give each role its own CPUs. ``roles``: {role: its CPUs}, no CPU twice."""

    operation = "place"
    roles: typing.Mapping[str, typing.Sequence[int]]


class ReadSettingsAnswer(typing.TypedDict):
    """Settings of the host. ``values``: {name: value}; ``refused``: {name: error}, of those that may refuse."""

    values: dict[str, str]
    refused: dict[str, str]
    boot_id: str


@dataclasses.dataclass
class ReadSettingsRequest(Request[ReadSettingsAnswer]):
    """Read settings of the host. ``may_refuse``: those whose failure is not a failure of the request."""

    operation = "read_settings"
    names: typing.Sequence[str] = ()
    may_refuse: typing.Sequence[str] = ()


class Refusal(typing.TypedDict):
    """A refused setting. ``said``: the error; ``now``: its present value, None if it cannot be read."""

    said: str
    now: str | None


class WriteSettingsAnswer(typing.TypedDict):
    """The failures. ``refused``: {name: Refusal}, of those that may refuse."""

    refused: dict[str, Refusal]


@dataclasses.dataclass
class WriteSettingsRequest(Request[WriteSettingsAnswer]):
    """Write settings of the host in this order, and read each back. ``may_refuse``: as in `ReadSettingsRequest`."""

    operation = "write_settings"
    values: typing.Mapping[str, str]
    may_refuse: typing.Sequence[str] = ()


class RoleSettingsAnswer(typing.TypedDict):
    """Settings by role. ``set``: those of its own namespace; ``others``: those of the whole host, not written."""

    set: dict[str, dict[str, str]]
    others: dict[str, dict[str, str]]


@dataclasses.dataclass
class RoleSettingsRequest(Request[RoleSettingsAnswer]):
    """Write the settings that roles' namespaces have of their own. ``roles``: {role: {name: value}}."""

    operation = "role_settings"
    roles: typing.Mapping[str, typing.Mapping[str, str]]


class VariantAnswer(typing.TypedDict):
    """The loaded module. ``build_id``: of the wireguard module in the kernel."""

    build_id: str


@dataclasses.dataclass
class VariantRequest(Request[VariantAnswer]):
    """Load a wireguard module into the kernel.

    ``module``: its path; ``build_id``: the required build id; ``parameters``: {name: value} of its parameters.
    """

    operation = "variant"
    module: str
    build_id: str
    parameters: typing.Mapping[str, str]


@dataclasses.dataclass
class WatchKernelLogRequest(Request[Nothing]):
    """Mark the time from which `KernelLogRequest` reports complaints."""

    operation = "watch_kernel_log"


class KernelLogAnswer(typing.TypedDict):
    """The relevant content of the kernel's log.

    ``complaints``: lines that report a problem; ``crypto``: which code encrypts, None if the kernel does not say.
    """

    complaints: list[str]
    crypto: str | None


@dataclasses.dataclass
class KernelLogRequest(Request[KernelLogAnswer]):
    """Read the kernel's log. ``most``: the maximum number of complaints."""

    operation = "kernel_log"
    most: int
