# SPDX-License-Identifier: Apache-2.0
"""Requests about the traffic of a trial, and their answers: what sends, what receives, and what is sampled."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.host_messages import BusyAnswer
from orchestrator.agent.messages import Nothing, Request


class Program(typing.TypedDict):
    """A program in a role."""

    role: str
    name: str
    arguments: typing.Sequence[str]


class Client(Program, total=False):
    """``any``: whether it is any program, whose children are ended with it, and which as a server may listen on all
    addresses, and by UDP. It may be left out."""

    any: bool


class Server(Client):
    """``address``, ``port``: where it listens; without a port it is not waited for."""

    address: str
    port: int | None


@dataclasses.dataclass(frozen=True)
class ServeRequest(Request[Nothing]):
    """Start servers, of which there may be none, and wait until all listen.

    ``files``: {path: base64}; NUL, files, NUL in an argument stands for their folder.
    """

    operation = "serve"
    servers: typing.Sequence[Server]
    patience_s: float
    files: typing.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class HoldRequest(Request[Nothing]):
    """Prepare the clients of a trial, which begin together in `MeasureRequest`."""

    operation = "hold"
    clients: typing.Sequence[Client]


class Roam(typing.TypedDict):
    """How a role's tunnels change their UDP ports. ``devices``: {device: [its port, the other]}."""

    role: str
    every_s: float
    devices: typing.Mapping[str, typing.Sequence[int]]


class EchoStream(typing.TypedDict):
    """Round trips that are timed, ``pace_pps`` a second for ``duration_s``, from ``after_s`` on."""

    role: str
    source: str
    destination: str
    pace_pps: float
    duration_s: float
    after_s: float


class AttachedCommand(Program):
    """``timed``: whether it knows when to end."""

    timed: bool


class Tracepoint(typing.TypedDict):
    """A tracepoint that is counted. ``event``: SYSTEM:NAME; ``filter``: None for all events."""

    name: str
    event: str
    filter: str | None


class AttachedProbes(typing.TypedDict):
    """What runs beside the measured window."""

    commands: list[AttachedCommand]
    tracepoints: list[Tracepoint]


class Sample(typing.TypedDict):
    """Counters of a host at a time. ``cpus``: {CPU: clock ticks, as /proc/stat has them}; ``softirqs``: the text of
    /proc/softirqs; ``interfaces``: {role: text of its /proc/net/dev}; ``virtual_time``: None in real time; ``energy``:
    {zone: {"name", "uj", "range_uj"}}; ``cycles``: {CPU: number}, empty without counters."""

    at_monotonic_s: float
    cpus: dict[str, list[int]]
    ticks_per_s: int
    softirqs: str
    interfaces: dict[str, str]
    clock_s: float
    virtual_time: dict[str, int] | None
    energy: dict[str, dict[str, typing.Any]]
    cycles: dict[str, int]


class MemoryReading(typing.TypedDict):
    """``available``, ``slab``: bytes of memory; ``interfaces``: as of `Sample`."""

    at_monotonic_s: float
    interfaces: dict[str, str]
    available: int
    slab: int


class Move(typing.TypedDict):
    """When all tunnels changed their ports, and how long that took."""

    at_monotonic_s: float
    took_s: float


class Quiet(typing.TypedDict):
    """The packets that passed in the seconds between the servers' and the clients' start."""

    seconds: float
    packets: int


class Surroundings(typing.TypedDict):
    """``interrupts``: {number: list of CPUs}; ``throttled``: events, None where the host does not count them;
    ``frequency_khz``: of each CPU, empty where the host does not say."""

    interrupts: dict[str, str]
    throttled: int | None
    frequency_khz: list[int]


class Printed(typing.TypedDict):
    """What a process printed; ``status``: None where it had not ended."""

    status: int | None
    out: str
    err: str


class Polls(typing.TypedDict):
    """Polls in bins. ``lost``: those that found the buffer full; ``rows``: [[bin, cpu, poll, device, times, packets,
    empty]]."""

    bin_s: float
    lost: int
    rows: list[list[typing.Any]]


class Profile(typing.TypedDict):
    """Samples of what CPUs ran. ``lost_ns``: what those that found no room stood for; ``rows``: [[cpu, ns, samples,
    [index of each name, the task first]]]."""

    source: str
    period_ns: int
    seconds: float
    lost_ns: int
    names: list[str]
    rows: list[list[typing.Any]]


class Sent(typing.TypedDict):
    """What a device of pktgen sent, in times of CLOCK_MONOTONIC."""

    name: str
    sent: int
    errors: int
    started_s: float
    stopped_s: float


class RoundTrips(typing.TypedDict):
    """Echo requests that were sent, and the seconds of those that were answered, in their order."""

    sent: int
    rtts_s: list[float]


class MeasureAnswer(typing.TypedDict):
    """What happened. ``started_at``: when the clients began, by the host's clock; ``samples``: two, around the window;
    ``surroundings``: two, around all traffic; ``others``: how much other processes used the host; ``processes``: by
    name; ``tracepoints``: {name: how often}; ``clock_s``: the host's clock at the end."""

    started_at: float
    traffic_s: float
    samples: list[Sample]
    readings: list[MemoryReading]
    moves: list[Move]
    before: Quiet
    surroundings: list[Surroundings]
    others: BusyAnswer
    processes: dict[str, Printed]
    polls: Polls | None
    profile: Profile | None
    pktgen: list[Sent] | None
    echoes: RoundTrips | None
    tracepoints: dict[str, int]
    clock_s: float


@dataclasses.dataclass(frozen=True)
class MeasureRequest(Request[MeasureAnswer]):
    """Let the clients begin, sample around the measured window, and return everything after the traffic.

    ``start_at``: seconds of the host's clock, None for at once; ``sample_roles``: the roles whose interfaces are
    counted; ``sample_every_s``: how often memory and interfaces are read during the window, None for never;
    ``trace_polls``: whether polls are recorded; ``profile``: whether what CPUs run is sampled instead; ``pktgen``:
    {device: [packets, nanoseconds between two]} for the generator that is ready here, None where it is not to send.
    """

    operation = "measure"
    start_at: float | None
    warm_up_s: float
    duration_s: float
    patience_s: float
    sample_roles: typing.Sequence[str]
    sample_every_s: float | None = None
    trace_polls: bool = False
    profile: bool = False
    roaming: Roam | None = None
    attached: AttachedProbes | None = None
    pktgen: typing.Mapping[str, typing.Sequence[int]] | None = None
    echoes: EchoStream | None = None
