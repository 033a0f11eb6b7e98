# SPDX-License-Identifier: Apache-2.0
"""The tools by name, and the traffic keys of each.

A spec's traffic is described by the schema of its tool. `any_traffic` has the keys of all tools, to read a spec whose
tiers may use different tools.
"""

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import Field, create_model

from orchestrator.errors import UserError
from orchestrator.extensions import Registry
from orchestrator.spec.fields import Strict
from orchestrator.spec.traffic import DEFAULT_TOOL, OWN_TOOLS, Traffic, alone, keys_of

# Each is a module that defines a Tool (orchestrator.tools.protocol).
TOOLS = Registry(
    "tools",
    "TOOL",
    {name: f"orchestrator.tools.{name}" for name in OWN_TOOLS},
    base="orchestrator.tools.protocol:Tool",
)


@functools.cache
def own_tool(name: str) -> Any:
    """Return one of this program's tools, an `orchestrator.tools.Tool`."""
    extension = TOOLS.find(name)
    assert extension is not None
    return TOOLS.load(extension)


@functools.cache
def own_schemas() -> dict[str, type[Traffic]]:
    """Return the schema of the traffic of each of this program's tools, by the tool's name."""
    return {name: own_tool(name).schema for name in OWN_TOOLS}


def own_tools_with(key: str) -> list[str]:
    """Return those of this program's tools that have a traffic key."""
    return [name for name, schema in own_schemas().items() if key in keys_of(schema)]


@functools.cache
def any_traffic(schema: type[Traffic] = Traffic) -> type[Traffic]:
    """Return a model with the keys of all of this program's tools, and those of ``schema``."""
    described = {key: (one, name) for one in reversed(own_schemas().values()) for key, name in keys_of(one).items()}
    order = [key for one in (*own_schemas().values(), schema) for key in keys_of(one)]
    described |= {key: (schema, name) for key, name in keys_of(schema).items()}
    chosen = {described[key][1]: described[key][0].model_fields[described[key][1]] for key in order}
    fields: dict[str, Any] = {name: (alone(field), field) for name, field in chosen.items()}
    found: type[Traffic] = create_model("Traffic", __base__=Traffic, __doc__="The traffic of every trial.", **fields)
    return found


@functools.cache
def tier_traffic(schema: type[Traffic]) -> Any:
    """Return the model of the traffic that a tier replaces, with the keys of all of this program's tools and of
    ``schema``."""
    fields: dict[str, Any] = {
        name: (alone(field) | None, Field(default=None, alias=field.alias, description=field.description))
        for name, field in any_traffic(schema).model_fields.items()
    }
    return create_model("TierTraffic", __base__=Strict, __doc__="Traffic that a tier replaces.", **fields)


@functools.cache
def unused_keys() -> Mapping[str, Any]:
    """Return the keys of all of this program's tools with their defaults, as JSON values.

    A stored spec includes the keys of other tools, because one model used to describe them all and specs must keep
    their hash.
    """
    fields = any_traffic().model_fields
    return {name: fields[name].default for name in keys_of(any_traffic()).values()}


def of_its_tool(value: Any) -> Any:
    """Return the traffic that a mapping describes, by the schema of its tool. Other values, and traffic of tools from
    outside this program, are returned unchanged."""
    if not isinstance(value, dict):
        return value
    schema = own_schemas().get(value.get("tool", DEFAULT_TOOL))
    return value if schema is None else schema.model_validate(value)


def tool_of(traffic: Traffic) -> Any:
    """Return the tool that measures a trial's traffic, an `orchestrator.tools.Tool`. Raises UserError if it is not
    installed."""
    if traffic.own_tool is not None:
        return traffic.own_tool
    return _tool_called(traffic.tool)


def read_traffic(stored: Mapping[str, Any]) -> Traffic:
    """Return the traffic that ``Traffic.stored`` wrote. Raises UserError if its tool is not installed."""
    found: Traffic = _tool_called(stored.get("tool", DEFAULT_TOOL)).schema.read(stored)
    return found


def _tool_called(name: str) -> Any:
    if TOOLS.find(name) is None:
        raise UserError(f"There is no tool {name} here. Install the package that offers it.")
    return own_tool(name)
