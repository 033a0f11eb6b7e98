# SPDX-License-Identifier: Apache-2.0
"""The traffic of an experiment's trials, as described by its spec.

Longer than other modules: the keys of all tools are fields of one model, whose order trials' identities have.
"""

from collections.abc import Collection, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, PrivateAttr, ValidationInfo, WithJsonSchema, create_model, field_validator, model_validator
from pydantic.fields import FieldInfo

from orchestrator.extensions import Extension
from orchestrator.spec.fields import MAX, STORED, BitRate, Duration, PacketRate, Size, Strict, WarmUp, expected
from orchestrator.spec.own_tools import Command, OwnQuantity
from orchestrator.spec.searching import Latency, Search

Protocol = Literal["tcp", "udp"]
Streams = Annotated[int, Field(ge=1, le=128)]
Paths = Literal["subnets", "ecmp"]
Direction = Literal["forward", "reverse", "both"]
# Which tool of this program's own a key goes with, where not all have it.
OF_TOOL: Mapping[str, tuple[str, ...]] = {
    "iperf3": (
        *("protocol", "streams", "paths", "ip_version", "direction", "processes", "bitrate", "datagram", "window"),
        *("congestion", "mss", "zerocopy", "affinity", "connections", "latency"),
    ),
    "pktgen": ("rate", "search", "latency", "flows", "threads", "burst", "clone"),
    "command": ("command", "ip_version"),
}
ToolName = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [{"enum": list(OF_TOOL)}, {"type": "string"}],
            "description": "One of these, one that a package offers, or the path of a file or folder with one.",
        }
    ),
]
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

    tool: ToolName = "iperf3"
    protocol: Protocol = "tcp"
    streams: Streams = 1
    rate: PacketRate | None = None
    search: Search | None = Field(
        default=None, description="Search for the highest rate instead of offering a given one (pktgen)."
    )
    latency: Latency | None = Field(
        default=None, description="Measure round-trip times beside loads (pktgen) or the trial's own traffic (iperf3)."
    )
    flows: int = Field(
        default=1, ge=1, le=16384, description="UDP flows in each tunnel, distinguished by source port (pktgen)."
    )
    threads: int | None = Field(
        default=None, ge=1, le=4096, description="CPUs that generate packets. Default: all that the host may use."
    )
    burst: int = Field(default=1, ge=1, le=1000, description="Packets handed to an interface at once; 1 over veth.")
    clone: int = Field(default=0, ge=0, le=100_000, description="How often the same packet is sent again; 0 over veth.")
    paths: Paths = Field(
        default="subnets",
        description="How flows find tunnels. subnets: each tunnel has a subnet; ecmp: one destination, with routes "
        "over all tunnels, hashed on addresses and ports.",
    )
    ip_version: Literal[4, 6] = Field(default=4, description="The IP version of packets inside the tunnels.")
    direction: Direction = Field(
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
    command: Command | None = Field(default=None, description="Your own programs (tool: command).")
    warm_up_s: WarmUp = Field(default=1.0, alias="warm_up")
    duration_s: Duration = Field(alias="duration")

    _own_tool: Any = PrivateAttr(default=None)
    _extension: Extension | None = PrivateAttr(default=None)

    @field_validator(*_OF_TCP, *_OF_UDP)
    @classmethod
    def _goes_with_the_protocol(cls, value: Any, info: ValidationInfo) -> Any:
        wanted = "tcp" if info.field_name in _OF_TCP else "udp"
        if value and info.data.get("protocol", wanted) != wanted:
            raise expected(f"protocol {wanted}, or no such key", because=f"it is only for {wanted}")
        return value

    @model_validator(mode="after")
    def _says_how_fast(self) -> "Traffic":
        if self.protocol == "udp" and self.paced_bps is None:
            raise expected("a bitrate, such as 500 Mbit/s", because="udp needs a target rate")
        return self

    @model_validator(mode="after")
    def _latency_fits_the_tool(self) -> "Traffic":
        if self.latency is None or self.tool != "iperf3":
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
                because=f"connections are counted over all tunnels, while {' and '.join(beside)} are per tunnel",
            )
        return self

    @property
    def paced_bps(self) -> float | None:
        """Bits per second that are offered to each tunnel in each direction; None where as many as go."""
        return None if self.bitrate_bps in (None, MAX) else float(self.bitrate_bps)

    @cached_property
    def too_slow(self) -> str:
        """Why iperf3 cannot offer such a low TCP rate evenly; empty if it can.

        iperf3 paces whole blocks (DEFAULT_TCP_BLKSIZE in iperf_api.h). It sends the next one once the average rate so
        far is below the target.
        """
        if self.tool != "iperf3" or self.protocol != "tcp" or self.paced_bps is None:
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

    @model_validator(mode="after")
    def _decides_by_the_longest(self) -> "Traffic":
        final_s = self.search.final_duration_s if self.search else None
        if final_s is not None and final_s < self.duration_s:
            raise expected(f"a final_duration of {self.duration_s:g} s or more", because="the duration is that long")
        return self

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return what defines a trial's traffic, except its times, as JSON values."""
        stored = self.model_dump(mode="json", exclude=set(_TIMES))
        fields, mine = type(self).model_fields, self._keys
        quantity = self.own_tool.quantity(self) if self.own_tool is not None else None
        own = {} if quantity is None else {"quantity": quantity.model_dump(mode="json")}
        return own | {
            name: value
            for name, value in stored.items()
            if (name == "tool" or (fields[name].alias or name) in mine)
            and (name in _ALWAYS or value != fields[name].default)
            and not (name == "rate" and value is None)
        }

    @property
    def _keys(self) -> Collection[str]:
        return keys_of(type(self), self.tool, self.own_tool.uses if self.own_tool is not None else ())

    @cached_property
    def stored(self) -> dict[str, Any]:
        """Return JSON values that ``read_traffic`` can read. Times are in seconds."""
        return {**self.identity, "warm_up_s": self.warm_up_s, "duration_s": self.duration_s}

    def with_tool(self, name: str, tool: Any, extension: Extension) -> Self:
        """The same, measured by a ``tool`` that is no part of this program; ``name``: as it is recorded."""
        copy = self.model_copy(update={"tool": name})
        copy._own_tool, copy._extension = tool, extension
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        """A process that is sent it gets the files of a tool that a path names with it."""
        if self._extension is None or self._extension.path is None:
            return super().__reduce_ex__(protocol)
        return _sent, (self.tool, self._extension, self._extension.packed(), self.stored)

    @property
    def own_tool(self) -> Any:
        """What measures it, a `orchestrator.tools.Tool` that is no part of this program; None where it is one."""
        return self._own_tool

    @property
    def extension(self) -> Extension | None:
        """Where that comes from."""
        return self._extension

    @property
    def quantity(self) -> OwnQuantity | None:
        """The quantity of the user's own that is measured; None where it is a throughput or a packet rate."""
        if self.own_tool is not None:
            found: OwnQuantity | None = self.own_tool.quantity(self)
            return found
        return self.command.quantity if self.command is not None else None

    def again(self, stored: Mapping[str, Any]) -> "Traffic":
        """What ``stored`` wrote, of this traffic or of one with the same tool; of another tool, as `read_traffic`."""
        if self.own_tool is None or stored.get("tool") != self.tool:
            return read_traffic(stored)
        assert self._extension is not None
        return _read_own(self.tool, self.own_tool, type(self), self._extension, stored)


