# SPDX-License-Identifier: Apache-2.0
"""The spec's keys for traffic by iperf3."""

from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from orchestrator.spec.fields import MAX, BitRate, Size, expected
from orchestrator.spec.searching import Latency
from orchestrator.spec.traffic import AddressedTraffic, Paths

Streams = Annotated[int, Field(ge=1, le=128)]
_TCP_BLOCK_BITS = 128 * 1024 * 8
_FEWEST_BLOCKS = 20  # one block more or less is 5 % of the measurement
# Keys that go with one protocol only, unless they are off.
_OF_TCP = ("window_bytes", "congestion", "mss_bytes", "zerocopy")
_OF_UDP = ("datagram_bytes",)


class Iperf3Traffic(AddressedTraffic):
    """Traffic by iperf3. ``streams``: TCP connections (or UDP flows) of each pair of iperf3 processes.

    There are ``processes`` pairs in each tunnel; with ``paths`` ecmp there are as many pairs, and none has a tunnel of
    its own; or ``connections`` pairs, each with one connection, however many tunnels there are.
    """

    always: ClassVar[tuple[str, ...]] = ("protocol", "streams")
    fixed: ClassVar[tuple[str, ...]] = ("latency",)

    tool: Literal["iperf3"] = "iperf3"
    protocol: Literal["tcp", "udp"] = "tcp"
    streams: Streams = 1
    latency: Latency | None = Field(
        default=None,
        description="The older spelling of probes: {latency: ...}: round-trip times beside the trial's own traffic.",
    )
    paths: Paths = Field(
        default="subnets",
        description="How flows find tunnels. subnets: each tunnel has a subnet; ecmp: one destination, with routes "
        "over all tunnels, hashed on addresses and ports.",
    )
    direction: Literal["forward", "reverse", "both"] = Field(
        default="forward", description="forward: client to server; reverse: server to client; both: simultaneously."
    )
    processes: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Pairs of iperf3 processes in each tunnel. Before iperf3 3.16, each process has one thread.",
    )
    connections: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="TCP connections over all tunnels together, each with its own processes (paths: ecmp). "
        "Default: tunnels times processes times streams.",
    )
    counted_at: Literal["receivers", "interfaces"] = Field(
        default="receivers",
        description="Where the payload of TCP is counted. receivers: by each process, from the end of its own warm-up; "
        "interfaces: by the receiving gateway's tunnels, all in the same time, for many more processes than cores.",
    )
    bitrate_bps: BitRate | None = Field(
        default=None,
        alias="bitrate",
        description="Payload rate offered to each tunnel in each direction. Default, or max: as fast as possible. Udp "
        "needs a rate.",
    )
    datagram_bytes: Size | None = Field(
        default=None,
        ge=16,
        le=65507,
        alias="datagram",
        description="UDP payload size. Default: what fits in one packet.",
    )
    window_bytes: Size | None = Field(
        default=None, ge=1024, le=512 * 1024**2, alias="window", description="TCP socket buffer size."
    )
    congestion: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,15}$")] | None = Field(
        default=None, description="TCP congestion control, such as cubic or bbr."
    )
    mss_bytes: Size | None = Field(default=None, ge=88, le=9000, alias="mss", description="TCP maximum segment size.")
    zerocopy: bool = Field(default=False, description="Whether TCP sends with sendfile.")
    affinity: bool = Field(
        default=False, description="Whether each process is pinned to one CPU, round-robin. Default: not pinned."
    )

    @field_validator(*_OF_TCP, *_OF_UDP)
    @classmethod
    def _goes_with_the_protocol(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = "tcp" if info.field_name in _OF_TCP else "udp"
        if value and info.data.get("protocol", wanted) != wanted:
            raise expected(f"protocol {wanted}, or no such key", because=f"it is only for {wanted}")
        return value

    @model_validator(mode="after")
    def _says_how_fast(self) -> "Iperf3Traffic":
        if self.protocol == "udp" and self.paced_bps is None:
            raise expected("a bitrate, such as 500 Mbit/s", because="udp needs a target rate")
        return self

    @model_validator(mode="after")
    def _latency_fits(self) -> "Iperf3Traffic":
        if self.latency is None:
            return self
        if self.latency.at != Latency().at:
            because = "iperf3's round trips are timed beside the trial's own traffic"
            raise expected("latency without at", because=because)
        if self.ip_version == 6:
            raise expected("ip_version 4 beside latency", because="the echo requests are of IPv4")
        if self.paths == "ecmp":
            raise expected("paths: subnets beside latency", because="the echo requests take the first tunnel")
        return self

    @model_validator(mode="after")
    def _connections_stand_alone(self) -> "Iperf3Traffic":
        if self.connections is None:
            return self
        others = {"paths": "subnets", "protocol": "udp"}
        beside = [f"{key}: {value}" for key, value in others.items() if getattr(self, key) == value]
        beside += [key for key in ("streams", "processes") if getattr(self, key) != 1]
        beside += ["a bitrate"] if self.paced_bps is not None else []
        if beside:
            raise expected(
                "connections with paths: ecmp and tcp only, and without streams, processes and bitrate",
                because=f"connections are counted over all tunnels, while {' and '.join(beside)} are per tunnel",
            )
        return self

    @model_validator(mode="after")
    def _interfaces_can_count(self) -> "Iperf3Traffic":
        if self.counted_at == "interfaces" and self.protocol == "udp":
            raise expected("counted_at: receivers", because="a datagram's payload is counted by its receiver")
        if self.counted_at == "interfaces" and self.direction == "both":
            because = "interfaces cannot tell payload from acknowledgements with direction: both"
            raise expected("counted_at: receivers, or one direction", because=because)
        return self

    @property
    def routed_by(self) -> Paths:
        """The assignment of flows to tunnels: subnets or ecmp."""
        return self.paths

    @property
    def paced_bps(self) -> float | None:
        """Bits per second offered to each tunnel in each direction; None for as fast as possible."""
        return None if self.bitrate_bps in (None, MAX) else float(self.bitrate_bps)

    @cached_property
    def too_slow(self) -> str:
        """The reason why iperf3 cannot offer such a low TCP rate evenly; empty if it can.

        iperf3 paces whole blocks (DEFAULT_TCP_BLKSIZE in iperf_api.h). It sends the next one once the average rate so
        far is below the target.
        """
        if self.protocol != "tcp" or self.paced_bps is None:
            return ""
        each_bps = self.paced_bps / (self.processes * self.streams)
        seconds = _TCP_BLOCK_BITS / each_bps
        if self.duration_s >= _FEWEST_BLOCKS * seconds:
            return ""
        least = _FEWEST_BLOCKS * _TCP_BLOCK_BITS / self.duration_s
        return (
            f"a stream of {each_bps / 1e6:.3g} Mbit/s sends one block of 128 KiB every {seconds:.3g} s, which is "
            f"{self.duration_s / seconds:.2g} blocks in {self.duration_s:g} s. Use {least / 1e6:.3g} Mbit/s or more "
            "per stream, fewer streams, a longer duration, or udp"
        )
