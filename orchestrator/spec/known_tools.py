# SPDX-License-Identifier: Apache-2.0
"""The tools by name, and the keys of traffic that go with each.

A spec's traffic is described by the schema of its tool. Where a spec is read whose tool may be another in each tier,
`any_traffic` has the keys of all.
"""

import functools
from collections.abc import Mapping
from typing import Any

from pydantic import Field, create_model

from orchestrator.errors import UserError
from orchestrator.extensions import Registry
from orchestrator.spec.fields import Strict
from orchestrator.spec.traffic import DEFAULT_TOOL, OWN_TOOLS, Traffic, alone, keys_of

# Each is a module with a Tool, of orchestrator.tools.protocol.
TOOLS = Registry(
    "tools",
    "TOOL",
    {name: f"orchestrator.tools.{name}" for name in OWN_TOOLS},
    needs=("summary", "schema", "quantity", "problems", "run", "clean_up"),
)


@functools.cache
def own_tool(name: str) -> Any:
    """One of this program's tools, a `orchestrator.tools.Tool`."""
    extension = TOOLS.find(name)
    assert extension is not None
    return TOOLS.load(extension)


@functools.cache
def own_schemas() -> dict[str, type[Traffic]]:
    """What a spec may say of traffic by each of this program's tools, by the tool's name."""
    return {name: own_tool(name).schema for name in OWN_TOOLS}


def own_tools_with(key: str) -> list[str]:
    """Those of this program's tools that take a key of traffic."""
    return [name for name, schema in own_schemas().items() if key in keys_of(schema)]


@functools.cache
def any_traffic(schema: type[Traffic] = Traffic) -> type[Traffic]:
    """A model with the keys of all tools of this program, and those of ``schema``."""
    described = {key: (one, name) for one in reversed(own_schemas().values()) for key, name in keys_of(one).items()}
    order = [key for one in (*own_schemas().values(), schema) for key in keys_of(one)]
    described |= {key: (schema, name) for key, name in keys_of(schema).items()}
    chosen = {described[key][1]: described[key][0].model_fields[described[key][1]] for key in order}
    fields: dict[str, Any] = {name: (alone(field), field) for name, field in chosen.items()}
    found: type[Traffic] = create_model("Traffic", __base__=Traffic, __doc__="The traffic of every trial.", **fields)
    return found


@functools.cache
def tier_traffic(schema: type[Traffic]) -> Any:
    """Traffic that a tier replaces, beside that of a tool with this schema."""
    fields: dict[str, Any] = {
        name: (alone(field) | None, Field(default=None, alias=field.alias, description=field.description))
        for name, field in any_traffic(schema).model_fields.items()
    }
    return create_model("TierTraffic", __base__=Strict, __doc__="Traffic that a tier replaces.", **fields)


@functools.cache
def unused_keys() -> Mapping[str, Any]:
    """The keys of all of this program's tools with their defaults, as JSON values. A stored spec has those of other
    tools too, as it had when one model described them all, so that specs keep their hash."""
    fields = any_traffic().model_fields
    return {name: fields[name].default for name in keys_of(any_traffic()).values()}


def of_its_tool(value: Any) -> Any:
    """Return the traffic that a mapping describes, by the schema of its tool; all else, and traffic by a tool that is
    no part of this program, as it is."""
    if not isinstance(value, dict):
        return value
    schema = own_schemas().get(value.get("tool", DEFAULT_TOOL))
    return value if schema is None else schema.model_validate(value)


def tool_of(traffic: Traffic) -> Any:
    """What measures a trial's traffic, a `orchestrator.tools.Tool`. Raises UserError where it is not there."""
    if traffic.own_tool is not None:
        return traffic.own_tool
    return _tool_called(traffic.tool)


def read_traffic(stored: Mapping[str, Any]) -> Traffic:
    """Return the traffic that ``Traffic.stored`` wrote. Raises UserError where its tool is not there."""
    found: Traffic = _tool_called(stored.get("tool", DEFAULT_TOOL)).schema.read(stored)
    return found


def _tool_called(name: str) -> Any:
    if TOOLS.find(name) is None:
        raise UserError(f"There is no tool {name} here. Install the package that offers it.")
    return own_tool(name)
