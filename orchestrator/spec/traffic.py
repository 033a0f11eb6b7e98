# SPDX-License-Identifier: Apache-2.0
"""The traffic of an experiment's trials, as its spec describes it."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from orchestrator.spec.fields import STORED, Duration, PacketRate, Strict, WarmUp
from orchestrator.spec.searching import Latency, Search

Tool = Literal["iperf3", "pktgen"]
Protocol = Literal["tcp"]
Streams = Annotated[int, Field(ge=1, le=128)]
# Which tool a field goes with, where not all have it.
OF_TOOL: Mapping[str, tuple[str, ...]] = {
    "iperf3": ("protocol", "streams"),
    "pktgen": ("rate", "search", "latency", "flows", "threads", "burst", "clone"),
}
# What every trial says of its traffic; the rest is stored, and part of a trial's identity, where it is no default.
_ALWAYS = ("tool", "protocol", "streams", "rate")
_TIMES = ("warm_up_s", "duration_s")


class Traffic(Strict):
    """The traffic of every trial. ``streams``: TCP connections in each tunnel; ``flows``: UDP flows in each tunnel."""

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
    warm_up_s: WarmUp = Field(default=1.0, alias="warm_up")
    duration_s: Duration = Field(alias="duration")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes a trial's traffic what it is, its times apart, as JSON values."""
        stored = self.model_dump(mode="json", exclude=set(_TIMES))
        fields, mine = type(self).model_fields, OF_TOOL[self.tool]
        return {
            name: value
            for name, value in stored.items()
            if (name == "tool" or name in mine)
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


def _alone(field: FieldInfo) -> Any:
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
            name: (_alone(field) | None, Field(default=None, alias=field.alias, description=field.description))
            for name, field in Traffic.model_fields.items()
        },
    )
