# SPDX-License-Identifier: Apache-2.0
"""The traffic of an experiment's trials, as its spec describes it."""

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from orchestrator.spec.fields import STORED, Duration, Strict, WarmUp

Tool = Literal["iperf3"]
Protocol = Literal["tcp"]
Streams = Annotated[int, Field(ge=1, le=128)]
# What every trial says of its traffic; the rest is stored, and part of a trial's identity, where it is no default.
_ALWAYS = ("tool", "protocol", "streams")
_TIMES = ("warm_up_s", "duration_s")


class Traffic(Strict):
    """The traffic of every trial. ``streams``: TCP connections in each tunnel."""

    tool: Tool = "iperf3"
    protocol: Protocol = "tcp"
    streams: Streams = 1
    warm_up_s: WarmUp = Field(default=1.0, alias="warm_up")
    duration_s: Duration = Field(alias="duration")

    @cached_property
    def identity(self) -> dict[str, Any]:
        """What makes a trial's traffic what it is, its times apart, as JSON values."""
        stored = self.model_dump(mode="json", exclude=set(_TIMES))
        fields = type(self).model_fields
        return {name: value for name, value in stored.items() if name in _ALWAYS or value != fields[name].default}

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