def keys_of(schema: type[Traffic], tool: str, uses: Collection[str] = ()) -> Collection[str]:
    """The keys of a spec's traffic that go with a tool, beside those that all have. ``schema``: the tool's; ``uses``:
    which keys of Traffic itself a tool takes that is no part of this program."""
    if schema is Traffic:
        return OF_TOOL.get(tool, ())
    own = {field.alias or name for name, field in schema.model_fields.items() if name in schema.__annotations__}
    return own | set(uses)


def read_traffic(stored: Mapping[str, Any]) -> Traffic:
    """Return the traffic that ``Traffic.stored`` wrote."""
    return Traffic.model_validate(dict(stored), by_name=True, by_alias=False, strict=False, context=STORED)


def _read_own(name: str, tool: Any, schema: type[Traffic], extension: Extension, stored: Mapping[str, Any]) -> Traffic:
    """What ``Traffic.stored`` wrote of a tool that is no part of this program."""
    content = {key: value for key, value in stored.items() if key != "quantity"}
    found = schema.model_validate(content, by_name=True, by_alias=False, strict=False, context=STORED)
    return found.with_tool(name, tool, extension)


def _sent(name: str, extension: Extension, files: Mapping[str, bytes], stored: Mapping[str, Any]) -> Traffic:
    """The traffic that another process sent, with the files of its tool."""
    here = extension.unpacked(files)
    tool = here.load()
    return _read_own(name, tool, tool.schema, here, stored)


def alone(field: FieldInfo) -> Any:
    """Return the type of a field's values with its validators and without its default."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def tier_traffic(schema: type[Traffic]) -> Any:
    """Traffic that a tier replaces, of a tool with this schema."""
    fields: dict[str, Any] = {
        name: (alone(field) | None, Field(default=None, alias=field.alias, description=field.description))
        for name, field in schema.model_fields.items()
    }
    return create_model("TierTraffic", __base__=Strict, __doc__="Traffic that a tier replaces.", **fields)


if TYPE_CHECKING:

    class TierTraffic(Traffic):
        """The traffic keys that a tier replaces."""

else:
    TierTraffic = tier_traffic(Traffic)
