# SPDX-License-Identifier: Apache-2.0
"""The traffic of an experiment's trials, as described by its spec: the keys that all tools have. Each tool has a
subclass with its own."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, PrivateAttr, WithJsonSchema
from pydantic.fields import FieldInfo

from orchestrator.extensions import Extension
from orchestrator.spec.fields import STORED, Duration, Strict, WarmUp
from orchestrator.spec.own_tools import OwnQuantity

# The tools of this program; each is a package of orchestrator.tools.
OWN_TOOLS = ("iperf3", "pktgen", "command")
DEFAULT_TOOL = OWN_TOOLS[0]
Paths = Literal["subnets", "ecmp"]
IpVersion = Literal[4, 6]
ToolName = Annotated[
    str,
    WithJsonSchema(
        {
            "anyOf": [{"enum": list(OWN_TOOLS)}, {"type": "string"}],
            "description": "One of these, one that a package offers, or the path of a file or folder with one.",
        }
    ),
]
_TIMES = ("warm_up_s", "duration_s")


class Traffic(Strict):
    """The traffic of every trial.

    Fields of a subclass are the keys that go with its tool. A value other than the field's default is part of a trial's
    identity; those of ``always`` are so in any case, unless they are None. Keys in ``fixed`` cannot be factors: they
    decide how a trial is driven, or how the hosts of a block are addressed.
    """

    always: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[tuple[str, ...]] = ()

    tool: ToolName = DEFAULT_TOOL
    warm_up_s: WarmUp = Field(default=1.0, alias="warm_up")
    duration_s: Duration = Field(alias="duration")

    _own_tool: Any = PrivateAttr(default=None)
    _extension: Extension | None = PrivateAttr(default=None)

    # --- what a tool's own may say ---

    @property
    def routed_by(self) -> Paths:
        """How flows find tunnels: each tunnel has a subnet, or all have one destination."""
        return "subnets"

    @property
    def version(self) -> IpVersion:
        """The IP version of packets inside the tunnels."""
        return 4

    @property
    def too_slow(self) -> str:
        """Why the tool cannot offer such a low rate; empty if it can."""
        return ""

    @property
    def expected_s(self) -> float:
        """How many seconds the traffic of a trial takes by the hosts' clock; for a search, an estimate."""
        return self.warm_up_s + self.duration_s

    @property
    def quantity(self) -> OwnQuantity | None:
        """The quantity of the user's own that is measured; None where it is a throughput or a packet rate."""
        if self.own_tool is None:
            return None
        found: OwnQuantity | None = self.own_tool.quantity(self)
        return found

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        """The same, with the digests of the files that its spec names, by path."""
        return self

    # --- how it is stored ---

    @cached_property
    def identity(self) -> dict[str, Any]:
        """Return what defines a trial's traffic, except its times, as JSON values."""
        stored = self.model_dump(mode="json", exclude=set(_TIMES))
        quantity = self.quantity if self.own_tool is not None else None
        own = {} if quantity is None else {"quantity": quantity.model_dump(mode="json")}
        return own | {
            name: value
            for name, value in stored.items()
            if name == "tool"
            or (value is not None if name in self.always else value != type(self).model_fields[name].default)
        }

    @cached_property
    def stored(self) -> dict[str, Any]:
        """Return JSON values that `orchestrator.spec.read_traffic` can read. Times are in seconds."""
        return {**self.identity, "warm_up_s": self.warm_up_s, "duration_s": self.duration_s}

    @classmethod
    def of(cls, traffic: "Traffic") -> Self:
        """Return a trial's traffic, which has this schema. Raises TypeError for that of another tool."""
        if not isinstance(traffic, cls):
            raise TypeError(f"{type(traffic).__name__} is not {cls.__name__}")
        return traffic

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Return the traffic that ``stored`` wrote, of a tool with this schema."""
        content = {key: value for key, value in stored.items() if key != "quantity"}
        return cls.model_validate(content, by_name=True, by_alias=False, strict=False, context=STORED)

    def again(self, stored: Mapping[str, Any]) -> "Traffic":
        """What ``stored`` wrote, of this traffic or of one with the same tool; of another tool, as
        `orchestrator.spec.read_traffic`."""
        if stored.get("tool") != self.tool:
            from orchestrator.spec.known_tools import read_traffic

            return read_traffic(stored)
        found = self.read(stored)
        return found if self._extension is None else found.with_tool(self.tool, self.own_tool, self._extension)

    # --- tools that are no part of this program ---

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


class AddressedTraffic(Traffic):
    """Traffic whose tool can use either IP version."""

    fixed: ClassVar[tuple[str, ...]] = ("ip_version",)

    ip_version: IpVersion = Field(default=4, description="The IP version of packets inside the tunnels.")

    @property
    def version(self) -> IpVersion:
        """The IP version of packets inside the tunnels."""
        return self.ip_version


def keys_of(schema: type[Traffic]) -> Mapping[str, str]:
    """The keys of a spec's traffic that go with a tool, beside those that all have: {key: the field of its schema}."""
    return {
        field.alias or name: name for name, field in schema.model_fields.items() if name not in Traffic.model_fields
    }


def _sent(name: str, extension: Extension, files: Mapping[str, bytes], stored: Mapping[str, Any]) -> Traffic:
    """The traffic that another process sent, with the files of its tool."""
    here = extension.unpacked(files)
    tool = here.load()
    found: Traffic = tool.schema.read(stored)
    return found.with_tool(name, tool, here)


def alone(field: FieldInfo) -> Any:
    """Return the type of a field's values with its validators and without its default."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
