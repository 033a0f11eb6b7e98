# SPDX-License-Identifier: Apache-2.0
"""Spec keys that can be factors, by path: keys of traffic such as ``traffic.streams``, ``tunnel.mtu`` and
``tunnel.device``, and keys of the link between the gateways such as ``links.wan.delay``."""

import functools
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, SerializerFunctionWrapHandler, WithJsonSchema, create_model, model_serializer

from orchestrator.spec.factors import Level
from orchestrator.spec.fields import DEFAULT_MTU, LARGEST_MTU, LINK_MTU, NeverOrSeconds, Size, Strict
from orchestrator.spec.host_settings import level_of
from orchestrator.spec.known_tools import any_traffic, own_schemas
from orchestrator.spec.links import OF_LINKS
from orchestrator.spec.traffic import Traffic, alone, factor_keys_of, field_at


@functools.cache
def traffic_paths(schema: type[Traffic]) -> Mapping[str, str]:
    """Return the traffic keys that can be factors, with a tool that has this schema or any of this program's: {path:
    the field of `any_traffic`}."""
    found: dict[str, str] = {}
    for one in (*own_schemas().values(), schema):
        found |= factor_keys_of(one)
    return {f"traffic.{key}": name for key, name in found.items()}


TUNNEL_MTU = "tunnel.mtu"
TUNNEL_DEVICE = "tunnel.device"
TUNNEL_ROAMING = "tunnel.roam_every"
OWN_DEVICE, SHARED_DEVICE = "own", "shared"
# IPv6 needs at least 1280 bytes (RFC 8200, section 5); a link of 1500 leaves 1420 within IPv6, UDP and WireGuard.
Mtu = Annotated[
    Size,
    Field(
        ge=1280,
        le=LARGEST_MTU,
        description=f"The MTU of the tunnels in bytes. Default: {DEFAULT_MTU}. For a larger one, the MTU of all links "
        f"is raised during the trial to {LINK_MTU - DEFAULT_MTU} bytes more. Not for pktgen.",
    ),
]
Device = Annotated[
    Literal["own", "shared"],
    Field(
        description="own (without this key): each tunnel has a WireGuard device on either gateway; shared: gateway-b "
        "has one device with a peer for each tunnel, and gateway-a a device for each, as the clients of a server have."
    ),
]
Roaming = Annotated[
    NeverOrSeconds,
    WithJsonSchema(
        {
            "type": "string",
            "description": "How often gateway-a changes the UDP port of every tunnel during the traffic, as a peer "
            "behind a NAT does whose mapping is renewed; gateway-b must follow. Default: never.",
            "examples": ["never", "10s"],
        }
    ),
]
# {path: the type of a level}
OF_TUNNELS: Mapping[str, Any] = {TUNNEL_MTU: Mtu, TUNNEL_DEVICE: Device, TUNNEL_ROAMING: Roaming}


class Varied(Strict):
    """Levels of spec keys given by path, in addition to the factors known by name.

    ``paths``: {path: the name of the field that has its levels}. Keys that are not given are left out of the JSON, so
    that specs without them keep their hash.
    """

    paths: ClassVar[Mapping[str, str]] = {}

    @property
    def more(self) -> dict[str, Any]:
        """{path: its levels, or level} for the given keys, in the order of `paths`."""
        found = {path: getattr(self, name) for path, name in self.paths.items()}
        return {path: levels for path, levels in found.items() if levels is not None}

    @model_serializer(mode="wrap")
    def _by_path(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = handler(self)
        own = {name: path for path, name in self.paths.items()}
        return {own.get(name, name): value for name, value in content.items() if name not in own or value is not None}


def with_paths(model: type[Strict], wrap: Any, schema: type[Traffic] = Traffic, settings: tuple[str, ...] = ()) -> Any:
    """Return a model that also accepts paths. ``wrap``: maps the type of a level to the type of the key's value;
    ``schema``: of the traffic; ``settings``: paths of host settings."""
    fields: dict[str, Any] = {}
    of_traffic = traffic_paths(schema)
    names = {path: path.replace(".", "_") for path in (*of_traffic, *OF_TUNNELS, *OF_LINKS)}
    names |= {path: re.sub(r"[^A-Za-z0-9]", "_", path) for path in settings}
    for path, name in of_traffic.items():
        field = field_at(any_traffic(schema), name)
        about = Field(default=None, alias=path, description=field.description)
        fields[names[path]] = (wrap(alone(field)) | None, about)
    for path, level in {**OF_TUNNELS, **OF_LINKS, **{path: level_of(path) for path in settings}}.items():
        fields[names[path]] = (wrap(level) | None, Field(default=None, alias=path))
    made = create_model(
        model.__name__.lstrip("_"), __base__=model, __doc__=model.__doc__, __module__=model.__module__, **fields
    )
    made.paths = names  # type: ignore[attr-defined]
    return made


def traffic_of(traffic: Traffic, levels: Mapping[str, Level]) -> Traffic:
    """Return the traffic of a cell: that of the spec, with the cell's levels. Raises ValueError if they conflict, such
    as udp without a bit rate."""
    of_traffic = traffic_paths(type(traffic))
    mine = {of_traffic[path]: level for path, level in levels.items() if path in of_traffic}
    if not mine:
        return traffic
    content = dict(traffic.stored)
    for name, level in mine.items():
        first, _, rest = name.partition(".")
        content[first] = {**content[first], rest: level} if rest else level
    return traffic.again(content)
