# SPDX-License-Identifier: Apache-2.0
"""Requests about the traffic of a trial, and their answers: what sends, what receives, and what is sampled."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.host_messages import BusyAnswer
from orchestrator.agent.messages import Nothing, Request


class RoleProgram(typing.TypedDict):
    """A program in a role."""

    role: str
    name: str
    arguments: typing.Sequence[str]


class Client(RoleProgram, total=False):
    """A client program.

    ``any``: whether it can be any program, whose children are ended with it, and which as a server may listen on all
    addresses, and by UDP. ``preload``: a shared library that it has from its start. Both are optional.
    """

    any: bool
    preload: str


class Server(Client):
    """A server program. ``address``, ``port``: where it listens; without a port it is not waited for."""

    address: str
    port: int | None


@dataclasses.dataclass
class ServeRequest(Request[Nothing]):
    """Start servers, possibly none, and wait until all listen; from the start, no packets are expected.

    ``files``: {path: base64}; NUL, files, NUL in an argument stands for their folder.
    """

    operation = "serve"
    servers: typing.Sequence[Server]
    patience_s: float
    files: typing.Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class QuietRequest(Request[Nothing]):
    """Begin again to count the packets that pass before the traffic."""

    operation = "expect_quiet"


@dataclasses.dataclass
class HoldRequest(Request[Nothing]):
    """Prepare the clients of a trial, which begin together in `MeasureRequest`."""

    operation = "hold"
    clients: typing.Sequence[Client]


class Roam(typing.TypedDict):
    """The port changes of a role's tunnels. ``devices``: {device: [its UDP port, the other]}."""

    role: str
    every_s: float
    devices: typing.Mapping[str, typing.Sequence[int]]


class EchoStream(typing.TypedDict):
    """Echo requests to time, ``pace_pps`` per second for ``duration_s``, beginning after ``after_s``."""

    role: str
    source: str
    destination: str
    pace_pps: float
    duration_s: float
    after_s: float


class AttachedCommand(RoleProgram):
    """A command during the measured window. ``timed``: whether it ends by itself."""

    timed: bool


class Tracepoint(typing.TypedDict):
    """A tracepoint that is counted. ``event``: SYSTEM:NAME; ``filter``: None for all events."""

    name: str
    event: str
    filter: str | None


class AttachedProbes(typing.TypedDict):
    """The spec's own probes during the measured window."""

    commands: list[AttachedCommand]
    tracepoints: list[Tracepoint]


class Energy(typing.TypedDict):
    """A counter of energy: ``uj``, microjoules, which begin at 0 again after ``range_uj``."""

    name: str
    uj: int
    range_uj: int


class CounterSample(typing.TypedDict):
    """The counters of a host at a time.

    ``cpus``: {CPU: clock ticks, as /proc/stat has them}; ``softirqs``: the text of /proc/softirqs; ``interfaces``:
    {role: text of its /proc/net/dev}; ``virtual_time``: None in real time; ``energy``: by zone; ``cycles``:
    {CPU: number}; the last two are empty without counters.
    """

    at_monotonic_s: float
    cpus: dict[str, list[int]]
    ticks_per_s: int
    softirqs: str
    interfaces: dict[str, str]
    clock_s: float
    virtual_time: dict[str, int] | None
    energy: dict[str, Energy]
    cycles: dict[str, int]


class MemoryReading(typing.TypedDict):
    """Memory and interfaces at a time. ``available``, ``slab``: bytes; ``interfaces``: as in `CounterSample`."""

    at_monotonic_s: float
    interfaces: dict[str, str]
    available: int
    slab: int


class PortChange(typing.TypedDict):
    """A change of all tunnels' ports: its start, and how long it took, in seconds."""

    at_monotonic_s: float
    took_s: float


class Quiet(typing.TypedDict):
    """The packets that passed in the seconds between the servers' and the clients' start."""

    seconds: float
    packets: int


class Surroundings(typing.TypedDict):
    """Conditions that should not change during the traffic, and the counters of interfaces.

    ``interrupts``: {number: list of CPUs}; ``throttled``: events, None if the host does not count them;
    ``frequency_khz``: of each CPU, empty if unknown; ``tcp_pressures``: how many times TCP has run short of memory;
    ``tcp_pressed``: whether it is short of memory; ``interfaces``: as in `CounterSample`.
    """

    interrupts: dict[str, str]
    throttled: int | None
    frequency_khz: list[int]
    tcp_pressures: int
    tcp_pressed: bool
    interfaces: dict[str, str]


class Printed(typing.TypedDict):
    """The output of a process; ``status``: None if it had not ended."""

    status: int | None
    out: str
    err: str


class Polls(typing.TypedDict):
    """Polls in bins.

    ``lost``: those that found the buffer full; ``rows``: [[bin, cpu, poll, device, times, packets, empty]].
    """

    bin_s: float
    lost: int
    rows: list[list[typing.Any]]


class ProfileSamples(typing.TypedDict):
    """Samples of what CPUs ran.

    ``lost_ns``: the time that lost samples stood for; ``rows``: [[cpu, ns, samples, [index of each name, the task
    first]]].
    """

    source: str
    period_ns: int
    seconds: float
    lost_ns: int
    names: list[str]
    rows: list[list[typing.Any]]


class SentPackets(typing.TypedDict):
    """The packets of one of pktgen's devices; times are of CLOCK_MONOTONIC."""

    name: str
    sent: int
    errors: int
    started_s: float
    stopped_s: float


class RoundTrips(typing.TypedDict):
    """The number of echo requests sent, and the round-trip times in seconds of the answers, in their order."""

    sent: int
    rtts_s: list[float]


class MeasureAnswer(typing.TypedDict):
    """The results of a measurement.

    ``started_at``: when the clients began, by the host's clock; ``samples``: two, around the window; ``surroundings``:
    two, around all traffic; ``others``: how much other processes used the host; ``processes``: by name;
    ``tracepoints``: {name: number of events}; ``clock_s``: the host's clock at the end.
    """

    started_at: float
    traffic_s: float
    samples: list[CounterSample]
    readings: list[MemoryReading]
    moves: list[PortChange]
    before: Quiet
    surroundings: list[Surroundings]
    others: BusyAnswer
    processes: dict[str, Printed]
    polls: Polls | None
    profile: ProfileSamples | None
    pktgen: list[SentPackets] | None
    echoes: RoundTrips | None
    tracepoints: dict[str, int]
    clock_s: float


@dataclasses.dataclass
class MeasureRequest(Request[MeasureAnswer]):
    """Start the held clients, sample around the measured window, and return all results.

    ``start_at``: seconds of the host's clock, None for at once; ``sample_roles``: the roles whose interfaces are
    counted; ``sample_every_s``: how often memory and interfaces are read during the window, None for never;
    ``trace_polls``: whether polls are recorded; ``profile``: whether CPUs are sampled instead; ``pktgen``: {device:
    [packets, nanoseconds between two]} for the generator that is ready here, None if it must not send.
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
