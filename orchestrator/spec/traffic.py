# SPDX-License-Identifier: Apache-2.0
"""The traffic of an experiment's trials, as its spec describes it."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo

from orchestrator.spec.fields import MAX, STORED, BitRate, Duration, PacketRate, Size, Strict, WarmUp, expected
from orchestrator.spec.own_tools import Command
from orchestrator.spec.searching import Latency, Search

Tool = Literal["iperf3", "pktgen", "command"]
Protocol = Literal["tcp", "udp"]
Streams = Annotated[int, Field(ge=1, le=128)]
Paths = Literal["subnets", "ecmp"]
Direction = Literal["forward", "reverse", "both"]
# Which tool a key goes with, where not all have it.
OF_TOOL: Mapping[str, tuple[str, ...]] = {
    "iperf3": (
        *("protocol", "streams", "paths", "ip_version", "direction", "processes", "bitrate", "datagram", "window"),
        *("congestion", "mss", "zerocopy", "affinity", "connections"),
    ),
    "pktgen": ("rate", "search", "latency", "flows", "threads", "burst", "clone"),
    "command": ("command", "ip_version"),
}
# What every trial says of its traffic; the rest is stored, and part of a trial's identity, where it is no default.
_ALWAYS = ("tool", "protocol", "streams", "rate")
_TIMES = ("warm_up_s", "duration_s")
_TCP_BLOCK_BITS = 128 * 1024 * 8
_FEWEST_BLOCKS = 20  # one more or less is 5 % of what is measured
# What goes with one protocol only, where it is not off.
_OF_TCP = ("window_bytes", "congestion", "mss_bytes", "zerocopy")
_OF_UDP = ("datagram_bytes",)


class Traffic(Strict):
    """The traffic of every trial. ``streams``: TCP connections (or UDP flows) of each pair of iperf3 processes;
    ``flows``: UDP flows of pktgen in each tunnel.

    With iperf3 there are ``processes`` pairs in each tunnel; with ``paths`` ecmp there are as many pairs, and none has
    a tunnel of its own; or ``connections`` pairs, each with one connection, however many tunnels there are.
    """

    tool: Tool = "iperf3"
    protocol: Protocol = "tcp"
    streams: Streams = 1
    rate: PacketRate | None = None
    search: Search | None = Field(default=None, description="In place of a rate: the highest is searched; of pktgen.")
    latency: Latency | None = Field(default=None, description="Round-trip times beside loads; of pktgen.")
    flows: int = Field(default=1, ge=1, le=16384, description="UDP flows in each tunnel, by source port; of pktgen.")
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="CPUs that generate packets; without: all that the host may use."
    )
    burst: int = Field(
        default=1, ge=1, le=1000, description="Packets that an interface is given at once; more than 1 not over veth."
    )
    clone: int = Field(
        default=0, ge=0, le=100_000, description="How often a packet is sent again, itself; more than 0 not over veth."
    )
    paths: Paths = Field(
        default="subnets",
        description="How flows find tunnels. subnets: each tunnel has a subnet; ecmp: one destination, with routes "
        "over all tunnels, hashed on addresses and ports.",
    )
    ip_version: Literal[4, 6] = Field(default=4, description="Of the packets inside the tunnels.")
    direction: Direction = Field(
        default="forward", description="forward: from the client's side; reverse: from the server's; both: at once."
    )
    processes: int = Field(
        default=1, ge=1, le=64, description="Pairs of iperf3 processes in each tunnel; before 3.16 each has one thread."
    )
    connections: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="TCP connections over all tunnels together, each with processes of its own; with paths ecmp. "
        "Without: as many as tunnels times processes times streams.",
    )
    bitrate_bps: BitRate | None = Field(
        default=None,
        alias="bitrate",
        description="Offered to each tunnel, in each direction; without, or max: as fast as it goes. Udp needs a rate.",
    )
    datagram_bytes: Size | None = Field(
        default=None, ge=16, le=65507, alias="datagram", description="Of udp; without: what fits in one packet."
    )
    window_bytes: Size | None = Field(
        default=None, ge=1024, le=512 * 1024**2, alias="window", description="Socket buffers of tcp."
    )
    congestion: Annotated[str, Field(pattern=r"^[a-z0-9_]{1,15}$")] | None = Field(
        default=None, description="The congestion control of tcp, such as cubic or bbr."
    )
    mss_bytes: Size | None = Field(default=None, ge=88, le=9000, alias="mss", description="Segments of tcp.")
    zerocopy: bool = Field(default=False, description="Whether tcp sends with sendfile.")
    affinity: bool = Field(
        default=False, description="Whether each process is bound to one CPU, in turn; without: to none."
    )
    command: Command | None = Field(default=None, description="Programs of your own; of tool command.")
    warm_up_s: WarmUp = Field(default=1.0, alias="warm_up")
    duration_s: Duration = Field(alias="duration")

    @field_validator(*_OF_TCP, *_OF_UDP)
    @classmethod
    def _goes_with_the_protocol(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = "tcp" if info.field_name in _OF_TCP else "udp"
        if value and info.data.get("protocol", wanted) != wanted:
            raise expected(f"protocol {wanted} beside it, or nothing here", because=f"it goes with {wanted} only")
        return value

    @model_validator(mode="after")
    def _says_how_fast(self) -> "Traffic":
        if self.protocol == "udp" and self.paced_bps is None:
            raise expected("a bitrate, such as 500 Mbit/s", because="udp sends as fast as it is told to, and no faster")
        return self

    @model_validator(mode="after")
    def _connections_stand_alone(self) -> "Traffic":
        if self.connections is None or self.tool != "iperf3":
            return self
        others = {"paths": "subnets", "protocol": "udp"}
        beside = [f"{key}: {value}" for key, value in others.items() if getattr(self, key) == value]
        beside += [key for key in ("streams", "processes") if getattr(self, key) != 1]
        beside += ["a bitrate"] if self.paced_bps is not None else []
        if beside:
            raise expected(
                "connections with paths: ecmp and tcp only, and without streams, processes and bitrate",
                because=f"connections are those of all tunnels together, and {' and '.join(beside)} "
                "would be of each tunnel",
            )
        return self

    @property
    def paced_bps(self) -> float | None:
        """Bits per second that are offered to each tunnel in each direction; None where as many as go."""
        return None if self.bitrate_bps in (None, MAX) else float(self.bitrate_bps)

    @cached_property
    def too_slow(self) -> str:
        """Why iperf3 cannot offer so little of TCP evenly; empty where it can.

        It paces whole blocks (DEFAULT_TCP_BLKSIZE of iperf3's iperf_api.h), each of which is sent when those before it
        are, on the average, less than the bit rate.
        """
        if self.tool != "iperf3" or self.protocol != "tcp" or self.paced_bps is None:
            return ""
        each_bps = self.paced_bps / (self.processes * self.streams)
        seconds = _TCP_BLOCK_BITS / each_bps
        if self.duration_s >= _FEWEST_BLOCKS * seconds:
            return ""
        least = _FEWEST_BLOCKS * _TCP_BLOCK_BITS / self.duration_s
        return (
            f"a stream of {each_bps / 1e6:.3g} Mbit/s sends one block of 128 KiB in {seconds:.3g} s, so that "
            f"{self.duration_s:g} s have {self.duration_s / seconds:.2g} of them. Ask for {least / 1e6:.3g} Mbit/s or "
            "more in each stream, for fewer streams, for a longer duration, or for udp"
        )

    @model_validator(mode="after")
    def _decides_by_the_longest(self) -> "Traffic":
        final_s = self.search.final_duration_s if self.search else None
        if final_s is not None and final_s < self.duration_s:
            raise expected(f"a final_duration of {self.duration_s:g} s or more", because="the duration is that long")
        return self

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes a trial's traffic what it is, its times apart, as JSON values."""
        stored = self.model_dump(mode="json", exclude=set(_TIMES))
        fields, mine = type(self).model_fields, OF_TOOL[self.tool]
        return {
            name: value
            for name, value in stored.items()
            if (name == "tool" or (fields[name].alias or name) in mine)
            and (name in _ALWAYS or value != fields[name].default)
            and not (name == "rate" and value is None)
        }

    @cached_property
    def stored(self) -> dict[str, Any]:
        """As JSON values, from which ``read_traffic`` makes it again. Times are in seconds."""
        return {**self.identity, "warm_up_s": self.warm_up_s, "duration_s": self.duration_s}


def read_traffic(stored: Mapping[str, Any]) -> Traffic:
    """The traffic that ``Traffic.stored`` wrote."""
    return Traffic.model_validate(dict(stored), by_name=True, by_alias=False, strict=False, context=STORED)


def alone(field: FieldInfo) -> Any:
    """The type of a field's values, with what checks them, and without its default."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


if TYPE_CHECKING:

    class TierTraffic(Traffic):
        """Traffic that a tier replaces."""

else:
    TierTraffic = create_model(
        "TierTraffic",
        __base__=Strict,
        __doc__="Traffic that a tier replaces.",
        **{
            name: (alone(field) | None, Field(default=None, alias=field.alias, description=field.description))
            for name, field in Traffic.model_fields.items()
        },
    )
