# SPDX-License-Identifier: Apache-2.0
"""The JSON Schemas of specs, testbed files and claims, for completion and validation in editors."""

import functools
import operator
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, WithJsonSchema, create_model

from orchestrator.spec.built_in_probes import describe_built_in_probes
from orchestrator.spec.claims import claim_model
from orchestrator.spec.host_settings import PATTERNS
from orchestrator.spec.known_tools import own_schemas
from orchestrator.spec.models import models_of
from orchestrator.spec.providers import PROVIDERS, provider_named
from orchestrator.spec.testbed import Pool
from orchestrator.spec.traffic import OWN_TOOLS, Traffic

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema of specs. Settings of hosts and links are keys by pattern, and the built-in
    probes are keys of ``probes``."""
    found = _any_experiment().model_json_schema()
    for described in found["$defs"].values():
        properties = described.get("properties", {})
        patterns = {pattern: properties.pop(path) for path, pattern in PATTERNS.items() if path in properties}
        if patterns:
            described["patternProperties"] = {
                pattern: {key: value for key, value in one.items() if key not in ("title", "default")}
                for pattern, one in patterns.items()
            }
    for described in (found, found["$defs"]["Tier"]):
        describe_built_in_probes(described["properties"]["probes"])
    schemas: list[type[Traffic]] = [*own_schemas().values(), OtherTraffic]
    for schema in schemas:
        found["$defs"][schema.__name__]["required"].remove("duration")
    return {"$schema": _DIALECT, **found, **_DURATION}


# Traffic has a duration, unless that is a factor.
_DURATION = {
    "if": {"properties": {"factors": {"required": ["traffic.duration"]}}},
    "else": {"properties": {"traffic": {"required": ["duration"]}}},
}


class OtherTraffic(Traffic):
    """Traffic by a tool from a package, a file or a folder, with the keys that the tool defines."""

    model_config = ConfigDict(extra="allow")

    tool: Annotated[str, WithJsonSchema({"type": "string", "not": {"enum": list(OWN_TOOLS)}})]


def _any_experiment() -> type[BaseModel]:
    """Return the model of specs with any tool, which is used only for the JSON Schema."""
    described: Any = functools.reduce(operator.or_, own_schemas().values())
    ours = Annotated[described, Field(discriminator="tool")]
    base = models_of(Traffic, tuple(PATTERNS)).experiment
    found: Any = create_model("Experiment", __base__=base, __doc__=base.__doc__, traffic=(ours | OtherTraffic, ...))
    return found


def testbed_schema() -> dict[str, Any]:
    """Return the JSON Schema of testbed files, for the built-in providers."""
    schemas = [*(provider_named(name).schema for name in PROVIDERS.own), Pool]
    described: Any = functools.reduce(operator.or_, schemas)
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[described, Field(discriminator="provider")])
    return {"$schema": _DIALECT, **adapter.json_schema()}


def claim_schema() -> dict[str, Any]:
    """Return the JSON Schema of the files in experiments/claims."""
    return {"$schema": _DIALECT, **claim_model().model_json_schema()}
