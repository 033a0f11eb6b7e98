# SPDX-License-Identifier: Apache-2.0
"""Requests about generators, and about packets that arrive or are lost, and their answers."""

from __future__ import annotations

import dataclasses
import typing

from orchestrator.agent.messages import Nothing, Request


class GeneratorAnswer(typing.TypedDict):
    """The tool. ``version``: the first line of its version output; None if it is missing or prints nothing."""

    version: str | None


@dataclasses.dataclass
class GeneratorRequest(Request[GeneratorAnswer]):
    """Read a tool's version, and check that ``roles`` can use a congestion control; None: no check."""

    operation = "generator"
    tool: str
    roles: typing.Sequence[str]
    congestion: str | None


class PktgenDevice(typing.TypedDict):
    """A device of pktgen. ``name``: DEVICE@N; ``ports``: [first UDP source port, how many]."""

    name: str
    cpu: int
    source: str
    destination: str
    ports: typing.Sequence[int]


@dataclasses.dataclass
class PktgenRequest(Request[Nothing]):
    """Set up the kernel's packet generator on a role.

    ``gateway``: the address of the neighbour that everything is sent to; ``sizes``: [[bytes of an IP packet, weight]].
    """

    operation = "pktgen"
    role: str
    device: str
    gateway: str
    sizes: typing.Sequence[typing.Sequence[int]]
    clone: int
    burst: int
    devices: typing.Sequence[PktgenDevice]


@dataclasses.dataclass
class SinkRequest(Request[Nothing]):
    """Count what arrives at a role for each tunnel, and drop it. ``subnets``: {tunnel: address of its network}."""

    operation = "sink"
    role: str
    subnets: typing.Mapping[str, str]


@dataclasses.dataclass
class RemoveSinkRequest(Request[Nothing]):
    """Remove a role's sink, so that packets reach their recipients again."""

    operation = "remove_sink"
    role: str


class HopCounters(typing.TypedDict):
    """The counters of a role.

    ``devices``: {device: {column: number}}; ``protocols``: {name: {counter: number}}; ``qdiscs``: {device: [kind,
    packets dropped]}; ``rules``: [[name, hook or "", packets]], of those that drop; ``sink``: {tunnel: [packets,
    bytes]}, empty without a sink.
    """

    devices: dict[str, dict[str, int]]
    protocols: dict[str, dict[str, int]]
    qdiscs: dict[str, typing.Any]
    rules: list[list[typing.Any]]
    sink: dict[str, list[int]]


class HopsAnswer(typing.TypedDict):
    """The counters so far. ``hops``: by role; ``backlog_dropped``: packets on the host that found a backlog full."""

    hops: dict[str, HopCounters]
    backlog_dropped: int


@dataclasses.dataclass
class HopsRequest(Request[HopsAnswer]):
    """Read the counters of roles."""

    operation = "hops"
    roles: typing.Sequence[str]
