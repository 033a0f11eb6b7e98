# SPDX-License-Identifier: Apache-2.0
"""The traffic of an experiment's trials, as described by its spec: the keys that all tools have. Each tool defines a
subclass with its own keys."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import BaseModel, Field, PrivateAttr, WithJsonSchema
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
# The times that the traffic of every tool has: {key: the field of Traffic}.
TIMES = {"warm_up": "warm_up_s", "duration": "duration_s"}


class Traffic(Strict):
    """The traffic of every trial.

    Fields of a subclass are the keys that go with its tool. A value other than the field's default is part of a trial's
    identity; those of ``always`` are so in any case, unless they are None. Keys in ``fixed`` cannot be factors. Keys in
    ``parts`` have keys of their own, which can be factors.
    """

    always: ClassVar[tuple[str, ...]] = ()
    fixed: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[tuple[str, ...]] = ()

    tool: ToolName = DEFAULT_TOOL
    warm_up_s: WarmUp = Field(default=1.0, alias="warm_up")
    duration_s: Duration = Field(alias="duration")

    _own_tool: Any = PrivateAttr(default=None)
    _extension: Extension | None = PrivateAttr(default=None)

    # --- what a tool's schema may override ---

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
        """Why the tool cannot offer a rate as low as this; empty if it can."""
        return ""

    @property
    def expected_s(self) -> float:
        """The expected duration of a trial's traffic in seconds, by the hosts' clock; for a search, an estimate."""
        return self.warm_up_s + self.duration_s

    @property
    def quantity(self) -> OwnQuantity | None:
        """The user's own quantity that is measured; None if it is a throughput or a packet rate."""
        if self.own_tool is None:
            return None
        found: OwnQuantity | None = self.own_tool.quantity(self)
        return found

    def with_files(self, files: Mapping[str, bytes]) -> Self:
        """Return the traffic with the digests of the files that its spec names, by path."""
        return self

    # --- how it is stored ---

    @cached_property
    def identity(self) -> dict[str, Any]:
        """The values that define a trial's traffic, except its times, as JSON values."""
        stored = self.model_dump(mode="json", exclude=set(TIMES.values()))
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
        """The traffic as JSON values that `orchestrator.spec.read_traffic` can read. Times are in seconds."""
        return {**self.identity, "warm_up_s": self.warm_up_s, "duration_s": self.duration_s}

    @classmethod
    def of(cls, traffic: "Traffic") -> Self:
        """Return a trial's traffic, typed as this schema. Raises TypeError if it is another tool's."""
        if not isinstance(traffic, cls):
            raise TypeError(f"{type(traffic).__name__} is not {cls.__name__}")
        return traffic

    @classmethod
    def read(cls, stored: Mapping[str, Any]) -> Self:
        """Return the traffic that ``stored`` wrote, for a tool with this schema."""
        content = {key: value for key, value in stored.items() if key != "quantity"}
        return cls.model_validate(content, by_name=True, by_alias=False, strict=False, context=STORED)

    def again(self, stored: Mapping[str, Any]) -> "Traffic":
        """Return the traffic that ``stored`` wrote, for the same tool as this traffic, or for another one as
        `orchestrator.spec.read_traffic` does."""
        if stored.get("tool") != self.tool:
            from orchestrator.spec.known_tools import read_traffic

            return read_traffic(stored)
        found = self.read(stored)
        return found if self._extension is None else found.with_tool(self.tool, self.own_tool, self._extension)

    # --- tools from outside this program ---

    def with_tool(self, name: str, tool: Any, extension: Extension) -> Self:
        """Return the traffic as measured by a ``tool`` from outside this program. ``name``: the tool's name in
        records."""
        copy = self.model_copy(update={"tool": name})
        copy._own_tool, copy._extension = tool, extension
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Pickle the traffic with the files of a tool that a path names, so that another process can use them."""
        if self._extension is None or self._extension.path is None:
            return super().__reduce_ex__(protocol)
        return _sent, (self.tool, self._extension, self._extension.packed(), self.stored)

    @property
    def own_tool(self) -> Any:
        """The `orchestrator.tools.Tool` from outside this program that measures it; None if the tool is one of this
        program's."""
        return self._own_tool

    @property
    def extension(self) -> Extension | None:
        """The origin of `own_tool`."""
        return self._extension


class AddressedTraffic(Traffic):
    """Traffic whose tool can use either IP version."""

    ip_version: IpVersion = Field(default=4, description="The IP version of packets inside the tunnels.")

    @property
    def version(self) -> IpVersion:
        """The IP version of packets inside the tunnels."""
        return self.ip_version


def keys_of(schema: type[Traffic]) -> Mapping[str, str]:
    """Return the traffic keys of a tool, beyond those that all tools have: {key: the field of its schema}."""
    return {
        field.alias or name: name for name, field in schema.model_fields.items() if name not in Traffic.model_fields
    }


def factor_keys_of(schema: type[Traffic]) -> Mapping[str, str]:
    """Return the traffic keys that can be factors: {key: the field of the schema}. Those of a part are named with it,
    as in {"search.final_duration": "search.final_duration_s"}."""
    found: dict[str, str] = {}
    for key, name in keys_of(schema).items():
        if key in schema.parts:
            fields = part_of(schema.model_fields[name]).model_fields.items()
            found |= {f"{key}.{field.alias or inner}": f"{name}.{inner}" for inner, field in fields}
        else:
            found[key] = name
    return {key: name for key, name in {**found, **TIMES}.items() if key not in schema.fixed}


def part_of(field: FieldInfo) -> type[BaseModel]:
    """Return the model of a field that has keys of its own and may be None."""
    (model,) = (one for one in get_args(field.annotation) if one is not type(None))
    found: type[BaseModel] = model
    return found


def field_at(model: type[BaseModel], name: str) -> FieldInfo:
    """Return the field with a name, such as streams, or search.width for a field of a part."""
    first, _, rest = name.partition(".")
    field = model.model_fields[first]
    return field_at(part_of(field), rest) if rest else field


def _sent(name: str, extension: Extension, files: Mapping[str, bytes], stored: Mapping[str, Any]) -> Traffic:
    """Return the traffic that another process pickled, with the files of its tool."""
    here = extension.unpacked(files)
    tool = here.load()
    found: Traffic = tool.schema.read(stored)
    return found.with_tool(name, tool, here)


def alone(field: FieldInfo) -> Any:
    """Return the type of a field's values, with its validators but without its default."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation
